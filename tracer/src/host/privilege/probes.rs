//! What each kind of probe asks of the machine, besides what every script does.
//!
//! In: [`Facts`]. Out: one [`Check`] for each kind: `doctor` prints them all, and a script is refused for those of its own
//! probes, before anything of it is loaded.

use super::{Check, Refusal, Verdict, refusal};
use crate::host::advice::Remedy;
use crate::host::facts::Facts;

/// A kind of probe, as far as it matters for what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// System calls, tracepoints, raw tracepoints.
    Tracepoint,
    /// Functions of programs and libraries.
    Uprobe,
    /// Functions of the kernel.
    Kprobe,
    /// Perf events: `profile`, `software`, `hardware`.
    Sample,
}

impl Kind {
    /// All of them, in the order in which `doctor` shows them.
    pub const ALL: [Self; 4] = [Self::Tracepoint, Self::Uprobe, Self::Kprobe, Self::Sample];

    /// As scripts name them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint, rawtracepoint",
            Self::Uprobe => "uprobe, uretprobe",
            Self::Kprobe => "kprobe, kretprobe",
            Self::Sample => "profile, software, hardware",
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
    match kind {
        Kind::Tracepoint | Kind::Uprobe | Kind::Sample => Check::ok(name, "can be attached"),
        Kind::Kprobe if !facts.kernel.kprobes => {
            Check::blocked(name, "the kernel was built without CONFIG_KPROBES", &[Remedy::Kprobes])
        }
        Kind::Kprobe => Check::ok(name, "can be attached"),
    }
}
