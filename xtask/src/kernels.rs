//! Debian's cloud kernels, fetched once into target/vm and unpacked: small, quick to boot, with BTF and kprobes.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::{shell, unpacked};

/// A kernel series that the tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Series {
    /// Linux 6.1, Debian 12's
    #[value(name = "6.1")]
    V6_1,
    /// Linux 6.12, Debian 13's, which Debian 12 has too
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// As in `uname -r`: `6.1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// The series' kernel image; fetched if it is not there yet.
    pub fn image(self) -> Result<PathBuf> {
        let image = shell::target().join(format!("vm/vmlinuz-{}", self.name()));
        if !image.exists() {
            self.fetch(&image)?;
        }
        Ok(image)
    }

    fn fetch(self, image: &PathBuf) -> Result<()> {
        let package = self.package()?;
        eprintln!("vm: fetching {package}");
        let tree = image.with_extension("fetch");
        unpacked::fetch(&[package], &tree)?;
        fs::rename(only_entry(&tree.join("boot"), "vmlinuz-")?, image)?;
        shell::remove(&tree)
    }

    /// The newest package of the series that apt offers.
    fn package(self) -> Result<String> {
        ensure!(shell::find("apt-get").is_some(), "kernels come from Debian's archive; this machine has no apt");
        let names = format!("^linux-image-{}[.+-].*-cloud-amd64-unsigned$", self.name().replace('.', r"\."));
        let search = || shell::read(shell::command("apt-cache").args(["search", "--names-only", &names]));
        let mut listed = search()?;
        if listed.is_empty() {
            shell::run(shell::command("apt-get").args(["-q", "update"]))?;
            listed = search()?;
        }
        let packages = listed.lines().filter_map(|line| line.split(' ').next());
        let newest = packages.max_by_key(|package| numbers(package));
        Ok(newest.with_context(|| format!("apt offers no package that matches {names}"))?.to_owned())
    }
}

/// The numbers in a package's name, which order its versions.
fn numbers(package: &str) -> Vec<u64> {
    package.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn only_entry(dir: &std::path::Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut found = entries.iter().filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
    let entry = found.next().with_context(|| format!("no {prefix}* in {}", dir.display()))?;
    ensure!(found.next().is_none(), "more than one {prefix}* in {}", dir.display());
    Ok(entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let older = "linux-image-6.12.99+deb12-cloud-amd64-unsigned";
        let newer = "linux-image-6.12.117+deb12-cloud-amd64-unsigned";
        assert!(numbers(older) < numbers(newer));
    }
}
