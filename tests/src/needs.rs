//! What a case may need of the machine: `kernel >= 6.6`, `kprobes`, `no kprobes`, `fentry`, `no fentry`, `tracefs`, `disk`,
//! `program dash`.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// One need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// At least this kernel, major and minor.
    Kernel(u32, u32),
    /// Probes at any kernel instruction.
    Kprobes,
    /// A kernel without probes at its instructions.
    NoKprobes,
    /// Trampolines at the entry and exit of kernel functions.
    Fentry,
    /// A kernel without such trampolines.
    NoFentry,
    /// The tracing file system, mounted and readable.
    Tracefs,
    /// A folder on a disk: [`disk`].
    Disk,
    /// A machine whose kernel cannot count what its processor does, as most virtual ones.
    NoCounters,
    /// A program in PATH.
    Program(String),
}

const TRACING: &str = "/sys/kernel/tracing";

impl Need {
    /// Reads one need.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "kprobes" => Self::Kprobes,
            "no kprobes" => Self::NoKprobes,
            "fentry" => Self::Fentry,
            "no fentry" => Self::NoFentry,
            "tracefs" => Self::Tracefs,
            "disk" => Self::Disk,
            "no hardware counters" => Self::NoCounters,
            _ => match text.split_once(' ') {
                Some(("kernel", at_least)) => {
                    let (major, minor) =
                        version(at_least.strip_prefix(">= ").context("expected `kernel >= VERSION`")?)?;
                    Self::Kernel(major, minor)
                }
                Some(("program", name)) => Self::Program(name.to_owned()),
                _ => bail!("unknown need `{text}`"),
            },
        })
    }

    /// Why this machine does not have it; `None` if it has.
    pub fn unmet(&self) -> Option<String> {
        match self {
            &Self::Kernel(major, minor) => {
                let release = rustix::system::uname().release().to_string_lossy().into_owned();
                let has = version(&release).is_ok_and(|running| running >= (major, minor));
                (!has).then(|| format!("needs kernel {major}.{minor}, runs {release}"))
            }
            Self::Kprobes => (!Path::new("/sys/bus/event_source/devices/kprobe").exists())
                .then(|| "needs kprobes, which this kernel lacks".to_owned()),
            Self::NoKprobes => Self::Kprobes
                .unmet()
                .is_none()
                .then(|| "needs a kernel without kprobes, and this one has them".to_owned()),
            // Trampolines are patched in through ftrace, and so is this list.
            Self::Fentry => File::open(format!("{TRACING}/available_filter_functions"))
                .err()
                .map(|error| format!("needs fentry, and ftrace's list of functions says: {error}")),
            Self::NoCounters => (Path::new("/sys/bus/event_source/devices/cpu").exists())
                .then(|| "needs a machine without hardware counters".to_owned()),
            Self::NoFentry => {
                Self::Fentry.unmet().is_none().then(|| "needs a kernel without fentry, and this one has it".to_owned())
            }
            Self::Tracefs => fs::read_dir(format!("{TRACING}/events"))
                .err()
                .map(|error| format!("needs tracefs, and {TRACING}/events says: {error}")),
            Self::Disk => disk().is_none().then(|| "needs a file system on a disk".to_owned()),
            Self::Program(name) => {
                let path = env::var_os("PATH").unwrap_or_default();
                let found = env::split_paths(&path).any(|folder| folder.join(name).is_file());
                (!found).then(|| format!("needs the program {name}, which is not here"))
            }
        }
    }
}

/// A folder that lies on a disk: that of temporary files, or where virtual machines have theirs.
pub fn disk() -> Option<PathBuf> {
    let on_disk = |folder: &PathBuf| {
        // File systems without a disk have devices of major number 0.
        fs::metadata(folder).is_ok_and(|metadata| rustix::fs::major(metadata.dev()) != 0)
    };
    [env::temp_dir(), "/disk".into()].into_iter().find(on_disk)
}

/// The first two numbers of a version: `6.12.117+deb12-amd64` is (6, 12).
fn version(text: &str) -> Result<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().with_context(|| format!("not a version: {text}"))?.context("not a number");
    Ok((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        assert_eq!(Need::parse("kernel >= 2.6").unwrap().unmet(), None);
        let unmet = Need::parse("kernel >= 999.0").unwrap().unmet().unwrap();
        assert!(unmet.starts_with("needs kernel 999.0, runs "), "{unmet}");
        assert_eq!(version("6.12.117+deb12-amd64").unwrap(), (6, 12));
    }

    #[test]
    fn an_unknown_need_is_an_error() {
        assert_eq!(Need::parse("kprobe").unwrap_err().to_string(), "unknown need `kprobe`");
    }
}
