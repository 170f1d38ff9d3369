//! Whether this process may trace, decided before anything is loaded: what stands in the way, and what would remove it.
//!
//! In: [`Facts`]. Out: one [`Check`] for each thing that can stand in the way; `doctor` prints
//! them all, a script is refused if one of them blocks it ([`Refusal`]).

pub mod probes;

use std::fmt;

use serde::Serialize;

use super::advice::{self, Remedy};
use super::btf;
use super::facts::{Answer, Facts};
use super::procfs::{Capability, Seccomp};

/// The oldest kernel that the runtime library's instructions load on: atomic read-modify-write came with it.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// From here on the kernel answers a harmless call whatever the capabilities, so that a refusal is a filter's.
const CALL_NEEDS_NO_PRIVILEGE: (u32, u32, u32) = (5, 19, 0);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing in the way.
    Ok,
    /// Nothing in the way, but good to know.
    Note,
    /// No tracing until this changes.
    Blocked,
}

/// One thing that can stand in the way of tracing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in one or two words.
    pub subject: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found, as half a sentence.
    pub found: String,
    /// What would change a [`Verdict::Blocked`].
    #[serde(skip)]
    pub remedies: Vec<Remedy>,
}

impl Check {
    fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Ok, found: found.into(), remedies: Vec::new() }
    }

    fn note(subject: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::ok(subject, found) }
    }

    fn blocked(subject: &'static str, found: impl Into<String>, remedies: &[Remedy]) -> Self {
        Self { verdict: Verdict::Blocked, remedies: remedies.to_vec(), ..Self::ok(subject, found) }
    }
}

/// Why a script is not run. Its text says what stands in the way, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is not possible, as half a sentence.
    pub what: &'static str,
    /// What stands in the way.
    pub blocked: Vec<Check>,
    /// The way out, line by line.
    pub advice: Vec<String>,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.what)?;
        for check in &self.blocked {
            writeln!(f, "  {}: {}", check.subject, check.found)?;
        }
        for line in &self.advice {
            write!(f, "\n{line}")?;
        }
        Ok(())
    }
}

/// Refuses what cannot run.
pub fn check(facts: &Facts) -> Result<(), Refusal> {
    let blocked: Vec<Check> = examine(facts).into_iter().filter(|check| check.verdict == Verdict::Blocked).collect();
    if blocked.is_empty() { Ok(()) } else { Err(refusal("tracing is not allowed here", blocked, facts)) }
}

fn refusal(what: &'static str, blocked: Vec<Check>, facts: &Facts) -> Refusal {
    let advice = advice::lines(&remedies(&blocked), facts);
    Refusal { what, blocked, advice }
}

/// What would remove everything that blocks, each thing once.
pub fn remedies(checks: &[Check]) -> Vec<Remedy> {
    let mut all: Vec<Remedy> = checks.iter().flat_map(|check| check.remedies.iter().copied()).collect();
    all.sort();
    all.dedup();
    all
}

/// Everything that can stand in the way, in the order in which it is worth reading.
pub fn examine(facts: &Facts) -> Vec<Check> {
    vec![
        kernel(facts),
        user_namespace(facts),
        capabilities(facts),
        seccomp(facts),
        bpf(facts),
        lockdown(facts),
        kernel_types(facts),
        cpus(facts),
        settings(facts),
        tracefs(facts),
    ]
}

/// The check for a scope that cannot be found out.
pub fn no_scope(why: String) -> Check {
    Check::blocked("scope", why, &[])
}

fn kernel(facts: &Facts) -> Check {
    let (major, minor, _) = facts.kernel.version;
    let release = &facts.kernel.release;
    if (major, minor) < OLDEST_KERNEL {
        let (major, minor) = OLDEST_KERNEL;
        return Check::blocked(
            "kernel",
            format!("Linux {release}; {major}.{minor} or later is needed"),
            &[Remedy::Kernel],
        );
    }
    if facts.trial.call == Answer::No(libc::ENOSYS) && facts.process.seccomp == Seccomp::Off {
        return Check::blocked("kernel", format!("Linux {release}, built without bpf(2)"), &[Remedy::Kernel]);
    }
    Check::ok("kernel", format!("Linux {release}"))
}

fn user_namespace(facts: &Facts) -> Check {
    if facts.initial_user_namespace {
        Check::ok("user namespace", "the machine's own")
    } else {
        let found =
            "not the machine's own (a rootless or user-remapped container): capabilities do not count for tracing";
        Check::blocked("user namespace", found, &[Remedy::UserNamespace])
    }
}

/// What tracing asks for. CAP_SYS_ADMIN is enough for both.
const WANTED: [Capability; 2] = [Capability::Bpf, Capability::Perfmon];

fn capabilities(facts: &Facts) -> Check {
    let subject = "capabilities";
    let process = &facts.process;
    let missing: Vec<&str> =
        WANTED.into_iter().filter(|&wanted| !process.effective.allows(wanted)).map(Capability::name).collect();
    if missing.is_empty() {
        let held: Vec<&str> = [Capability::SysAdmin, Capability::Bpf, Capability::Perfmon]
            .into_iter()
            .filter(|&capability| process.effective.has(capability))
            .map(Capability::name)
            .collect();
        return Check::ok(subject, held.join(", "));
    }
    let found = format!("{} missing (CAP_SYS_ADMIN would do as well)", missing.join(" and "));
    let granted = WANTED.into_iter().all(|wanted| process.bounding.allows(wanted));
    match (granted, process.uid) {
        (true, 0) => {
            let found = format!("{found}; root here may have them, but this process has dropped them");
            Check::blocked(subject, found, &[Remedy::Root])
        }
        (true, uid) => {
            let found = format!("{found}; root here has them, but this process runs as user {uid}");
            Check::blocked(subject, found, &[Remedy::Root])
        }
        (false, 0) => Check::blocked(subject, found, &[Remedy::Capabilities]),
        (false, uid) => {
            let found = format!("{found}, and this process runs as user {uid}");
            Check::blocked(subject, found, &[Remedy::Capabilities, Remedy::Root])
        }
    }
}

/// Whether the capabilities are held and count.
fn capable(facts: &Facts) -> bool {
    facts.initial_user_namespace && WANTED.into_iter().all(|wanted| facts.process.effective.allows(wanted))
}

fn seccomp(facts: &Facts) -> Check {
    let subject = "seccomp";
    if facts.process.seccomp == Seccomp::Off {
        return Check::ok(subject, "no filter");
    }
    match facts.trial.call {
        Answer::Yes => Check::ok(subject, "a filter, which lets bpf(2) pass"),
        Answer::No(_) if capable(facts) => Check::blocked(subject, "a filter refuses bpf(2)", &[Remedy::Seccomp]),
        // The filters that container runtimes bring along follow the capabilities, so these come first.
        Answer::No(_) if facts.kernel.version >= CALL_NEEDS_NO_PRIVILEGE => {
            Check::blocked(subject, "a filter refuses bpf(2), as runtimes do where the capabilities are missing", &[])
        }
        Answer::No(_) => Check::note(subject, "a filter is in force; without the capabilities it cannot be told more"),
    }
}

fn bpf(facts: &Facts) -> Check {
    let subject = "bpf(2)";
    let trial = &facts.trial;
    let (what, answer) = match (trial.call, trial.map, trial.program) {
        (Answer::Yes, Answer::Yes, Answer::Yes) => return Check::ok(subject, "makes maps, loads tracing programs"),
        (Answer::No(_), _, _) => ("be called", trial.call),
        (_, Answer::No(_), _) => ("make a map", trial.map),
        _ => ("load a tracing program", trial.program),
    };
    let error = match answer {
        Answer::No(number) => std::io::Error::from_raw_os_error(number).to_string(),
        Answer::Yes => String::new(),
    };
    let explained = !capable(facts) || (trial.call == answer && facts.process.seccomp != Seccomp::Off);
    if explained {
        return Check::note(subject, format!("cannot {what}: {error}, for the reasons above"));
    }
    match answer {
        Answer::No(libc::EPERM | libc::EACCES) => Check::blocked(
            subject,
            format!("cannot {what}: {error}, although the capabilities are there: a security module forbids it"),
            &[Remedy::SecurityModule],
        ),
        _ => Check::blocked(subject, format!("cannot {what}: {error}"), &[Remedy::Kernel]),
    }
}

fn lockdown(facts: &Facts) -> Check {
    let subject = "lockdown";
    match facts.kernel.lockdown.as_deref() {
        Some("confidentiality") => Check::blocked(
            subject,
            "in confidentiality mode, in which programs may not read the kernel's memory",
            &[Remedy::Lockdown],
        ),
        Some(mode) => Check::ok(subject, mode),
        None => Check::ok(subject, "not in force, or not shown"),
    }
}

/// Every script needs the kernel's types: they say where the caller's container lies, and what its pids are.
fn kernel_types(facts: &Facts) -> Check {
    let subject = "kernel types";
    match facts.kernel.btf {
        true => Check::ok(subject, btf::VMLINUX),
        false => Check::blocked(
            subject,
            format!("{} is missing; without it, containers and their pids cannot be told apart", btf::VMLINUX),
            &[Remedy::KernelTypes],
        ),
    }
}

fn cpus(facts: &Facts) -> Check {
    let subject = "CPUs";
    match facts.kernel.possible_cpus {
        Some(count) => Check::ok(subject, format!("{count} possible")),
        None => Check::blocked(subject, "/sys/devices/system/cpu/possible cannot be read", &[Remedy::Sys]),
    }
}

fn settings(facts: &Facts) -> Check {
    let show = |name: &str, value: Option<i64>| format!("{name} {}", value.map_or("?".to_owned(), |n| n.to_string()));
    let kernel = &facts.kernel;
    let found = [
        show("unprivileged_bpf_disabled", kernel.unprivileged_bpf_disabled),
        show("perf_event_paranoid", kernel.perf_event_paranoid),
        show("bpf_stats_enabled", kernel.bpf_stats_enabled),
    ];
    let found = format!("{}, no_new_privs {}", found.join(", "), u8::from(facts.process.no_new_privileges));
    let refuses_perf_events =
        kernel.perf_event_paranoid > Some(2) && !facts.process.effective.has(Capability::SysAdmin);
    let remark = match refuses_perf_events {
        true => {
            "perf_event_paranoid above 2 keeps perf events from all but CAP_SYS_ADMIN on kernels of Debian and Ubuntu"
        }
        false => "none matters where the capabilities are held",
    };
    Check::ok("settings", format!("{found} ({remark})"))
}

fn tracefs(facts: &Facts) -> Check {
    match facts.kernel.tracefs {
        true => Check::ok("tracefs", "readable"),
        false => Check::ok("tracefs", "not readable, and not needed"),
    }
}

#[cfg(test)]
mod tests;
