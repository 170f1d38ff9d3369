//! A process in a cgroup: what it prints, when it says that its probes are attached, and how it ends before a deadline.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup::Cgroup;

/// The environment variable that asks for a line once everything is attached; the line is its name.
pub const NOTIFY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// A running process; it is killed with its cgroup.
pub struct Process {
    child: Child,
    pidfd: OwnedFd,
    attached: Receiver<()>,
    stdout: JoinHandle<std::io::Result<String>>,
    stderr: JoinHandle<std::io::Result<String>>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status or signal.
    pub status: ExitStatus,
    /// What it printed, without the line about attached probes.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
}

/// A command that starts in `cgroup` as `line`, one command for a POSIX shell.
pub fn command(cgroup: &Cgroup, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{} && {line}", cgroup.enter())).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts a command; its output is collected.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pidfd = pidfd(&child)?;
        let (notify, attached) = channel();
        let stdout = child.stdout.take().context("no stdout")?;
        let mut stderr = child.stderr.take().context("no stderr")?;
        Ok(Self {
            child,
            pidfd,
            attached,
            stdout: std::thread::spawn(move || collect(stdout, &notify)),
            stderr: std::thread::spawn(move || {
                let mut bytes = Vec::new();
                stderr.read_to_end(&mut bytes)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }),
        })
    }

    /// Waits for the line that says that everything is attached; false if the process closed its output before.
    pub fn wait_attached(&self, deadline: Instant) -> Result<bool> {
        match self.attached.recv_timeout(left(deadline)) {
            Ok(()) => Ok(true),
            Err(RecvTimeoutError::Disconnected) => Ok(false),
            Err(RecvTimeoutError::Timeout) => bail!("probes are not attached in time"),
        }
    }

    /// Sends SIGINT; a process that has ended does not mind.
    pub fn interrupt(&self) -> Result<()> {
        match pidfd_send_signal(&self.pidfd, Signal::INT) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the end, and then kills whatever else runs in `cgroup`, which would hold the output open. A process
    /// that still runs at the deadline is killed too, and that is an error that shows what it printed.
    pub fn finish(mut self, cgroup: &Cgroup, deadline: Instant) -> Result<Ended> {
        let in_time = ends_before(&self.pidfd, deadline)?;
        cgroup.kill()?;
        let status = self.child.wait()?;
        let stdout = self.stdout.join().ok().context("the reader of stdout failed")??;
        let stderr = self.stderr.join().ok().context("the reader of stderr failed")??;
        if !in_time {
            bail!("still running at the deadline, and killed; stdout:\n{stdout}\nstderr:\n{stderr}");
        }
        Ok(Ended { status, stdout, stderr })
    }
}

/// Runs a command whose output does not matter; it is an error if it fails, or runs at the deadline.
pub fn run(mut command: Command, deadline: Instant) -> Result<()> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
    if !ends_before(&pidfd(&child)?, deadline)? {
        child.kill()?;
        child.wait()?;
        bail!("still running at the deadline, and killed");
    }
    let status = child.wait()?;
    ensure!(status.success(), "ended with {status}");
    Ok(())
}

fn pidfd(child: &Child) -> Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether a process ends before the deadline.
fn ends_before(pidfd: &OwnedFd, deadline: Instant) -> Result<bool> {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec::try_from(left(deadline))?))? == 1)
}

/// Reads to the end; the first line about attached probes is passed on instead of kept.
fn collect(stdout: impl Read, notify: &Sender<()>) -> std::io::Result<String> {
    let mut stdout = BufReader::new(stdout);
    let (mut text, mut line, mut notified) = (String::new(), Vec::new(), false);
    while stdout.read_until(b'\n', &mut line)? > 0 {
        if !notified && line.trim_ascii_end() == NOTIFY.as_bytes() {
            notified = true;
            // A caller that does not wait for it has dropped the other end.
            let _ = notify.send(());
        } else {
            text.push_str(&String::from_utf8_lossy(&line));
        }
        line.clear();
    }
    Ok(text)
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
