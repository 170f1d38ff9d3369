//! Where output goes: stdout or a file, written out as `-B` asks.

use std::fs::File;
use std::io::{self, BufWriter, LineWriter, Write};
use std::os::fd::{AsFd, OwnedFd};

use super::high::{self, Buffering};

/// A place to write to.
pub enum Output {
    /// Written out after each line.
    Line(LineWriter<File>),
    /// Written out when it is full, and at the end.
    Full(BufWriter<File>),
    /// Written out at once.
    Unbuffered(File),
}

impl Output {
    /// Opens it; a file is made, or emptied. Also hands out the descriptor, by which to see whether anybody still reads.
    pub fn open(output: &high::Output) -> io::Result<(Self, OwnedFd)> {
        let file = match &output.file {
            Some(path) => File::create(path)?,
            None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        let descriptor = file.try_clone()?.into();
        let sink = match output.buffering {
            Buffering::Line => Self::Line(LineWriter::new(file)),
            Buffering::Full => Self::Full(BufWriter::new(file)),
            Buffering::None => Self::Unbuffered(file),
        };
        Ok((sink, descriptor))
    }

    /// Whether what is complete should reach the reader as soon as there is nothing else to do.
    pub fn is_prompt(&self) -> bool {
        !matches!(self, Self::Full(_))
    }

    fn inner(&mut self) -> &mut dyn Write {
        match self {
            Self::Line(writer) => writer,
            Self::Full(writer) => writer,
            Self::Unbuffered(file) => file,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}
