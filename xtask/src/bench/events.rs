//! What an event costs in the kernel: the same ten scripts under ctrace and under bpftrace, by the kernel's own measurement
//! (`kernel.bpf_stats_enabled`).
//!
//! The load makes a known number of events; what the programs took in all, divided by that, is the cost of one. ctrace
//! looks at the load's cgroup only, and what it costs the rest of the machine counts too.

use std::collections::BTreeMap;
use std::fs;

use ::tests::cgroup::Cgroup;
use ::tests::process;
use anyhow::{Context, Result, ensure};

use super::Target;
use super::measure::{Traced, median};
use super::tools::{Tool, Tools};
use crate::shell;

/// Whether the kernel measures programs.
const SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// A script, and what makes events for it.
struct Body {
    name: &'static str,
    script: &'static str,
    /// The steps of `peer`.
    load: &'static str,
    /// How many events those are.
    events: u32,
}

const fn calls(name: &'static str, script: &'static str) -> Body {
    Body { name, script, load: "getppid=300000", events: 300_000 }
}

const BODIES: [Body; 11] = [
    calls("count", "tracepoint:syscalls:sys_enter_getppid { @ = count(); }"),
    calls("count by pid", "tracepoint:syscalls:sys_enter_getppid { @[pid] = count(); }"),
    calls("count by comm", "tracepoint:syscalls:sys_enter_getppid { @[comm] = count(); }"),
    calls("string predicate", r#"tracepoint:syscalls:sys_enter_getppid /comm == "peer"/ { @ = count(); }"#),
    calls("predicate that does not hold", "tracepoint:syscalls:sys_enter_getppid /pid == 1/ { @ = count(); }"),
    calls("hist", "tracepoint:syscalls:sys_enter_getppid { @ = hist(nsecs & 0xffff); }"),
    calls("stats by cpu", "tracepoint:syscalls:sys_enter_getppid { @[cpu] = stats(nsecs & 0xffff); }"),
    calls(
        "start to stop",
        "tracepoint:raw_syscalls:sys_enter { @start[tid] = nsecs; }
         tracepoint:raw_syscalls:sys_exit /@start[tid]/ { @ = hist(nsecs - @start[tid]); delete(@start[tid]); }",
    ),
    Body {
        name: "printf",
        script: r#"tracepoint:syscalls:sys_enter_getppid { printf("%d %s\n", pid, comm); }"#,
        load: "getppid=20000",
        events: 20_000,
    },
    Body {
        name: "str(argument) as key",
        script: "tracepoint:syscalls:sys_enter_openat { @[str(args.filename)] = count(); }",
        load: "missing=100000",
        events: 100_000,
    },
    Body {
        name: "ustack as key",
        script: "tracepoint:syscalls:sys_enter_getppid { @[ustack] = count(); }",
        load: "getppid=50000",
        events: 50_000,
    },
];

/// The kernel measures as long as this lives.
struct Measuring {
    before: String,
}

impl Measuring {
    fn start() -> Result<Self> {
        let before = fs::read_to_string(SETTING)?;
        fs::write(SETTING, "1").context("cannot make the kernel measure programs")?;
        Ok(Self { before })
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SETTING, &self.before) {
            eprintln!("bench: {SETTING} cannot be set back: {error}");
        }
    }
}

/// Measures all bodies so many times, prints a table, and says what was aimed at.
pub fn measure(tools: &Tools, rounds: usize) -> Result<Vec<Target>> {
    let _measuring = Measuring::start()?;
    println!("{:<32}{:>16}{:>16}{:>16}", "ns an event, in the kernel", "ctrace", "bpftrace", "of bpftrace's");
    let mut ratios = Vec::new();
    for body in &BODIES {
        let mut costs = [Tool::Ctrace, Tool::Bpftrace].map(|tool| (tool, Vec::new()));
        for _ in 0..rounds {
            for (tool, costs) in &mut costs {
                costs.push(cost(tools, *tool, body).with_context(|| format!("{}: {}", tools.name(*tool), body.name))?);
            }
        }
        let [ours, theirs] = costs.map(|(_, costs)| median(&costs));
        ratios.push(ours / theirs);
        println!("{:<32}{ours:>16.0}{theirs:>16.0}{:>16.2}", body.name, ours / theirs);
    }
    println!();
    let highest = ratios.iter().copied().fold(f64::NAN, f64::max);
    Ok(vec![
        Target::at_most("an event, of bpftrace's: the dearest body", highest, 1.0),
        Target::at_most("an event, of bpftrace's: the median", median(&ratios), 0.7),
    ])
}

/// ns an event.
fn cost(tools: &Tools, tool: Tool, body: &Body) -> Result<f64> {
    let cgroup = Cgroup::new("bench")?;
    let traced = Traced::start(tools.script(tool, &cgroup, body.script)?, tool.ready())?;
    let before = run_time(traced.pid())?;
    let load = process::command(&cgroup, &format!("exec {} {}", shell::quote(&tools.peer()), body.load)).status()?;
    ensure!(load.success(), "the load ended with {load}");
    let took = run_time(traced.pid())? - before;
    traced.stop()?;
    Ok(took as f64 / f64::from(body.events))
}

/// What the programs that a process holds have taken so far, in ns.
fn run_time(pid: u32) -> Result<u64> {
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor may be closed while we look.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        programs.extend(program(&text));
    }
    ensure!(!programs.is_empty(), "process {pid} holds no programs");
    Ok(programs.values().sum())
}

/// The id of a program and its run time in ns, if this is the description of one's descriptor.
fn program(fdinfo: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let value = fdinfo.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse().ok()
    };
    Some((field("prog_id:")?, field("run_time_ns:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_links_and_files() {
        let program_text = "pos:\t0\nflags:\t02000002\nprog_type:\t17\nprog_id:\t7\nrun_time_ns:\t1234\nrun_cnt:\t5\n";
        assert_eq!(program(program_text), Some((7, 1234)));
        assert_eq!(program("link_type:\traw_tracepoint\nlink_id:\t3\nprog_id:\t7\n"), None);
        assert_eq!(program("pos:\t0\nflags:\t0100000\n"), None);
    }
}
