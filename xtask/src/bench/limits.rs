//! What is measured against a number, not against a peer alone: compiling, attaching to all system calls, and a flood of
//! records.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ::tests::cgroup::Cgroup;
use ::tests::process;
use anyhow::{Result, ensure};

use super::Target;
use super::measure::{Traced, median};
use super::tools::{Tool, Tools};
use crate::shell;

/// How often something short is repeated.
const REPEATED: usize = 15;
/// Functions of a program that are attached to.
const FUNCTIONS: u32 = 6000;
/// Records of the flood.
const FLOOD: u64 = 1_000_000;

/// How long the largest canned tool takes from text to object: a whole run, less one that stops after the lexer.
pub fn compile(tools: &Tools) -> Result<Target> {
    let listed = shell::read(shell::command(tools.ctrace()).arg("tools"))?;
    let mut largest = (String::new(), String::new());
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let script = shell::read(shell::command(tools.ctrace()).args(["tools", "show", name]))?;
        if script.len() > largest.1.len() {
            largest = (name.to_owned(), script);
        }
    }
    let (name, script) = largest;
    ensure!(!script.is_empty(), "there is no canned tool");
    let timed = |stage: &str| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..REPEATED {
            let mut command = shell::command(tools.ctrace());
            command.args(["--emit", stage, "-o", "/dev/null", "-e", &script]);
            let start = Instant::now();
            shell::run(&mut command)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(&times))
    };
    let took = timed("elf")? - timed("tokens")?;
    Ok(Target::at_most(&format!("compiling {name} ({} lines), ms", script.lines().count()), took, 5.0))
}

/// How long ctrace takes from its start until it counts each system call by its name. (bpftrace takes 25 s.)
pub fn attach(tools: &Tools) -> Result<Target> {
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        let cgroup = Cgroup::new("bench")?;
        let command = tools.script(Tool::Ctrace, &cgroup, "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }")?;
        let start = Instant::now();
        let traced = Traced::start(command, Tool::Ctrace.ready())?;
        times.push(start.elapsed());
        traced.stop()?;
    }
    let times: Vec<f64> = times.iter().map(|time: &Duration| time.as_secs_f64() * 1e3).collect();
    Ok(Target::at_most("attached to sys_enter_*, ms", median(&times), 100.0))
}

/// How long ctrace takes from its start until it counts the calls of each of thousands of functions of a program, that runs.
pub fn functions(tools: &Tools) -> Result<Target> {
    let folder = std::env::temp_dir().join(format!("ctrace-bench-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let measured = functions_in(tools, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn functions_in(tools: &Tools, folder: &Path) -> Result<Target> {
    let function = |number| format!("__attribute__((noinline)) int many_{number}(int n) {{ return n * {number}; }}\n");
    let main = "#include <unistd.h>\nint main(void) { return many_0(pause()); }\n";
    let (text, program) = (folder.join("many.c"), folder.join("many"));
    fs::write(&text, (0..FUNCTIONS).map(function).collect::<String>() + main)?;
    shell::run(shell::command("cc").arg("-O1").arg("-o").args([&program, &text]))?;
    let script = format!("uprobe:{}:many_* {{ @[probe] = count(); }}", program.display());
    let cgroup = Cgroup::new("bench")?;
    // One that runs, so that its code is changed as well.
    let mut running = process::command(&cgroup, &format!("exec '{}'", program.display())).spawn()?;
    let mut times = Vec::new();
    for _ in 0..REPEATED {
        let command = tools.script(Tool::Ctrace, &cgroup, &script)?;
        let start = Instant::now();
        let traced = Traced::start(command, Tool::Ctrace.ready())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        traced.stop()?;
    }
    running.kill()?;
    running.wait()?;
    Ok(Target::at_most(&format!("attached to {FUNCTIONS} functions, ms"), median(&times), 1000.0))
}

/// A million records as fast as one process makes them: printed and lost add up, and fewer are lost than bpftrace loses.
pub fn flood(tools: &Tools) -> Result<Vec<Target>> {
    let script = r#"tracepoint:syscalls:sys_enter_getppid { printf("%d getppid %s\n", pid, comm); }"#;
    let mut counted = Vec::new();
    for tool in [Tool::Ctrace, Tool::Bpftrace] {
        let cgroup = Cgroup::new("bench")?;
        let traced = Traced::start(tools.script(tool, &cgroup, script)?, tool.ready())?;
        let load = format!("exec {} getppid={FLOOD}", shell::quote(&tools.peer()));
        let load = process::command(&cgroup, &load).status()?;
        ensure!(load.success(), "the load ended with {load}");
        let output = traced.output()?;
        let printed = output.stdout.lines().filter(|line| line.contains(" getppid peer")).count() as u64;
        let lost = output.stderr.lines().chain(output.stdout.lines()).filter_map(lost).sum::<u64>();
        println!("{:<32}{printed:>12} printed{lost:>12} said to be lost", tools.name(tool));
        counted.push((printed, lost));
    }
    println!();
    let [(printed, lost), (theirs, _)] = counted[..] else { unreachable!("two tools were measured") };
    let share = |missing: u64| missing as f64 / FLOOD as f64;
    Ok(vec![
        Target::at_most("flood: records neither printed nor counted", FLOOD.abs_diff(printed + lost) as f64, 0.0),
        Target::at_most("flood: share that is lost, as bpftrace's", share(lost), share(FLOOD.saturating_sub(theirs))),
    ])
}

/// The number in `lost 17 records: …` or `Lost 17 events`.
fn lost(line: &str) -> Option<u64> {
    let words = line.split_once("ost ")?.1;
    words.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_from_what_both_say() {
        assert_eq!(lost("lost 17 records: the ring buffer was full"), Some(17));
        assert_eq!(lost("Lost 3 events"), Some(3));
        assert_eq!(lost("scope: processes of this cgroup"), None);
    }
}
