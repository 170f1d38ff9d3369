//! What is attached goes with the process that attached it, in whatever way that ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::docker::Container;
use tests::process::NOTIFY;

use crate::world::{PRIVILEGED, World};

/// How long the kernel may take to free programs, which it does in the background.
const FREED: Duration = Duration::from_secs(20);

/// Programs and links of a ctrace in a container are gone after `kill -9`.
pub fn killed(world: &World) -> Result<()> {
    let image = world.application()?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    let script = "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }";
    let mut ctrace = app
        .exec_with(&["--env", &format!("{NOTIFY}=1")], &["ctrace", "-e", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdout = BufReader::new(ctrace.stdout.take().context("no stdout")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    ensure!(line.trim_end() == NOTIFY, "ctrace printed {line:?} first");

    let pid = host_pid(world, &app)?;
    let (programs, links) = (held(pid, "prog")?, held(pid, "link")?);
    let shown = (shared(&programs, &all("prog")?), shared(&links, &all("link")?));
    ensure!(!shown.0.is_empty() && !shown.1.is_empty(), "it holds {programs:?} and {links:?}, bpftool shows {shown:?}");
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    ensure!(killed.success(), "kill ended with {killed}");
    ctrace.wait()?;

    let deadline = Instant::now() + FREED;
    loop {
        let left = (shared(&programs, &all("prog")?), shared(&links, &all("link")?));
        if left.0.is_empty() && left.1.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "left: programs {:?}, links {:?}", left.0, left.1);
    }
}

fn shared(ours: &BTreeSet<u64>, all: &BTreeSet<u64>) -> Vec<u64> {
    ours.intersection(all).copied().collect()
}

/// The number that the machine knows the container's ctrace by.
fn host_pid(world: &World, app: &Container) -> Result<u64> {
    let listed = world.docker.read(&["top", &app.name, "-eo", "pid,comm"])?;
    let pid = listed.lines().find_map(|line| line.trim().strip_suffix(" ctrace"));
    Ok(pid.with_context(|| format!("no ctrace in:\n{listed}"))?.trim().parse()?)
}

/// Ids of the programs or links that a process holds: the kernel shows them with its file descriptors.
fn held(pid: u64, what: &str) -> Result<BTreeSet<u64>> {
    let key = format!("{what}_id:");
    let mut ids = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let info = fs::read_to_string(file?.path())?;
        for id in info.lines().filter_map(|line| line.strip_prefix(&key)) {
            ids.insert(id.trim().parse()?);
        }
    }
    Ok(ids)
}

/// Ids of all programs or links of the machine.
fn all(what: &str) -> Result<BTreeSet<u64>> {
    let output = Command::new("bpftool").args(["-j", what, "show"]).output().context("cannot run bpftool")?;
    let objects: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    Ok(objects.iter().filter_map(|object| object["id"].as_u64()).collect())
}
