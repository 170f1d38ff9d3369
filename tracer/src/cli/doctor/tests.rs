use super::*;
use crate::host::facts::{Kernel, PidNamespace};
use crate::host::procfs::{CapabilitySet, Status};

fn machine() -> Facts {
    Facts {
        kernel: Kernel {
            release: "6.1.0".to_owned(),
            version: (6, 1, 0),
            possible_cpus: Some(2),
            btf: true,
            unprivileged_bpf_disabled: Some(2),
            perf_event_paranoid: Some(3),
            kprobes: true,
            ..Kernel::default()
        },
        process: Status { effective: CapabilitySet(u64::MAX), bounding: CapabilitySet(u64::MAX), ..Status::default() },
        initial_user_namespace: true,
        pid_namespace: PidNamespace { inum: 4_026_531_836, initial: true },
        ..Facts::default()
    }
}

#[test]
fn a_machine_where_everything_works() {
    let diagnosis = Diagnosis::new(&machine(), Some(Ok("the whole machine".to_owned())));
    let expected = format!(
        "\
ctrace {}, Linux 6.1.0, outside of containers; cgroups v1

  ok       kernel          Linux 6.1.0
  ok       user namespace  the machine's own
  ok       capabilities    CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON
  ok       seccomp         no filter
  ok       bpf(2)          makes maps, loads tracing programs
  ok       lockdown        not in force, or not shown
  ok       kernel types    /sys/kernel/btf/vmlinux
  ok       CPUs            2 possible
  ok       settings        unprivileged_bpf_disabled 2, perf_event_paranoid 3, bpf_stats_enabled ?, no_new_privs 0 (none \
matters where the capabilities are held)
  ok       tracefs         not readable, and not needed

Scripts and tools can be run here. They trace the whole machine.

What their probes can be:
  ok       tracepoint, rawtracepoint  can be attached
  note     tracepoints of tracefs     tracefs cannot be read here: there are those of the catalogue, which do without
  ok       uprobe, uretprobe, usdt    can be attached
  ok       kprobe, kretprobe          can be attached
  ok       fentry, fexit              can be attached
  ok       profile, software          can be attached
  ok       hardware                   can be attached
  ok       watchpoint                 can be attached, with `-p` or `-c`
  ok       iter                       can be gone over
",
        env!("CARGO_PKG_VERSION")
    );
    let text = diagnosis.render(Style::Text).unwrap();
    let (checks, levels) = text.split_at(expected.len());
    assert_eq!(checks, expected);
    assert!(levels.starts_with("\nWhat --level allows; node is the default"), "{levels}");
    assert!(levels.contains("\n  user     begin, end, interval: the memory of ctrace itself\n"), "{levels}");
}

/// Nothing else depends on it, so the machine as a whole is not blocked.
#[test]
fn a_kind_of_probe_that_the_kernel_has_not_is_shown() {
    let mut facts = machine();
    facts.kernel.kprobes = false;
    let diagnosis = Diagnosis::new(&facts, Some(Ok("the whole machine".to_owned())));
    assert!(diagnosis.allowed);
    let text = diagnosis.render(Style::Text).unwrap();
    assert!(
        text.contains("  BLOCKED  kprobe, kretprobe          the kernel was built without CONFIG_KPROBES\n"),
        "{text}"
    );
}

#[test]
fn what_blocks_comes_with_the_way_out() {
    let mut facts = machine();
    facts.process = Status { uid: 1000, bounding: CapabilitySet(u64::MAX), ..Status::default() };
    let diagnosis = Diagnosis::new(&facts, None);
    assert!(!diagnosis.allowed);
    let text = diagnosis.render(Style::Text).unwrap();
    assert!(text.contains("  BLOCKED  capabilities    CAP_BPF and CAP_PERFMON missing"), "{text}");
    assert!(text.contains("Scripts and tools cannot be run here.\nRun it as root:\n    sudo ctrace …\n"), "{text}");

    let json: serde_json::Value = serde_json::from_str(&diagnosis.render(Style::Json).unwrap()).unwrap();
    assert_eq!(json["allowed"], false);
    assert_eq!(json["cgroups"], "legacy");
    let capabilities = json["checks"].as_array().unwrap().iter().find(|check| check["subject"] == "capabilities");
    assert_eq!(capabilities.unwrap()["verdict"], "blocked");
    assert_eq!(json["advice"][1], "    sudo ctrace …");
}

#[test]
fn a_scope_that_cannot_be_found_blocks() {
    let diagnosis = Diagnosis::new(&machine(), Some(Err("nothing tells this container apart".to_owned())));
    assert!(!diagnosis.allowed);
    assert!(diagnosis.render(Style::Text).unwrap().contains("  BLOCKED  scope           nothing tells"));
}
