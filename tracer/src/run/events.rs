//! What comes to a session from outside: signals, the command's or the traced process's end, an output that nobody reads.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Error;
use super::command::Command;
use super::session::{Options, Reason};
use super::sys;

/// What has come.
pub(super) enum Happens {
    /// The session is to end.
    End(Reason),
    /// The signal that scripts may use (`self:signal:SIGUSR1`).
    OwnSignal,
}

/// What comes to a session from outside.
pub(super) struct Events {
    interrupt: Signal,
    terminate: Signal,
    own: Signal,
    child: Signal,
    /// Where our output goes, if that can be watched: a pipe or a terminal.
    output: Option<AsyncFd<OwnedFd>>,
    /// The only process that is traced.
    process: Option<AsyncFd<OwnedFd>>,
}

impl Events {
    /// From here on a signal ends the session, and not the process; SIGUSR1 ends neither, as in bpftrace.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let signal = |kind| signal(kind).map_err(Error::io("cannot handle signals"));
        let output = match &options.output {
            Some(output) => Some(output.try_clone().map_err(Error::io("cannot watch the output"))?),
            None => None,
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            own: signal(SignalKind::user_defined1())?,
            child: signal(SignalKind::child())?,
            // A regular file cannot be watched, and is never closed by its reader.
            output: output.and_then(|output| sys::watch(output, Interest::ERROR).ok()),
            process: options.places.pid.map(process).transpose()?,
        })
    }

    /// Returns when the first of them happens, and says which.
    pub(super) async fn next(&mut self, command: Option<&Command>) -> Result<Happens, Error> {
        let Self { interrupt, terminate, own, child, output, process } = self;
        loop {
            tokio::select! {
                biased;
                // First: whoever sends it and ends, like a command, has sent it before.
                _ = own.recv() => return Ok(Happens::OwnSignal),
                _ = interrupt.recv() => return Ok(Happens::End(Reason::Signal(libc::SIGINT))),
                _ = terminate.recv() => return Ok(Happens::End(Reason::Signal(libc::SIGTERM))),
                () = becomes(output.as_ref(), Interest::ERROR) => return Ok(Happens::End(Reason::OutputClosed)),
                () = becomes(process.as_ref(), Interest::READABLE) => return Ok(Happens::End(Reason::ProcessEnded)),
                _ = child.recv() => {
                    if let Some(status) = command.map(Command::try_wait).transpose()?.flatten() {
                        return Ok(Happens::End(Reason::CommandEnded(status)));
                    }
                }
            }
        }
    }
}

/// A process that is readable once it has ended.
fn process(pid: u32) -> Result<AsyncFd<OwnedFd>, Error> {
    let io = Error::io("cannot watch the process");
    let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return Err(io(ErrorKind::NotFound.into())) };
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| io(error.into()))?;
    sys::watch(process, Interest::READABLE).map_err(Error::io("cannot watch the process"))
}

/// Returns when a pipe has lost its reader, or a process has ended; never, if there is nothing to watch.
async fn becomes(watched: Option<&AsyncFd<OwnedFd>>, interest: Interest) {
    let ready = match watched {
        Some(watched) => watched.ready(interest).await.is_ok(),
        None => false,
    };
    if !ready {
        std::future::pending::<()>().await;
    }
}
