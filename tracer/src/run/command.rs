//! The process of `-c`: forked at once, so that its pid is known, but not a program before everything is attached.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use thiserror::Error as ThisError;

use super::sys;

/// A child process, waiting or running. Dropped before it was let go, it ends without having run anything.
#[derive(Debug)]
pub struct Command {
    name: OsString,
    pid: u32,
    /// Until it is let go.
    waiting: Option<sys::Waiting>,
}

/// Why a command does not run.
#[derive(Debug, ThisError)]
pub enum Error {
    /// There is no word in it.
    #[error("the command is empty")]
    Empty,
    /// A word has a NUL in it.
    #[error("the command has a NUL character in it")]
    Nul,
    /// No such program.
    #[error("cannot run {}: not found in PATH", .0.display())]
    NotFound(OsString),
    /// There is something else.
    #[error("cannot run {}: {}", .0.display(), .1)]
    NoProgram(OsString, &'static str),
    /// No process could be made.
    #[error("cannot fork: {0}")]
    Fork(io::Error),
    /// The process could not become the program.
    #[error("cannot run {name}: {error}", name = .0.display(), error = .1)]
    Exec(OsString, io::Error),
    /// The process could not be waited for or signalled.
    #[error("lost the process of {name}: {error}", name = .0.display(), error = .1)]
    Lost(OsString, io::Error),
}

impl Command {
    /// Forks a process that will become the program named by the first word, with all of the words as its arguments.
    pub fn prepare(words: &[OsString]) -> Result<Self, Error> {
        let name = words.first().ok_or(Error::Empty)?;
        let search = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let path = resolve(name, &search).ok_or_else(|| Error::NotFound(name.clone()))?;
        // Said before anything is traced; what else can be wrong shows when it is let go.
        match path.metadata() {
            Err(error) => return Err(Error::Exec(name.clone(), error)),
            Ok(_) if is_executable(&path) => {}
            Ok(metadata) if metadata.is_dir() => return Err(Error::NoProgram(name.clone(), "it is a directory")),
            Ok(_) => return Err(Error::NoProgram(name.clone(), "it is not executable")),
        }
        let path = c_string(path.into_os_string())?;
        let arguments = words.iter().cloned().map(c_string).collect::<Result<Vec<_>, _>>()?;
        let environment = std::env::vars_os()
            .map(|(key, value)| c_string([key.as_os_str(), value.as_os_str()].join(OsStr::new("="))))
            .collect::<Result<Vec<_>, _>>()?;

        let waiting = sys::fork_waiting(&path, &arguments, &environment).map_err(Error::Fork)?;
        Ok(Self { name: name.clone(), pid: waiting.pid(), waiting: Some(waiting) })
    }

    /// Its pid, in the namespace of the caller.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it go, and returns when it has become its program.
    pub fn start(&mut self) -> Result<(), Error> {
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        waiting.start().map_err(|error| Error::Exec(self.name.clone(), error))
    }

    /// How it has ended, or `None` if it still runs. Not to be asked again once it has.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, Error> {
        sys::try_wait(self.pid).map_err(|error| Error::Lost(self.name.clone(), error))
    }

    /// Asks it to end, with SIGTERM.
    pub fn terminate(&self) -> Result<(), Error> {
        sys::signal_child(self.pid, libc::SIGTERM).map_err(|error| Error::Lost(self.name.clone(), error))
    }
}

fn c_string(string: OsString) -> Result<CString, Error> {
    CString::new(string.into_vec()).map_err(|_| Error::Nul)
}

/// The file that a shell would run for `name`: as it is if it names a directory, else the first one in `search`.
///
/// Searched here and not by execvp(3), so that the child makes exactly one execve(2), as under strace.
fn resolve(name: &OsStr, search: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    std::env::split_paths(search).map(|directory| directory.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// Waits as the session does: for the child, not for time.
    fn wait(command: &Command) -> ExitStatus {
        loop {
            if let Some(status) = command.try_wait().expect("our own child") {
                return status;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_command_runs_when_it_is_let_go_and_its_status_comes_back() {
        let mut command = Command::prepare(&words(&["sh", "-c", "exit 7"])).expect("a shell");
        assert_eq!(command.try_wait().expect("our own child"), None);
        command.start().expect("it can be run");
        assert_eq!(wait(&command).code(), Some(7));
    }

    #[test]
    fn a_command_that_is_never_let_go_runs_nothing() {
        let directory = std::env::temp_dir().join(format!("ctrace-command-{}", std::process::id()));
        let mut command = Command::prepare(&words(&["mkdir", directory.to_str().expect("UTF-8")])).expect("mkdir");
        command.waiting = None;
        assert_eq!(wait(&command).signal(), Some(libc::SIGKILL));
        assert!(!directory.exists());
    }

    #[test]
    fn a_file_that_is_no_program_is_an_error_when_it_is_let_go() {
        let file = std::env::temp_dir().join(format!("ctrace-no-program-{}", std::process::id()));
        std::fs::write(&file, "neither a script nor ELF").expect("a folder to write to");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("our own file");
        let mut command = Command::prepare(&[file.clone().into_os_string()]).expect("it can be forked");
        let error = command.start().expect_err("the kernel cannot run it");
        assert_eq!(error.to_string(), format!("cannot run {}: Exec format error (os error 8)", file.display()));
        assert_eq!(wait(&command).code(), Some(127));
        std::fs::remove_file(&file).expect("our own file");
    }

    #[test]
    fn what_cannot_be_run_is_said_at_once() {
        let error = |name| Command::prepare(&words(&[name])).expect_err("it is no program").to_string();
        assert_eq!(error("/proc/self/status"), "cannot run /proc/self/status: it is not executable");
        assert_eq!(error("/proc"), "cannot run /proc: it is a directory");
        assert_eq!(error("/proc/none"), "cannot run /proc/none: No such file or directory (os error 2)");
    }

    #[test]
    fn names_are_looked_up_in_path_and_paths_are_not() {
        assert_eq!(resolve("sh".as_ref(), "/nowhere:/bin".as_ref()), Some("/bin/sh".into()));
        assert_eq!(resolve("sh".as_ref(), "/nowhere".as_ref()), None);
        assert_eq!(resolve("./sh".as_ref(), "/bin".as_ref()), Some("./sh".into()));
        let error = Command::prepare(&words(&["no-such-program"])).expect_err("there is none");
        assert_eq!(error.to_string(), "cannot run no-such-program: not found in PATH");
    }
}
