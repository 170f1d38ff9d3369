//! How ctrace ends, as its exit status says it.

use std::process::ExitCode;

/// The exit statuses. `exit(n)` in a script gives `n` instead of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The script ended, the duration passed, the command of `-c` ended, Ctrl-C, or nobody reads the output any more.
    Done,
    /// Something failed while tracing.
    Failed,
    /// The command line or the script is wrong.
    Usage,
    /// Finished, but something was lost (only with `--strict`).
    Lossy,
    /// A privilege, a kernel feature or a file is missing.
    Refused,
    /// What the script gave to `exit`.
    Script(u8),
}

impl Status {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Lossy => 3,
            Self::Refused => 4,
            Self::Script(code) => code,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status.code())
    }
}
