//! The catalogue of the kernel's events against what the running kernel itself says of them in tracefs: one test for the
//! form of each event, and one for what is in it.
//!
//! - [`formats`]: each field of a record, by name, place, type, size and sign
//! - [`values`]: what ctrace prints of events against what the kernel records of them
//! - [`workloads`]: what makes the events happen
//! - [`gaps`]: what the catalogue leaves out on purpose, and why

mod formats;
mod gaps;
mod values;
mod workloads;

use std::process::ExitCode;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tests::needs::Need;
use tracer::host::btf::Btf;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    match Need::Tracefs.unmet() {
        Some(unmet) => {
            let skipped = move || Ok(Completion::ignored_with(unmet));
            trials.push(Trial::ignorable_test("catalogue", skipped));
        }
        None => {
            trials.extend(formats::trials(Btf::of_kernel().context("the kernel's types")?));
            trials.extend(values::trials());
        }
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn failed(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
