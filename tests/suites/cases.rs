//! Runs the script cases of tests/cases on this machine's kernel: one test a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tests::case::Case;
use tests::programs;
use tests::runner::Runner;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let folder = programs::cases()?;
    let runner = Runner::new(&[&programs::ctrace()?, &programs::peer()?])?;
    let mut trials = Vec::new();
    for file in files(&folder)? {
        let name = file.strip_prefix(&folder)?.with_extension("").display().to_string();
        trials.push(trial(&runner, name, &fs::read_to_string(&file)?));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A test for one file; a file that cannot be read as a case is a test that fails.
fn trial(runner: &Runner, name: String, text: &str) -> Trial {
    let runner = runner.clone();
    let case = match Case::parse(text) {
        Ok(case) => case,
        Err(error) => return Trial::test(name, move || Err(failed(&error))),
    };
    Trial::ignorable_test(name, move || {
        let unmet: Vec<String> = case.needs.iter().filter_map(|need| need.unmet()).collect();
        if !unmet.is_empty() {
            return Ok(Completion::ignored_with(unmet.join("; ")));
        }
        runner.run(&case).map(|()| Completion::Completed).map_err(|error| failed(&error))
    })
}

fn failed(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// All cases below a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "case") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
