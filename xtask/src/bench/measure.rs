//! The measurements: a tracer that is ready, a load's time, a program's time and memory.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::tests::cgroup::Cgroup;
use ::tests::process;
use anyhow::{Context, Result, bail, ensure};
use wait4::Wait4;

/// How long a tracer may take to attach.
const ATTACH: Duration = Duration::from_secs(60);
/// The load: this many blocks, two system calls each.
const BLOCKS: u32 = 1_000_000;
/// What strace gets of them: it needs a minute for all.
const STRACE_BLOCKS: u32 = BLOCKS / 50;

/// A tracer that has attached its probes.
pub struct Traced {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// What a tracer has printed.
pub struct Output {
    /// All of its output.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Traced {
    /// Starts a tracer and waits for the line of its output that contains `ready`.
    pub fn start(mut command: Command, ready: &'static str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let (sender, receiver) = channel();
        let stdout = std::thread::spawn(move || drain(stdout, ready, &sender));
        let stderr = child.stderr.take().context("no stderr")?;
        let stderr = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        if receiver.recv_timeout(ATTACH).is_err() {
            child.kill()?;
            child.wait()?;
            let said = stderr.join().ok().context("the reader of stderr failed")?;
            bail!("{command:?} did not attach:\n{said}");
        }
        Ok(Self { child, stdout, stderr })
    }

    /// The tracer's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the tracer and returns what it has printed.
    pub fn output(mut self) -> Result<Output> {
        terminate(&self.child)?;
        self.child.wait()?;
        Ok(Output {
            stdout: self.stdout.join().ok().context("the reader of stdout failed")?,
            stderr: self.stderr.join().ok().context("the reader of stderr failed")?,
        })
    }

    /// Ends the tracer and returns its peak resident memory, in MB.
    pub fn stop(self) -> Result<f64> {
        terminate(&self.child)?;
        let ended = self.child.wait4()?;
        self.stdout.join().ok().context("the reader of stdout failed")?;
        self.stderr.join().ok().context("the reader of stderr failed")?;
        Ok(megabytes(ended.rusage.maxrss))
    }
}

/// Reads all, so that the tracer never waits for us.
fn drain(stdout: impl Read, ready: &str, sender: &Sender<()>) -> String {
    let (mut stdout, mut text, mut line) = (BufReader::with_capacity(1 << 20, stdout), Vec::new(), 0);
    while stdout.read_until(b'\n', &mut text).is_ok_and(|length| length > 0) {
        // Nobody listens any more after the first line, which is among the first few.
        if line < 100 && String::from_utf8_lossy(&text).contains(ready) {
            let _ = sender.send(());
        }
        line += 1;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// SIGTERM, which no shell has made us and so our children ignore, as one does SIGINT for what it runs in the background.
fn terminate(child: &Child) -> Result<()> {
    let pid = child.id().to_string();
    // A tracer that has failed is gone already; how it ended is the caller's to see.
    Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().context("cannot run kill")?;
    Ok(())
}

/// Runs the load in a cgroup and returns the seconds that it measured itself: its start is not part of them.
pub fn dd(cgroup: &Cgroup) -> Result<f64> {
    dd_seconds(process::command(cgroup, &format!("exec {}", load(BLOCKS))))
}

/// What the same would take under strace, which counts calls and times.
pub fn strace(cgroup: &Cgroup) -> Result<f64> {
    let part = process::command(cgroup, &format!("exec strace -f -c -o /dev/null {}", load(STRACE_BLOCKS)));
    Ok(dd_seconds(part)? * f64::from(BLOCKS / STRACE_BLOCKS))
}

fn load(blocks: u32) -> String {
    format!("dd if=/dev/zero of=/dev/null bs=1 count={blocks}")
}

fn dd_seconds(mut command: Command) -> Result<f64> {
    let output = command.env("LC_ALL", "C").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "dd ended with {}:\n{said}", output.status);
    seconds(&said).with_context(|| format!("dd printed no time:\n{said}"))
}

/// `1000000 bytes (1.0 MB, 977 KiB) copied, 0.342776 s, 2.9 MB/s`
fn seconds(said: &str) -> Option<f64> {
    said.split("copied, ").nth(1)?.split(' ').next()?.parse().ok()
}

/// Runs a program to its end and returns its milliseconds and its peak resident memory in MB.
pub fn start_to_exit(mut command: Command) -> Result<(f64, f64)> {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let ended = child.wait4()?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    ensure!(ended.status.success(), "{command:?} ended with {}", ended.status);
    Ok((milliseconds, megabytes(ended.rusage.maxrss)))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The middle value; of an even number, the upper one of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_what_dd_says() {
        let said = "1000000+0 records in\n1000000+0 records out\n\
                    1000000 bytes (1.0 MB, 977 KiB) copied, 0.342776 s, 2.9 MB/s\n";
        assert_eq!(seconds(said), Some(0.342776));
        assert_eq!(seconds("dd: failed"), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
