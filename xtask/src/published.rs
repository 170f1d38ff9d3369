//! The scripts that Debian's packages of bpftrace bring, fetched into target/published: they are not ours to keep here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{setup, shell};

/// Where packages keep their scripts.
const SCRIPTS: &str = "usr/sbin";

/// The folders of the versions.
const VERSIONS: [&str; 2] = ["distribution", "newest"];

/// Whether a test is about one of the scripts; what they probe may be in no kernel that we have.
pub fn is_script(test: &str) -> bool {
    VERSIONS.iter().any(|version| test.split_once('/').is_some_and(|(folder, _)| folder == *version))
}

/// The folder with one folder of scripts for each version: the distribution's, and the newest if its tree is there.
pub fn folder() -> Result<PathBuf> {
    let folder = shell::target().join("published");
    let tree = folder.join("package");
    if !tree.is_dir() {
        let fresh = folder.join("package.new");
        shell::remove(&fresh)?;
        fs::create_dir_all(&fresh)?;
        let mut download = shell::command("apt-get");
        download.args(["-o", "APT::Sandbox::User=root", "-qq", "download", "bpftrace"]);
        shell::run(download.current_dir(&fresh))?;
        for archive in archives(&fresh)? {
            shell::run(shell::command("dpkg-deb").arg("-x").args([&archive, &fresh]))?;
        }
        // Renamed when complete: half a tree is made anew.
        fs::rename(&fresh, &tree)?;
    }
    let versions = folder.join("scripts");
    shell::remove(&versions)?;
    copy(&tree.join(SCRIPTS), &versions.join(VERSIONS[0]))?;
    if setup::peers().is_dir() {
        copy(&setup::peers().join(SCRIPTS), &versions.join(VERSIONS[1]))?;
    }
    Ok(versions)
}

fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect())
}

/// Copies the scripts of a folder.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bt") {
            fs::copy(&path, to.join(path.file_name().context("a script has a name")?))?;
        }
    }
    Ok(())
}
