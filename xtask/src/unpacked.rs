//! Debian packages that are unpacked below target/ instead of installed, with whatever they need that is not installed.
//!
//! Installing them may want to remove what the machine's owner has: busybox-static excludes busybox, and qemu's packages
//! must be of one version. Nothing of the machine changes so.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell;

/// A package, and the program in it that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// A shell and its tools in one static file.
    Busybox,
    /// An emulator of PCs.
    Qemu,
}

impl Package {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Busybox, Self::Qemu];

    /// Its name in Debian.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busybox => "busybox-static",
            Self::Qemu => "qemu-system-x86",
        }
    }

    /// The program that is wanted.
    pub fn program(self) -> &'static str {
        match self {
            Self::Busybox => "busybox",
            Self::Qemu => "qemu-system-x86_64",
        }
    }

    fn tree(self) -> PathBuf {
        shell::target().join("packages").join(self.name())
    }

    /// The program, where it was unpacked to or, on a machine without apt, in PATH.
    pub fn find(self) -> Option<PathBuf> {
        let unpacked = ["bin", "usr/bin"].map(|dir| self.tree().join(dir).join(self.program()));
        unpacked.into_iter().find(|file| file.is_file()).or_else(|| match shell::find("apt-get") {
            Some(_) => None,
            None => shell::find(self.program()),
        })
    }

    /// What the program needs in its environment to find what was unpacked with it.
    pub fn environment(self) -> Vec<(&'static str, OsString)> {
        let libraries = self.tree().join("usr/lib/x86_64-linux-gnu");
        if !libraries.is_dir() {
            return Vec::new();
        }
        let paths = [libraries.clone(), self.tree().join("lib/x86_64-linux-gnu")];
        let paths = std::env::join_paths(paths).unwrap_or_default();
        vec![("LD_LIBRARY_PATH", paths), ("QEMU_MODULE_DIR", libraries.join("qemu").into())]
    }

    /// Fetches and unpacks it; apt's lists must be there.
    pub fn unpack(self) -> Result<()> {
        let fresh = self.tree().with_extension("new");
        let mut packages = self.missing()?;
        packages.push(self.name().to_owned());
        fetch(&packages, &fresh)?;
        // Renamed when complete: half a tree is made anew.
        fs::rename(&fresh, self.tree()).with_context(|| format!("cannot make {}", self.tree().display()))?;
        ensure!(self.find().is_some(), "{} has no {}", self.name(), self.program());
        Ok(())
    }

    /// The packages that it depends on, directly or not, and that are not installed.
    fn missing(self) -> Result<Vec<String>> {
        let mut query = shell::command("apt-cache");
        query.args(["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]);
        query.args(["--no-replaces", "--no-enhances", self.name()]);
        let mut query_installed = Command::new("dpkg-query");
        query_installed.args(["-W", "-f", "${db:Status-Status} ${Package}\n${db:Status-Status} ${Provides}\n"]);
        Ok(missing(self.name(), &shell::read(&mut query)?, &shell::read(&mut query_installed)?))
    }
}

/// Fetches packages and unpacks all of them into one new tree.
pub fn fetch(packages: &[String], tree: &Path) -> Result<()> {
    shell::remove(tree)?;
    let archives = tree.join("archives");
    fs::create_dir_all(&archives)?;
    // As root apt would fetch as user _apt, who cannot write here, and warn of it.
    let mut download = shell::command("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "-qq", "download"]).args(packages);
    shell::run(download.current_dir(&archives))?;
    for archive in fs::read_dir(&archives)? {
        shell::run(shell::command("dpkg-deb").arg("-x").args([&archive?.path(), tree]))?;
    }
    shell::remove(&archives)
}

/// The packages in `depends`, what apt-cache printed, without `package` itself and those in `installed`, what dpkg-query
/// printed. Names of packages stand at the start of a line; virtual ones, in angle brackets, are left to others.
fn missing(package: &str, depends: &str, installed: &str) -> Vec<String> {
    let installed: BTreeSet<&str> = installed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    let is_name = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphanumeric());
    let names: BTreeSet<&str> = depends.lines().filter(is_name).collect();
    names.into_iter().filter(|name| *name != package && !installed.contains(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_that_are_not_installed_are_fetched_too() {
        let depends = "qemu-system-x86\n  Depends: seabios\n  Depends: <mail-agent>\nseabios\nlibc6\n<mail-agent>\n";
        let installed = "installed libc6\nconfig-files seabios\n";
        assert_eq!(missing("qemu-system-x86", depends, installed), ["seabios"]);
    }
}
