//! What a script may do at which level: probe kind × data × action, as one table.
//!
//! A level is the trust that whoever runs ctrace has been given: `process` sees how programs use the kernel, `user` sees
//! what is in their memory too, `observe` sees the kernel besides, `node` may change things. Analysis looks up every
//! probe, datum and action of a script here, before anything is loaded; `doctor` prints the table.

use std::fmt;

/// How much a user is trusted with; each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// That things happen, when, how often, and with which numbers.
    Process,
    /// What is in the memory of processes.
    User,
    /// What is in the memory of the kernel.
    Observe,
    /// Everything, actions that change something included (which want `--unsafe` besides).
    #[default]
    Node,
}

impl Level {
    /// All of them, from the least trusted to the most.
    pub const ALL: [Level; 4] = [Level::Process, Level::User, Level::Observe, Level::Node];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Process => "process",
            Level::User => "user",
            Level::Observe => "observe",
            Level::Node => "node",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What fires a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// `begin`, `end`, `interval`.
    Timer,
    /// System calls.
    Syscall,
    /// Tracepoints of the kernel, raw ones too.
    KernelEvent,
    /// Functions of programs and libraries.
    UserFunction,
    /// `profile`, `software`, `hardware`.
    Sample,
    /// Functions of the kernel.
    KernelFunction,
}

/// What a script reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The clock, the CPU, random numbers, names of probes and system calls, the script's own variables and maps.
    Machine,
    /// Who it is: pid, tid, uid, gid, comm, cgroup.
    Identity,
    /// Arguments and results as numbers.
    Arguments,
    /// What pointers of the process point to.
    UserMemory,
    /// Addresses of the kernel, and what is there.
    KernelMemory,
}

/// What a script does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Counts, stores, prints.
    Report,
    /// Runs commands, sends signals.
    Change,
}

/// One row: who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What fires the probe.
    pub probe: ProbeKind,
    /// What is read there.
    pub data: Data,
    /// What is done with it.
    pub action: Action,
    /// The least level that may.
    pub level: Level,
    /// As `doctor` puts it.
    pub summary: &'static str,
}

/// The table. What has no row is not allowed to anybody.
pub const RULES: &[Rule] = &[
    rule(ProbeKind::Timer, Data::Machine, Level::Process, "begin, end, interval: clocks, counters, the script's maps"),
    rule(ProbeKind::Timer, Data::Identity, Level::Process, "begin, end, interval: who runs ctrace"),
    rule(ProbeKind::Timer, Data::UserMemory, Level::User, "begin, end, interval: the memory of ctrace itself"),
    rule(ProbeKind::Timer, Data::KernelMemory, Level::Observe, "begin, end, interval: kernel addresses (curtask)"),
    rule(ProbeKind::Syscall, Data::Machine, Level::Process, "system calls: that they happen, when, how long they take"),
    rule(ProbeKind::Syscall, Data::Identity, Level::Process, "system calls: pid, tid, uid, gid, comm, cgroup"),
    rule(
        ProbeKind::Syscall,
        Data::Arguments,
        Level::Process,
        "system calls: numbers, arguments and results as numbers",
    ),
    rule(
        ProbeKind::Syscall,
        Data::UserMemory,
        Level::User,
        "system calls: what arguments point to (file names, buffers)",
    ),
    rule(ProbeKind::Syscall, Data::KernelMemory, Level::Observe, "system calls: kernel addresses (curtask)"),
    rule(
        ProbeKind::KernelEvent,
        Data::Machine,
        Level::Process,
        "events of the kernel: that they happen, when, how often",
    ),
    rule(
        ProbeKind::KernelEvent,
        Data::Identity,
        Level::Process,
        "events of the kernel: pid, tid, uid, gid, comm, cgroup",
    ),
    rule(
        ProbeKind::KernelEvent,
        Data::Arguments,
        Level::Process,
        "events of the kernel: the fields of tracepoints (names of threads and files among them)",
    ),
    rule(ProbeKind::KernelEvent, Data::UserMemory, Level::User, "events of the kernel: the memory of the process"),
    rule(
        ProbeKind::KernelEvent,
        Data::KernelMemory,
        Level::Observe,
        "events of the kernel: kernel addresses, the arguments of raw tracepoints, and what they point to",
    ),
    change(ProbeKind::KernelEvent, "events of the kernel: running commands and sending signals, with --unsafe"),
    rule(
        ProbeKind::Sample,
        Data::Machine,
        Level::Process,
        "samples (profile, software, hardware): that they are taken",
    ),
    rule(ProbeKind::Sample, Data::Identity, Level::Process, "samples: pid, tid, uid, gid, comm, cgroup"),
    rule(ProbeKind::Sample, Data::Arguments, Level::User, "samples: registers"),
    rule(ProbeKind::Sample, Data::UserMemory, Level::User, "samples: stacks of processes"),
    rule(
        ProbeKind::Sample,
        Data::KernelMemory,
        Level::Observe,
        "samples: stacks of the kernel, its addresses (curtask)",
    ),
    change(ProbeKind::Sample, "samples: running commands and sending signals, with --unsafe"),
    change(ProbeKind::Timer, "begin, end, interval: running commands, with --unsafe"),
    change(ProbeKind::UserFunction, "functions of programs: running commands and sending signals, with --unsafe"),
    change(ProbeKind::KernelFunction, "functions of the kernel: running commands and sending signals, with --unsafe"),
    change(ProbeKind::Syscall, "system calls: running commands and sending signals, with --unsafe"),
    rule(
        ProbeKind::UserFunction,
        Data::Machine,
        Level::User,
        "functions of programs: that they are called, when, how long they take",
    ),
    rule(
        ProbeKind::UserFunction,
        Data::Identity,
        Level::User,
        "functions of programs: pid, tid, uid, gid, comm, cgroup",
    ),
    rule(
        ProbeKind::UserFunction,
        Data::Arguments,
        Level::User,
        "functions of programs: arguments, results and registers as numbers",
    ),
    rule(ProbeKind::UserFunction, Data::UserMemory, Level::User, "functions of programs: what arguments point to"),
    rule(
        ProbeKind::UserFunction,
        Data::KernelMemory,
        Level::Observe,
        "functions of programs: kernel addresses (curtask)",
    ),
    rule(
        ProbeKind::KernelFunction,
        Data::Machine,
        Level::Observe,
        "functions of the kernel: that they are called, when, how long they take",
    ),
    rule(
        ProbeKind::KernelFunction,
        Data::Identity,
        Level::Observe,
        "functions of the kernel: pid, tid, uid, gid, comm, cgroup of the task that runs",
    ),
    rule(
        ProbeKind::KernelFunction,
        Data::Arguments,
        Level::Observe,
        "functions of the kernel: arguments, results and registers as numbers",
    ),
    rule(
        ProbeKind::KernelFunction,
        Data::UserMemory,
        Level::Observe,
        "functions of the kernel: the memory of the process",
    ),
    rule(
        ProbeKind::KernelFunction,
        Data::KernelMemory,
        Level::Observe,
        "functions of the kernel: what arguments point to, kernel addresses",
    ),
];

const fn change(probe: ProbeKind, summary: &'static str) -> Rule {
    Rule { probe, data: Data::Machine, action: Action::Change, level: Level::Node, summary }
}

const fn rule(probe: ProbeKind, data: Data, level: Level, summary: &'static str) -> Rule {
    Rule { probe, data, action: Action::Report, level, summary }
}

/// The row that a use falls under, if there is one.
pub fn rule_for(probe: ProbeKind, data: Data, action: Action) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.probe == probe && rule.data == data && rule.action == action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_has_one_rule_at_most() {
        for (i, rule) in RULES.iter().enumerate() {
            let again = RULES.iter().skip(i + 1);
            let same = |other: &&Rule| (other.probe, other.data, other.action) == (rule.probe, rule.data, rule.action);
            assert_eq!(again.filter(same).count(), 0, "{rule:?}");
        }
    }

    #[test]
    fn the_memory_of_processes_wants_the_level_user() {
        let rule = rule_for(ProbeKind::Syscall, Data::UserMemory, Action::Report).unwrap();
        assert_eq!(rule.level, Level::User);
        assert!(Level::Process < rule.level && rule.level < Level::Node);
    }
}
