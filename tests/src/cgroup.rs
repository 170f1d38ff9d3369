//! A cgroup of version 2 for a test's processes; it is gone, with all in it, when its guard is.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long killed processes may take to be gone.
const LEAVE: Duration = Duration::from_secs(20);

/// A cgroup below our own.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    level: usize,
}

impl Cgroup {
    /// Makes one; `name` is for people who look at it.
    pub fn new(name: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (root, own) = own()?;
        let path = root.join(&own).join(format!("ctrace-test-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, level: own.components().count() + 1 })
    }

    /// Where it is in the file system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it lies below the root.
    pub fn level(&self) -> usize {
        self.level
    }

    /// The shell command that moves the shell into it.
    pub fn enter(&self) -> String {
        format!("echo $$ > '{}/cgroup.procs'", self.path.display())
    }

    /// Kills all its processes, those of cgroups below it too, and waits until they are gone.
    pub fn kill(&self) -> Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")?;
        let deadline = Instant::now() + LEAVE;
        let events = self.path.join("cgroup.events");
        loop {
            // Opened before it is read: a change in between wakes the poll below.
            let file = File::open(&events)?;
            if fs::read_to_string(&events)?.contains("populated 0") {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
            if poll(&mut fds, Some(&Timespec::try_from(left)?))? == 0 {
                bail!("processes are left in {}", self.path.display());
            }
        }
    }

    /// Kills and removes; what a test that succeeds calls, to see whether it worked.
    pub fn remove(self) -> Result<()> {
        let removed = self.clear();
        std::mem::forget(self);
        removed
    }

    fn clear(&self) -> Result<()> {
        self.kill()?;
        remove_tree(&self.path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("left behind: {}: {error:#}", self.path.display());
        }
    }
}

/// The root of the tree of version 2, and the way from there to our own cgroup.
fn own() -> Result<(PathBuf, PathBuf)> {
    let path = fs::read_to_string("/proc/self/cgroup")?;
    let path = path.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup of version 2")?;
    Ok((root()?, path.into()))
}

/// Where the tree of version 2 is mounted.
pub fn root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let root = mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [_, root, "cgroup2", ..] => Some(root),
        _ => None,
    });
    Ok(root.context("cgroups of version 2 are not mounted")?.into())
}

/// Removes a cgroup and those below it: only folders can be removed, and only from the leaves.
fn remove_tree(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path).with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_cgroup_is_removed_with_its_processes_and_descendants() {
        let cgroup = Cgroup::new("removed").unwrap();
        let path = cgroup.path().to_owned();
        fs::create_dir(path.join("below")).unwrap();
        let lines = format!("{}; echo $$ > '{}/below/cgroup.procs'; exec sleep 1000", cgroup.enter(), path.display());
        let mut child = Command::new("sh").args(["-c", &lines]).spawn().unwrap();
        // The child writes its own id there; until then there is nothing to kill.
        while fs::read_to_string(path.join("below/cgroup.procs")).unwrap().is_empty() {
            std::thread::yield_now();
        }
        cgroup.remove().unwrap();
        assert!(!path.exists());
        assert!(!child.wait().unwrap().success());
    }
}
