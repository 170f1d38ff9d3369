//! Finds and opens the files of whoever is traced, without being led astray by them.
//!
//! A path is resolved with the target's root as `/`, by the kernel (`openat2`, RESOLVE_IN_ROOT): no symbolic link leads
//! out of it. Only regular files are opened: the rest is looked at through O_PATH, which runs no driver and waits for no
//! writer of a FIFO.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{env, io};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use thiserror::Error as ThisError;

use super::library;

/// Most names of a folder that are looked at.
const MOST_NAMES: usize = 1 << 17;

/// Whose file system paths are meant in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Our own.
    Own,
    /// That of a process, by its pid here.
    Process(u32),
}

/// Why a file is not open.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The root of a process cannot be had.
    #[error("cannot look into the file system of process {pid}: {error}")]
    Root {
        /// The process.
        pid: u32,
        /// Why.
        error: io::Error,
    },
    /// The file cannot be opened.
    #[error("cannot open {path}: {error}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It has no code in it.
    #[error("{path} is {what}, not a file with a program")]
    Kind {
        /// The file.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// There is no path in a name, and no such program.
    #[error("there is no program or library `{0}` in the usual places; give its path")]
    NotFound(String),
}

/// Opens what a script names: a path, or the name of a library or of a program in `PATH`.
pub fn find(name: &str, root: &Root) -> Result<(PathBuf, File), Error> {
    if name.contains('/') {
        let path = match root {
            Root::Own => std::path::absolute(name).unwrap_or_else(|_| name.into()),
            Root::Process(_) => Path::new("/").join(name),
        };
        let file = open(&path, root)?;
        return Ok((path, file));
    }
    if let Some(found) = library::find(name, root) {
        return Ok(found);
    }
    let search = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    env::split_paths(&search)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find_map(|path| open(&path, root).ok().map(|file| (path, file)))
        .ok_or_else(|| Error::NotFound(name.to_owned()))
}

/// Opens a regular file for reading.
pub fn open(path: &Path, root: &Root) -> Result<File, Error> {
    let failed = |error: rustix::io::Errno| Error::Open { path: path.display().to_string(), error: error.into() };
    let place = match running(path, root) {
        Some(place) => place,
        None => locate(path, root)?,
    };
    let status = rustix::fs::fstat(&place).map_err(failed)?;
    let what = match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile if status.st_size > 0 => None,
        FileType::RegularFile => Some("empty"),
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        FileType::Symlink | FileType::Unknown => Some("not a regular file"),
    };
    if let Some(what) = what {
        return Err(Error::Kind { path: path.display().to_string(), what });
    }
    // The very same file, whatever the path leads to by now.
    let own = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::openat(CWD, own, flags, Mode::empty()).map(File::from).map_err(failed)
}

/// The file that a process runs code of by this path, be it removed or replaced since: what is attached to another file
/// of that path would never be reached. Only some may look this way (CAP_CHECKPOINT_RESTORE); it is a path like others then.
fn running(path: &Path, root: &Root) -> Option<OwnedFd> {
    let Root::Process(pid) = root else { return None };
    let mapping = library::mapped(root).into_iter().find(|mapping| mapping.path == path)?;
    let entry = format!("/proc/{pid}/map_files/{}", mapping.range);
    rustix::fs::openat(CWD, entry, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// What the kernel says of a file that is open.
pub fn status(path: &Path, file: &File) -> Result<Metadata, Error> {
    file.metadata().map_err(|error| Error::Open { path: path.display().to_string(), error })
}

/// The names of what is in a folder, up to a bound.
pub fn names(folder: &Path, root: &Root) -> Result<Vec<OsString>, Error> {
    let failed = |error: rustix::io::Errno| Error::Open { path: folder.display().to_string(), error: error.into() };
    let place = locate(folder, root)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&place, ".", flags, Mode::empty()).map_err(failed)?;
    let entries = rustix::fs::Dir::new(folder).map_err(failed)?;
    entries
        .take(MOST_NAMES)
        .map(|entry| entry.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec())).map_err(failed))
        .collect()
}

/// Where a path leads, without opening what is there.
fn locate(path: &Path, root: &Root) -> Result<OwnedFd, Error> {
    let failed = |error: rustix::io::Errno| Error::Open { path: path.display().to_string(), error: error.into() };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match root {
        Root::Own => rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failed),
        Root::Process(pid) => {
            let directory = flags | OFlags::DIRECTORY;
            let root = rustix::fs::openat(CWD, format!("/proc/{pid}/root"), directory, Mode::empty())
                .map_err(|error| Error::Root { pid: *pid, error: error.into() })?;
            rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).map_err(failed)
        }
    }
}
