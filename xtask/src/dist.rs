//! `cargo xtask dist`: the one file that is shipped, target/dist/ctrace.
//!
//! It must run in any container, `FROM scratch` too: statically linked, and small enough to copy without a thought.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::setup::{self, Purpose};
use crate::shell;

/// The largest size of the shipped file, in bytes.
const MAX_SIZE: u64 = 8 << 20;

/// Builds the shipped file and says how large it is.
pub fn main() -> Result<()> {
    let file = build()?;
    let size = fs::metadata(&file)?.len();
    println!("{}: statically linked, {:.2} MB", file.display(), size as f64 / f64::from(1 << 20));
    Ok(())
}

/// Builds the shipped file, checks it, and returns its path.
pub fn build() -> Result<PathBuf> {
    setup::ensure(Purpose::Build)?;
    let triple = host_triple()?;
    shell::run(static_cargo("build", &triple).args(["--release", "--package", "tracer", "--bin", "ctrace"]))?;
    let dist = shell::target().join("dist");
    fs::create_dir_all(&dist)?;
    let built = shell::target().join(&triple).join("release/ctrace");
    check(&built)?;

    // Renamed into place: a ctrace that is running keeps its file.
    let (fresh, shipped) = (dist.join("ctrace.new"), dist.join("ctrace"));
    fs::copy(&built, &fresh).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&fresh, &shipped)?;
    Ok(shipped)
}

/// Builds it without optimisation, for tests, and returns its path.
pub fn build_debug() -> Result<PathBuf> {
    setup::ensure(Purpose::Build)?;
    let triple = host_triple()?;
    shell::run(static_cargo("build", &triple).args(["--package", "tracer", "--bin", "ctrace"]))?;
    Ok(shell::target().join(&triple).join("debug/ctrace"))
}

/// `cargo VERB` for static binaries. With an explicit target, build scripts and procedural macros stay dynamic.
pub fn static_cargo(verb: &str, triple: &str) -> std::process::Command {
    let mut cargo = shell::cargo();
    let flags = format!("target.{triple}.rustflags=['-C', 'target-feature=+crt-static']");
    // A RUSTFLAGS of the caller's would win over the configuration.
    cargo.env_remove("RUSTFLAGS").args([verb, "--target", triple, "--config", &flags]);
    cargo
}

/// The triple of this machine, as rustc names it.
pub fn host_triple() -> Result<String> {
    let version = shell::read(shell::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn check(file: &Path) -> Result<()> {
    let size = fs::metadata(file)?.len();
    ensure!(size <= MAX_SIZE, "{} has {size} bytes, more than {MAX_SIZE}", file.display());
    // ldd fails for some static files ("not a dynamic executable") and says "statically linked" for others.
    let ldd = shell::command("ldd").env("LC_ALL", "C").arg(file).output().context("cannot run ldd")?;
    let said = [ldd.stdout, ldd.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !said.contains("statically linked") && !said.contains("not a dynamic executable") {
        bail!("{} is not statically linked:\n{said}", file.display());
    }
    Ok(())
}
