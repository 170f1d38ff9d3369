//! How long it takes to attach to many probes: hundreds of clauses here, a wildcard of kernel functions in virtual machines.

use std::time::{Duration, Instant};

use ::tests::cgroup::Cgroup;
use anyhow::{Context, Result, ensure};

use super::Target;
use super::measure::{Traced, median};
use super::tools::{Tool, Tools};
use crate::initramfs::Entry;
use crate::kernels::Series;
use crate::qemu::Serial;
use crate::{shell, vm};

/// How often it is measured.
const REPEATED: usize = 5;
/// Clauses of the script, each for another system call.
const CLAUSES: usize = 300;
/// How long a machine may take, in all.
const MACHINE: Duration = Duration::from_secs(300);

/// A script with hundreds of clauses: from its text to its object, and from the start until all are attached.
pub fn hundreds(tools: &Tools) -> Result<Vec<Target>> {
    let listed = shell::read(shell::command(tools.ctrace()).args(["-l", "tracepoint:syscalls:sys_enter_*"]))?;
    let probes: Vec<&str> = listed.lines().take(CLAUSES).collect();
    ensure!(probes.len() == CLAUSES, "this kernel has {} system calls", probes.len());
    let clauses = probes.iter().enumerate().map(|(index, probe)| format!("{probe} {{ @[{index}] = count(); }}\n"));
    let script: String = clauses.collect();
    let (mut compiled, mut attached) = (Vec::new(), Vec::new());
    for _ in 0..REPEATED {
        let mut compile = shell::command(tools.ctrace());
        compile.args(["--emit", "elf", "-o", "/dev/null", "-e", &script]);
        let start = Instant::now();
        shell::run(&mut compile)?;
        compiled.push(start.elapsed().as_secs_f64() * 1e3);

        let cgroup = Cgroup::new("bench")?;
        let command = tools.script(Tool::Ctrace, &cgroup, &script)?;
        let start = Instant::now();
        let traced = Traced::start(command, Tool::Ctrace.ready())?;
        attached.push(start.elapsed().as_secs_f64() * 1e3);
        traced.stop()?;
    }
    Ok(vec![
        Target::at_most(&format!("{CLAUSES} clauses, text to object, ms"), median(&compiled), 100.0),
        Target::at_most(&format!("{CLAUSES} clauses, start to attached, ms"), median(&attached), 1000.0),
    ])
}

/// Seconds of the machine's clock from the start until ctrace is attached to all functions of a wildcard. The machines are
/// emulated, and several times slower than what they run on.
pub fn in_machines(tools: &Tools) -> Result<Vec<Target>> {
    let entries = [Entry { from: tools.ctrace().into(), to: "/bin/ctrace".to_owned() }];
    let command = "\
        export __BPFTRACE_NOTIFY_PROBES_ATTACHED=1\n\
        up() { cut -d' ' -f1 /proc/uptime; }\n\
        start=$(up)\n\
        ctrace -q -d 1 -e 'kprobe:tcp_* { @ = count(); }' | while read line; do\n\
        case $line in *ATTACHED*) echo took $start $(up);; esac; done\n";
    let mut targets = Vec::new();
    for series in Series::ALL {
        let mut took = None;
        let mut read = |line: &str| took = took.or_else(|| seconds(line));
        vm::run(series, command, &entries, MACHINE, Serial::Lines(&mut read))?;
        let took = took.with_context(|| format!("nothing was attached on {}", series.name()))?;
        targets.push(Target::at_most(&format!("kprobe:tcp_* on an emulated {}, s", series.name()), took, 1.0));
    }
    Ok(targets)
}

/// The difference in `took 4.51 5.23`.
fn seconds(line: &str) -> Option<f64> {
    let mut numbers = line.strip_prefix("took ")?.split(' ').map(str::parse::<f64>);
    let (start, end) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(end - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_read_from_two_numbers() {
        assert_eq!(seconds("took 4.5 5.25"), Some(0.75));
        assert_eq!(seconds("scope: the whole machine"), None);
    }
}
