//! What each kind of probe asks of the machine, besides what every script does.
//!
//! In: [`Facts`]. Out: one [`Check`] for each kind: `doctor` prints them all, and a script is refused for those of its own
//! probes, before anything of it is loaded.

use super::{Check, Refusal, Verdict, refusal};
use crate::host::advice::Remedy;
use crate::host::facts::{Answer, Facts};
use crate::host::procfs::Capability;

/// A kind of probe, as far as it matters for what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// System calls, tracepoints, raw tracepoints.
    Tracepoint,
    /// Functions of programs and libraries.
    Uprobe,
    /// Functions of the kernel.
    Kprobe,
    /// Calls and returns of functions of the kernel.
    Fentry,
    /// Perf events that the kernel counts: `profile`, `software`.
    Sample,
    /// Perf events that the processor counts: `hardware`.
    Counter,
    /// Places in memory that the processor watches.
    Watchpoint,
    /// What the kernel goes over: tasks, their files, their mappings.
    Iterator,
    /// Tracepoints whose fields only tracefs knows.
    Record,
}

impl Kind {
    /// All, in the order in which `doctor` shows them.
    pub const ALL: [Self; 9] = [
        Self::Tracepoint,
        Self::Record,
        Self::Uprobe,
        Self::Kprobe,
        Self::Fentry,
        Self::Sample,
        Self::Counter,
        Self::Watchpoint,
        Self::Iterator,
    ];

    /// As scripts name them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint, rawtracepoint",
            Self::Uprobe => "uprobe, uretprobe, usdt",
            Self::Kprobe => "kprobe, kretprobe",
            Self::Fentry => "fentry, fexit",
            Self::Sample => "profile, software",
            Self::Counter => "hardware",
            Self::Watchpoint => "watchpoint",
            Self::Iterator => "iter",
            Self::Record => "tracepoints of tracefs",
        }
    }
}

/// What stands in the way of each kind of probe, where nothing stands in the way of all.
pub fn examine(facts: &Facts) -> Vec<Check> {
    Kind::ALL.into_iter().map(|kind| check_of(kind, facts)).collect()
}

/// Refuses a script whose probes of these kinds cannot be attached.
pub fn check(kinds: &[Kind], facts: &Facts) -> Result<(), Refusal> {
    let mut kinds = kinds.to_vec();
    kinds.sort();
    kinds.dedup();
    let checks = kinds.into_iter().map(|kind| check_of(kind, facts));
    let blocked: Vec<Check> = checks.filter(|check| check.verdict == Verdict::Blocked).collect();
    if blocked.is_empty() { Ok(()) } else { Err(refusal("these probes cannot be attached here", blocked, facts)) }
}

fn check_of(kind: Kind, facts: &Facts) -> Check {
    let name = kind.name();
    let trial = facts.trial.probes.unwrap_or_default();
    match kind {
        Kind::Tracepoint => Check::ok(name, "can be attached"),
        Kind::Record if !facts.kernel.tracefs => {
            Check::note(name, "tracefs cannot be read here: there are those of the catalogue, which do without")
        }
        Kind::Record => match by_perf(name, trial.perf, facts) {
            check if check.verdict == Verdict::Ok => Check::ok(name, "can be attached, with `--scope host`"),
            check => check,
        },
        Kind::Uprobe if trial.many_uprobes => Check::ok(name, "can be attached"),
        // The kernel's perf_uprobe_event_init asks for nothing less, whatever its settings.
        Kind::Uprobe if !facts.process.effective.has(Capability::SysAdmin) => Check::blocked(
            name,
            "probes in programs take CAP_SYS_ADMIN on this kernel, which has no links to many places (Linux 6.6)",
            &[Remedy::SysAdmin],
        ),
        Kind::Uprobe | Kind::Sample => by_perf(name, trial.perf, facts),
        Kind::Watchpoint => match by_perf(name, trial.watchpoint, facts) {
            check if check.verdict == Verdict::Ok => Check::ok(name, "can be attached, with `-p` or `-c`"),
            check => check,
        },
        Kind::Counter => match trial.counter {
            Answer::No(number @ (libc::ENOENT | libc::EOPNOTSUPP)) => {
                let error = std::io::Error::from_raw_os_error(number);
                let found =
                    format!("the kernel has no counters of this processor, as in most virtual machines: {error}");
                Check::blocked(name, found, &[Remedy::Counters])
            }
            answer => by_perf(name, answer, facts),
        },
        Kind::Iterator => match trial.iterator {
            Some(Answer::No(number)) => {
                let error = std::io::Error::from_raw_os_error(number);
                Check::blocked(name, format!("this kernel does not take programs for it: {error}"), &[Remedy::Kernel])
            }
            Some(Answer::Yes) | None => Check::ok(name, "can be gone over"),
        },
        Kind::Kprobe if !facts.kernel.kprobes => {
            Check::blocked(name, "the kernel was built without CONFIG_KPROBES", &[Remedy::Kprobes])
        }
        Kind::Kprobe if trial.many_kprobes => Check::ok(name, "can be attached"),
        Kind::Kprobe => by_perf(name, trial.perf, facts),
        Kind::Fentry => match trial.fentry {
            Some(Answer::No(number)) => {
                let error = std::io::Error::from_raw_os_error(number);
                let found = format!("this kernel does not take programs for calls of its functions: {error}");
                Check::blocked(name, found, &[Remedy::Fentry])
            }
            Some(Answer::Yes) | None => Check::ok(name, "can be attached"),
        },
    }
}

/// A kind that takes perf events. Kernels of Debian and Ubuntu refuse these to all but CAP_SYS_ADMIN if
/// `kernel.perf_event_paranoid` is above 2, as it is there unless somebody has changed it.
fn by_perf(name: &'static str, perf: Answer, facts: &Facts) -> Check {
    let Answer::No(number) = perf else { return Check::ok(name, "can be attached") };
    let error = std::io::Error::from_raw_os_error(number);
    match facts.kernel.perf_event_paranoid {
        Some(paranoid @ 3..) if !facts.process.effective.has(Capability::SysAdmin) => Check::blocked(
            name,
            format!("perf events take CAP_SYS_ADMIN here (kernel.perf_event_paranoid is {paranoid}): {error}"),
            &[Remedy::PerfEvents],
        ),
        _ => Check::blocked(
            name,
            format!("a filter or a security module refuses perf events: {error}"),
            &[Remedy::Seccomp],
        ),
    }
}
