//! `cargo xtask fuzz`: the whole compile path, text → object, on what libFuzzer makes of the scripts of the tests.
//!
//! A panic, an input that takes longer than [`SLOWEST`], and more memory than [`MEMORY`] are findings: the input is kept in
//! target/fuzz/artifacts and shown. What the fuzzer has learnt lies in target/fuzz/corpus, for the next run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::dist;
use crate::setup::{self, Purpose};
use crate::shell;

/// Seconds that one input may take, on a slow machine.
const SLOWEST: u32 = 10;
/// Megabytes that the process may have, the kernel's types and the fuzzer's own corpus included.
const MEMORY: u32 = 1024;
/// Bytes of the longest input that is made.
const LONGEST: u32 = 4096;

/// `cargo xtask fuzz [--seconds N]`
#[derive(clap::Args)]
pub struct Args {
    /// How long to look
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// Fuzzes; an error if something is found.
pub fn main(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Test)?;
    run(args.seconds)
}

/// Fuzzes for so many seconds; the caller has seen to the set-up.
pub fn run(seconds: u32) -> Result<()> {
    let folder = |name: &str| shell::target().join("fuzz").join(name);
    let [corpus, seeds, artifacts] = ["corpus", "seeds", "artifacts"].map(folder);
    for folder in [&corpus, &seeds, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    let scripts = write_seeds(&seeds)?;
    println!("fuzz: {seconds} s, from {scripts} scripts");

    shell::run(&mut cargo_fuzz("build")?)?;
    let mut fuzzer = shell::command(folder(&format!("{}/release/compile", dist::host_triple()?)));
    fuzzer.arg(format!("-max_total_time={seconds}"));
    fuzzer.args([format!("-timeout={SLOWEST}"), format!("-rss_limit_mb={MEMORY}"), format!("-max_len={LONGEST}")]);
    // Without its own words while all is well, but for a line now and then.
    fuzzer.args(["-print_final_stats=1", "-verbosity=0"]);
    let mut prefix = std::ffi::OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(""));
    fuzzer.arg(prefix).arg(&corpus).arg(&seeds);
    let status = fuzzer.status().context("cannot run the fuzzer")?;
    if !status.success() {
        bail!("the fuzzer found something; the input is in {}", artifacts.display());
    }
    Ok(())
}

/// `cargo fuzz VERB` for our one target. Without a sanitizer, stable Rust serves; there is no `unsafe` to look into.
fn cargo_fuzz(verb: &str) -> Result<Command> {
    let mut cargo = shell::cargo();
    cargo.env_remove("RUSTFLAGS").args(["fuzz", verb, "--fuzz-dir", "tests/fuzz", "--sanitizer", "none"]);
    cargo.arg("--target-dir").arg(shell::target().join("fuzz")).arg("compile");
    Ok(cargo)
}

/// Writes every script of the tests and tools to a file of its own; returns how many there are.
fn write_seeds(folder: &Path) -> Result<usize> {
    let mut scripts = Vec::new();
    for tree in ["tests/cases", "tracer/tests", "tracer/tools"] {
        collect(&shell::root().join(tree), &mut scripts)?;
    }
    for (number, script) in scripts.iter().enumerate() {
        fs::write(folder.join(number.to_string()), script)?;
    }
    Ok(scripts.len())
}

fn collect(folder: &Path, scripts: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, scripts)?;
            continue;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("bt") => scripts.push(fs::read_to_string(&path)?),
            Some("case") => scripts.extend(script_of(&fs::read_to_string(&path)?)),
            _ => {}
        }
    }
    Ok(())
}

/// The script of a case: its section, or what stands behind `-e`.
fn script_of(case: &str) -> Option<String> {
    if let Some((_, section)) = case.split_once("\n--- script\n") {
        return Some(section.split("\n--- ").next().unwrap_or(section).to_owned());
    }
    let (_, quoted) = case.split_once("-e '")?;
    Some(quoted.split('\'').next().unwrap_or(quoted).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_taken_from_cases() {
        let case = "# What\nrun: ctrace $SCRIPT\n\n--- script\nBEGIN { }\n\n--- stdout\n";
        assert_eq!(script_of(case).as_deref(), Some("BEGIN { }\n"));
        assert_eq!(script_of("run: ctrace -q -e 'BEGIN { exit(); }' 1\n").as_deref(), Some("BEGIN { exit(); }"));
        assert_eq!(script_of("run: ctrace doctor\n"), None);
    }
}
