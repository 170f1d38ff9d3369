//! Runs the script cases of tests/cases on this machine's kernel: one test a file.

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tests::case::{self, Case};
use tests::programs;
use tests::runner::Runner;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let folder = programs::cases()?;
    let runner = Runner::new(&[&programs::ctrace()?, &programs::peer()?])?;
    let mut trials = Vec::new();
    for (name, text) in case::below(&folder)? {
        trials.push(trial(&runner, name, &text));
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
