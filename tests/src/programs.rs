//! Where the programs and cases lie that the suites run. `cargo xtask test` says so by environment variables, which name
//! other places in virtual machines.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// `CTRACE`: the static ctrace under test.
pub fn ctrace() -> Result<PathBuf> {
    from_environment("CTRACE")
}

/// `PEER`: the static test program that makes known numbers of events.
pub fn peer() -> Result<PathBuf> {
    from_environment("PEER")
}

/// `CASES`: the folder of the script cases.
pub fn cases() -> Result<PathBuf> {
    from_environment("CASES")
}

/// `BUSYBOX`: a static busybox, for images.
pub fn busybox() -> Result<PathBuf> {
    from_environment("BUSYBOX")
}

/// PATH, with the folders of ctrace and `peer` before all others.
pub fn path() -> Result<OsString> {
    let programs = [ctrace()?, peer()?];
    let folders = programs.iter().filter_map(|program| program.parent()).map(PathBuf::from);
    let system = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(folders.chain(env::split_paths(&system)))?)
}

fn from_environment(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable);
    Ok(path.with_context(|| format!("{variable} is not set; `cargo xtask test` sets it"))?.into())
}
