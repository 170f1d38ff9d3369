//! `cargo xtask demo`: what ctrace does, in some seconds: a workload in a cgroup of its own, as in a container, and the
//! latency of its system calls.

use std::fs;

use anyhow::{Context, Result, ensure};
use tests::cgroup::Cgroup;
use tests::process;

use crate::{dist, shell};

/// Searches, writes and syncs, and waits: calls that take a microsecond, a millisecond and longer.
const WORKLOAD: &str = "\
while :; do
    find /usr/share/doc -type f > /dev/null
    dd if=/dev/zero of=file bs=64k count=64 conv=fsync 2> /dev/null
    sleep 0.02
done";

/// How long to trace, in seconds.
const DURATION: &str = "5";

/// Builds ctrace and shows the latency of a workload's system calls.
pub fn main() -> Result<()> {
    let ctrace = dist::build()?;
    let scratch = shell::target().join("demo");
    fs::create_dir_all(&scratch)?;
    let cgroup = Cgroup::new("demo").context("a cgroup for the workload needs root")?;

    println!("A workload in a cgroup of its own, as a container has one:\n\n{WORKLOAD}\n");
    let mut workload = process::command(&cgroup, &format!("{{\n{WORKLOAD}\n}}"));
    let mut workload = workload.current_dir(&scratch).spawn()?;

    println!("$ ctrace syscall-latency -d {DURATION}    # inside that cgroup\n");
    let line = format!("exec {} syscall-latency -d {DURATION}", shell::quote(&ctrace.to_string_lossy()));
    let status = process::command(&cgroup, &line).status()?;

    cgroup.remove()?;
    workload.wait()?;
    shell::remove(&scratch)?;
    ensure!(status.success(), "ctrace ended with {status}");
    println!("\nNext: {} -e 'BEGIN {{ printf(\"hello\\n\"); exit(); }}'", ctrace.display());
    Ok(())
}
