//! Runs the script cases under ctrace and under bpftrace: both must do what the case says, unless the difference is
//! listed with its reason in `DIFFERENCES.md`, where nothing else may be listed.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tests::bpftrace::Bpftrace;
use tests::case::{self, Case};
use tests::differences::{self, Differences};
use tests::programs;
use tests::runner::Runner;

#[path = "common/predicate.rs"]
mod predicate;

use predicate::with_predicate;

/// How often a case is tried again under bpftrace.
const RETRIES: usize = 3;

/// Both tools, and what is known of them.
struct Pair {
    ctrace: Runner,
    bpftrace: Runner,
    differences: Differences,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let folder = programs::cases()?;
    let list = folder.join("DIFFERENCES.md");
    let list = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let root = env::var_os("PEER_ROOT").context("PEER_ROOT is not set; `cargo xtask compare` sets it")?;
    let (ctrace, peer) = (programs::ctrace()?, programs::peer()?);
    let pair = Arc::new(Pair {
        ctrace: Runner::new(&[&ctrace, &peer])?,
        bpftrace: Runner::with_bpftrace(Bpftrace::new(&PathBuf::from(root), &peer)?, with_predicate)?,
        differences: differences::parse(&list)?,
    });

    let mut trials = Vec::new();
    let mut names = BTreeSet::new();
    for (name, text) in case::below(&folder)? {
        names.insert(name.clone());
        let pair = Arc::clone(&pair);
        trials.push(Trial::ignorable_test(name.clone(), move || pair.compare(&name, &text).map_err(|e| failed(&e))));
    }
    let unknown: Vec<&String> = pair.differences.keys().filter(|name| !names.contains(*name)).collect();
    if !unknown.is_empty() {
        bail!("DIFFERENCES.md lists what is no case: {unknown:?}");
    }
    drop(pair);
    // Not `exit`: guards must see the end of this function.
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

impl Pair {
    fn compare(&self, name: &str, text: &str) -> Result<Completion> {
        let case = Case::parse(text)?;
        let listed = self.differences.get(name);
        if let Some(what) = &case.ours {
            if listed.is_some() {
                bail!("the case is `ours`, so it is not compared; take it out of DIFFERENCES.md");
            }
            return Ok(Completion::ignored_with(format!("ours: {what}")));
        }
        let unmet: Vec<String> = case.needs.iter().filter_map(|need| need.unmet()).collect();
        if !unmet.is_empty() {
            return Ok(Completion::ignored_with(unmet.join("; ")));
        }
        if case.run.contains("--unsafe") && !case.run.contains("$SCRIPT") {
            bail!(
                "only a script in a file gets the predicate that keeps it from the rest of the machine: mark it `ours`"
            );
        }
        self.ctrace.run(&case).context("under ctrace")?;
        let mut outcome = self.bpftrace.run_as_bpftrace(&case);
        // At times it finds no raw tracepoint at all: what fails unexpectedly is tried again.
        for _ in 0..if listed.is_none() { RETRIES } else { 0 } {
            if outcome.is_ok() {
                break;
            }
            outcome = self.bpftrace.run_as_bpftrace(&case);
        }
        match (outcome, listed) {
            (Ok(()), None) => Ok(Completion::Completed),
            (Ok(()), Some(reason)) if differences::is_at_times(reason) => Ok(Completion::Completed),
            (Err(_), Some(reason)) => Ok(Completion::ignored_with(format!("differs: {reason}"))),
            (Err(difference), None) => Err(difference.context("under bpftrace")),
            (Ok(()), Some(_)) => bail!("bpftrace does what the case says; take it out of DIFFERENCES.md"),
        }
    }
}

fn failed(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
