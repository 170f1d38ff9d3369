//! Runs the script cases of tests/cases on this machine's kernel: one test a file, and one a cell of
//! the table of privileges.

use std::fs;
use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tests::case::{self, Case};
use tests::runner::Runner;
use tests::{privileges, programs};

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let folder = programs::cases()?;
    let runner = Runner::new(&[&programs::ctrace()?, &programs::peer()?])?;
    let mut trials = Vec::new();
    for (name, text) in case::below(&folder)? {
        trials.push(trial(&runner, name, Case::parse(&text)));
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    for (name, case) in privileges::cases(&fs::read_to_string(folder.join("privileges.md"))?, release.trim())? {
        trials.push(trial(&runner, name, Ok(case)));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A test for one file; a file that cannot be read as a case is a test that fails.
fn trial(runner: &Runner, name: String, case: Result<Case>) -> Trial {
    let runner = runner.clone();
    let case = match case {
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
