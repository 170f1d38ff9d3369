//! The way out, in words that can be typed: `docker run` options, Kubernetes securityContext, and the like.

use super::facts::{Facts, Runtime};

/// A change that removes what stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// The container gets CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN.
    Capabilities,
    /// The container gets CAP_SYS_ADMIN, or the machine's setting is changed.
    PerfEvents,
    /// The container gets CAP_SYS_ADMIN.
    SysAdmin,
    /// A seccomp filter that lets bpf(2) pass.
    Seccomp,
    /// The machine's user namespace.
    UserNamespace,
    /// User 0, with the capabilities that the container has.
    Root,
    /// /sys is mounted.
    Sys,
    /// A security module (AppArmor, SELinux, …) permits bpf(2).
    SecurityModule,
    /// The kernel is booted with a laxer lockdown.
    Lockdown,
    /// The kernel is built with its types.
    KernelTypes,
    /// The kernel is built with kprobes.
    Kprobes,
    /// The kernel is built with trampolines at its functions.
    Fentry,
    /// A machine whose processor's counters the kernel can use.
    Counters,
    /// Another kernel.
    Kernel,
}

/// The lines that say what to do, without a newline at their ends.
pub fn lines(remedies: &[Remedy], facts: &Facts) -> Vec<String> {
    let mut lines: Vec<String> =
        remedies.iter().filter_map(|remedy| Some(on_the_machine(*remedy)?.to_owned())).collect();
    let recreate = [Remedy::Capabilities, Remedy::Seccomp, Remedy::UserNamespace, Remedy::Sys];
    let wants = |remedy| remedies.contains(&remedy);

    if !facts.in_container() && facts.runtime.is_none() {
        if wants(Remedy::Root) || wants(Remedy::Capabilities) {
            lines.extend(["Run it as root:".to_owned(), "    sudo ctrace …".to_owned()]);
        }
        return lines;
    }
    if remedies.iter().any(|remedy| recreate.contains(remedy)) {
        lines.extend(start_the_container(remedies, facts.runtime));
    } else if wants(Remedy::Root) {
        let command = if facts.runtime == Some(Runtime::Podman) { "podman" } else { "docker" };
        lines.extend([
            "Run ctrace as root of this container:".to_owned(),
            format!("    {command} exec -u 0 -it CONTAINER ctrace …"),
            "In Kubernetes, in the container's spec:".to_owned(),
            "    securityContext:".to_owned(),
            "      runAsUser: 0".to_owned(),
        ]);
    }
    lines
}

/// What has to change outside of containers.
fn on_the_machine(remedy: Remedy) -> Option<&'static str> {
    Some(match remedy {
        Remedy::SecurityModule => {
            "A security module of the machine (AppArmor, SELinux, BPF LSM) has to permit bpf(2): its log, in the output \
             of dmesg or in /var/log/audit on the machine, names the rule."
        }
        Remedy::Lockdown => "The machine has to be booted with lockdown=integrity or without lockdown.",
        Remedy::KernelTypes => "The machine needs a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do.",
        Remedy::PerfEvents => {
            "On the machine: sysctl kernel.perf_event_paranoid=2; or with CAP_SYS_ADMIN: docker run --cap-add SYS_ADMIN …, \
             in Kubernetes capabilities: {add: [\"SYS_ADMIN\"]} in the securityContext of the container."
        }
        Remedy::SysAdmin => {
            "With CAP_SYS_ADMIN: docker run --cap-add SYS_ADMIN …, in Kubernetes capabilities: {add: [\"SYS_ADMIN\"]} in the \
             securityContext of the container."
        }
        Remedy::Kprobes => {
            "The machine needs a kernel built with CONFIG_KPROBES=y and CONFIG_KPROBE_EVENTS=y, as distributions do."
        }
        Remedy::Fentry => {
            "The machine needs a kernel built with CONFIG_FUNCTION_TRACER=y and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y, \
             and that is not told to leave its code as it is; `kprobe` and `kretprobe` may do."
        }
        Remedy::Counters => {
            "Counters of the processor take a machine that has them; few virtual ones are given any. `profile` and `software` \
             do without."
        }
        Remedy::Kernel => {
            "The machine needs a kernel of 5.12 or later with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_EVENTS=y."
        }
        _ => return None,
    })
}

/// The container has to be started with more than it was.
fn start_the_container(remedies: &[Remedy], runtime: Option<Runtime>) -> Vec<String> {
    let wants = |remedy| remedies.contains(&remedy);
    let mut words = Vec::new();
    let mut context = Vec::new();
    if wants(Remedy::Seccomp) {
        words.push("--security-opt seccomp=unconfined");
        context.extend(["  seccompProfile:", "    type: Unconfined"]);
    }
    if wants(Remedy::UserNamespace) {
        words.push("--userns host");
    }
    if wants(Remedy::Root) {
        words.push("--user 0");
        context.push("  runAsUser: 0");
    }
    if wants(Remedy::Sys) {
        words.push("-v /sys:/sys:ro");
    }
    let words = words.iter().map(|word| format!("{word} ")).collect::<String>();

    let mut lines = Vec::new();
    if wants(Remedy::UserNamespace) {
        lines.push("The container must not be rootless: it has to be run by the machine's root.".to_owned());
    }
    let command = if runtime == Some(Runtime::Podman) { "podman run" } else { "docker run" };
    lines.push("A container that runs already cannot be given more; start it with".to_owned());
    if wants(Remedy::Capabilities) {
        context.extend(["  capabilities:", "    add: [\"BPF\", \"PERFMON\"]"]);
        let least = format!("    {command} {words}--cap-add BPF --cap-add PERFMON …");
        let most = format!("    {command} {words}--cap-add SYS_ADMIN …");
        let width = least.chars().count();
        lines.push(format!("{least}   (least privilege; Docker 23 or later)"));
        lines.push(format!("{most:width$}   (any Docker)"));
    } else {
        lines.push(format!("    {command} {words}…"));
    }
    if !context.is_empty() || wants(Remedy::UserNamespace) {
        lines.push("or, in Kubernetes, in the container's spec:".to_owned());
        if wants(Remedy::UserNamespace) {
            lines.push("    hostUsers: true      # in the pod's spec".to_owned());
        }
        if !context.is_empty() {
            lines.push("    securityContext:".to_owned());
            lines.extend(context.into_iter().map(|line| format!("    {line}")));
        }
    }
    lines
}
