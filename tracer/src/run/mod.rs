//! Object and plan → a live session.
//!
//! In: the object's bytes and the [`Plan`](crate::plan::Plan), and what the user wants besides (a command, a duration).
//! Out: calls of a [`Sink`] as things happen, and an [`Outcome`] at the end. The only asynchronous part of ctrace: one
//! thread, one tokio runtime, within [`run`]. Nothing is pinned and everything hangs on file descriptors, so however the
//! process ends, the kernel takes all of it away.
//!
//! In reading order:
//! - [`sys`]: system calls that no crate we use makes; the only `unsafe`
//! - [`identity`]: asks the kernel where the caller lies
//! - [`load`](mod@load): object → programs and maps in the kernel
//! - `multi`: programs that aya does not load
//! - [`attach`]: attachments that aya does not make
//! - [`maps`]: reading, emptying and changing the script's maps
//! - `records`: what programs send, in order
//! - [`command`]: the process of `-c`, which waits until everything is attached
//! - `log`: what the runtime library says of itself
//! - [`session`]: begin, attach, the event loop, end

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use thiserror::Error;

pub mod attach;
pub mod command;
mod events;
pub mod identity;
pub mod load;
mod log;
pub mod maps;
mod multi;
mod records;
pub mod session;
pub mod sys;
#[cfg(test)]
mod tests;

pub use load::{Loaded, load};
pub use maps::Maps;
pub use session::{Flow, Options, Outcome, Reason, Sink, run};

/// Why a session cannot be, or cannot go on.
#[derive(Debug, Error)]
pub enum Error {
    /// The verifier does not accept a program: a defect of ours, whatever the script.
    #[error("the kernel's verifier rejects program {program} ({error}); this is a defect of ctrace, please report it")]
    Verifier {
        /// The program's symbol.
        program: String,
        /// What the system call returned.
        error: io::Error,
        /// What the verifier said.
        log: String,
    },
    /// The kernel refuses to load a program without looking at it: privileges, a limit, a type that it does not know.
    #[error("cannot load program {program}: {error}")]
    Load {
        /// The program's symbol.
        program: String,
        /// What the system call returned.
        error: io::Error,
    },
    /// A program cannot be attached.
    #[error("cannot attach to raw tracepoint {event}: {error}")]
    Attach {
        /// The tracepoint.
        event: String,
        /// Why.
        error: ProgramError,
    },
    /// A program cannot be attached to a file.
    #[error("cannot attach to {file}: {error}")]
    AttachUprobe {
        /// The program or library.
        file: String,
        /// Why.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A perf event cannot be had.
    #[error("cannot attach to {probe}{why}: {error}")]
    AttachSample {
        /// As the script names it.
        probe: String,
        /// What that means.
        why: &'static str,
        /// What the system call returned.
        error: String,
    },
    /// A program cannot be attached to a tracepoint of tracefs.
    #[error("cannot attach to tracepoint:{event}: {error}")]
    AttachTracepoint {
        /// Its category and name.
        event: String,
        /// What the system call returned.
        error: io::Error,
    },
    /// A program cannot be attached to a function of the kernel.
    #[error("cannot attach to {function} of the kernel: {reason}")]
    AttachKprobe {
        /// The function.
        function: String,
        /// Why.
        reason: String,
    },
    /// What the kernel is to go over cannot be gone over.
    #[error("cannot go over {over}: {error}")]
    Iterate {
        /// What.
        over: String,
        /// What the system call returned.
        error: io::Error,
    },
    /// The kernel refuses all places, each of which it might.
    #[error("the kernel does not let any of the script's probes be attached")]
    NothingAttached,
    /// A program that user space runs cannot be run.
    #[error("cannot run program {program}: {error}")]
    TestRun {
        /// The program's symbol.
        program: String,
        /// Why.
        error: ProgramError,
    },
    /// Maps cannot be made.
    #[error("cannot load the object: {0}")]
    Object(#[from] EbpfError),
    /// A map cannot be used.
    #[error("map {name}: {error}")]
    Map {
        /// Its name.
        name: String,
        /// Why.
        error: MapError,
    },
    /// The object has not what the plan speaks of: a defect of ours.
    #[error("the object has no {name}")]
    Missing {
        /// The symbol.
        name: String,
    },
    /// How many CPUs there may be is not known.
    #[error("cannot read {path}: {error}")]
    Cpus {
        /// The file.
        path: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The command of `-c` cannot be started.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// The runtime library cannot be listened to.
    #[error("cannot read diagnostics: {0}")]
    Log(aya_log::Error),
    /// A system call that does not usually fail.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl Error {
    fn missing(name: &str) -> Self {
        Self::Missing { name: name.to_owned() }
    }

    /// A verifier that has looked at the program has something to say about it.
    fn of_load(program: &str, error: io::Error, log: String) -> Self {
        let program = program.to_owned();
        if log.trim().is_empty() { Self::Load { program, error } } else { Self::Verifier { program, error, log } }
    }

    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }
}
