//! What the kernel goes over (tasks, files, …): a file for each program, which is read to its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};

use crate::run::{Error, sys};

/// Most things that the kernel goes over before records are taken out of the ring: a program writes a byte for each that
/// is in scope.
const AT_ONCE: usize = 64;

/// What is still to be gone over, one after the other.
#[derive(Debug, Default)]
pub struct Iterators(VecDeque<(String, File)>);

impl Iterators {
    /// One more: the program's, which goes over what is called `over`.
    pub fn add(&mut self, program: &OwnedFd, over: &str) -> Result<(), Error> {
        self.0.push_back((over.to_owned(), sys::iter::open(program.as_fd()).map_err(failed(over))?));
        Ok(())
    }

    /// Whether there is nothing left.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes a bit further.
    pub fn advance(&mut self) -> Result<(), Error> {
        let Some((over, file)) = self.0.front_mut() else { return Ok(()) };
        match file.read(&mut [0; AT_ONCE]) {
            Ok(0) => drop(self.0.pop_front()),
            Ok(_) => {}
            // The kernel gives way to others after a great many things that are not in scope.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(failed(over)(error)),
        }
        Ok(())
    }
}

fn failed(over: &str) -> impl FnOnce(std::io::Error) -> Error {
    let over = over.to_owned();
    move |error| Error::Iterate { over, error }
}
