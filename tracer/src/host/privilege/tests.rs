use super::*;
use crate::host::facts::{Cgroup, Kernel, PidNamespace, Runtime, Trial};
use crate::host::procfs::{CapabilitySet, CgroupPaths, Status};

/// What Docker gives by default.
const DEFAULT: CapabilitySet = CapabilitySet(0xa80425fb);
const SYS_ADMIN: CapabilitySet = CapabilitySet(0xa80425fb | 1 << 21);
const BPF_PERFMON: CapabilitySet = CapabilitySet(1 << 38 | 1 << 39);
const REFUSED: Answer = Answer::No(libc::EPERM);

/// A default container: root without the capabilities, behind Docker's filter.
fn default_container() -> Facts {
    Facts {
        process: Status { effective: DEFAULT, bounding: DEFAULT, seccomp: Seccomp::Filter, ..Status::default() },
        trial: Trial { call: REFUSED, map: REFUSED, program: REFUSED, probes: None },
        ..capable_container()
    }
}

/// The same with `--cap-add SYS_ADMIN`.
fn capable_container() -> Facts {
    Facts {
        kernel: Kernel {
            release: "6.1.0-18-amd64".to_owned(),
            version: (6, 1, 0),
            possible_cpus: Some(2),
            btf: true,
            ..Kernel::default()
        },
        process: Status { effective: SYS_ADMIN, bounding: SYS_ADMIN, seccomp: Seccomp::Filter, ..Status::default() },
        initial_user_namespace: true,
        pid_namespace: PidNamespace { inum: 4_026_532_201, initial: false },
        cgroup: Cgroup { paths: CgroupPaths::default(), private: true },
        runtime: Some(Runtime::Docker),
        trial: Trial::default(),
    }
}

fn refusal(facts: &Facts) -> String {
    check(facts).unwrap_err().to_string()
}

#[test]
fn sys_admin_is_enough() {
    assert_eq!(check(&capable_container()), Ok(()));
}

#[test]
fn bpf_and_perfmon_are_enough() {
    let mut facts = capable_container();
    facts.process.effective = BPF_PERFMON;
    facts.process.uid = 65534;
    assert_eq!(check(&facts), Ok(()));
    facts.process.effective = CapabilitySet(1 << 39);
    assert!(refusal(&facts).contains("CAP_PERFMON missing"));
}

#[test]
fn a_default_container_is_told_how_to_be_started() {
    let expected = "\
tracing is not allowed here:
  capabilities: CAP_BPF and CAP_PERFMON missing (CAP_SYS_ADMIN would do as well)
  seccomp: a filter refuses bpf(2), as runtimes do where the capabilities are missing

A container that runs already cannot be given more; start it with
    docker run --cap-add BPF --cap-add PERFMON …   (least privilege; Docker 23 or later)
    docker run --cap-add SYS_ADMIN …               (any Docker)
or, in Kubernetes, in the container's spec:
    securityContext:
      capabilities:
        add: [\"BPF\", \"PERFMON\"]";
    assert_eq!(refusal(&default_container()), expected);
}

#[test]
fn before_5_19_a_filter_cannot_be_told_from_a_missing_capability() {
    let mut facts = default_container();
    facts.kernel.version = (5, 15, 0);
    assert!(!refusal(&facts).contains("seccomp"));
}

#[test]
fn a_user_without_the_containers_capabilities_is_told_to_be_root() {
    let mut facts = capable_container();
    facts.process.effective = CapabilitySet(0);
    facts.process.uid = 1000;
    facts.trial = Trial { call: Answer::Yes, map: REFUSED, program: REFUSED, probes: None };
    let expected = "\
tracing is not allowed here:
  capabilities: CAP_BPF and CAP_PERFMON missing (CAP_SYS_ADMIN would do as well); root here has them, but this process \
runs as user 1000

Run ctrace as root of this container:
    docker exec -u 0 -it CONTAINER ctrace …
In Kubernetes, in the container's spec:
    securityContext:
      runAsUser: 0";
    assert_eq!(refusal(&facts), expected);
}

#[test]
fn a_user_of_a_default_container_needs_both() {
    let mut facts = default_container();
    facts.process.uid = 1000;
    let text = refusal(&facts);
    assert!(text.contains("docker run --user 0 --cap-add BPF --cap-add PERFMON …"), "{text}");
    assert!(text.contains("      runAsUser: 0\n      capabilities:\n        add: [\"BPF\", \"PERFMON\"]"), "{text}");
}

#[test]
fn a_filter_that_ignores_the_capabilities_has_to_go() {
    let mut facts = capable_container();
    facts.trial = Trial { call: REFUSED, map: REFUSED, program: REFUSED, probes: None };
    let expected = "\
tracing is not allowed here:
  seccomp: a filter refuses bpf(2)

A container that runs already cannot be given more; start it with
    docker run --security-opt seccomp=unconfined …
or, in Kubernetes, in the container's spec:
    securityContext:
      seccompProfile:
        type: Unconfined";
    assert_eq!(refusal(&facts), expected);
}

#[test]
fn in_a_user_namespace_capabilities_do_not_count() {
    let mut facts = capable_container();
    facts.initial_user_namespace = false;
    facts.trial = Trial { call: Answer::Yes, map: REFUSED, program: REFUSED, probes: None };
    let text = refusal(&facts);
    assert!(text.contains("user namespace: not the machine's own"), "{text}");
    assert!(text.contains("    docker run --userns host …"), "{text}");
    assert!(text.contains("    hostUsers: true"), "{text}");
}

#[test]
fn a_security_module_is_told_from_a_filter() {
    let mut facts = capable_container();
    facts.process.seccomp = Seccomp::Off;
    facts.trial.program = REFUSED;
    let text = refusal(&facts);
    assert!(text.contains("bpf(2): cannot load a tracing program: Operation not permitted"), "{text}");
    assert!(text.contains("A security module of the machine"), "{text}");
}

#[test]
fn outside_containers_it_is_sudo() {
    let mut facts = default_container();
    facts.runtime = None;
    facts.cgroup = Cgroup::default();
    facts.pid_namespace.initial = true;
    facts.process = Status { uid: 1000, bounding: CapabilitySet(u64::MAX), ..Status::default() };
    facts.trial.call = Answer::Yes;
    let text = refusal(&facts);
    assert!(text.ends_with("\nRun it as root:\n    sudo ctrace …"), "{text}");
}

#[test]
fn podman_is_called_podman() {
    let mut facts = default_container();
    facts.runtime = Some(Runtime::Podman);
    assert!(refusal(&facts).contains("    podman run --cap-add SYS_ADMIN …"));
}

#[test]
fn the_kernel_can_be_the_reason() {
    let mut facts = capable_container();
    facts.kernel.btf = false;
    assert!(refusal(&facts).contains("CONFIG_DEBUG_INFO_BTF=y"));
    facts.kernel.btf = true;

    facts.kernel.lockdown = Some("confidentiality".to_owned());
    assert!(refusal(&facts).contains("lockdown=integrity"));
    facts.kernel.lockdown = Some("integrity".to_owned());
    assert_eq!(check(&facts), Ok(()));

    facts.kernel.version = (5, 10, 0);
    facts.kernel.release = "5.10.0-28-amd64".to_owned();
    assert!(refusal(&facts).contains("kernel: Linux 5.10.0-28-amd64; 5.12 or later is needed"));
}

#[test]
fn sys_must_be_there() {
    let mut facts = capable_container();
    facts.kernel.possible_cpus = None;
    assert!(refusal(&facts).contains("    docker run -v /sys:/sys:ro …"));
}
