//! Tracepoints whose programs are given the records that tracefs describes: a perf event for each. (Those of the
//! catalogue are raw tracepoints, which aya attaches.)

use std::os::fd::{AsFd, OwnedFd};

use crate::run::{Error, sys};

/// Attaches to the tracepoint of this number, on all CPUs.
pub fn attach(program: &OwnedFd, event: &str, id: u64) -> Result<OwnedFd, Error> {
    sys::perf::link_tracepoint(program.as_fd(), id)
        .map_err(|error| Error::AttachTracepoint { event: event.to_owned(), error })
}
