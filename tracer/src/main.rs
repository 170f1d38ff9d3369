//! `ctrace`: arguments → pipeline → exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use tracer::cli::{self, high::UsageError};
use tracer::pipeline::{self, Rejection, ScriptError};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let error = match pipeline::run(&args) {
        Ok(status) => return status.into(),
        Err(error) => error,
    };
    if let Some(UsageError::Clap(usage)) = error.downcast_ref() {
        // It knows where it goes: help and version are no failure, and go to stdout.
        usage.exit();
    }
    // What points into the script has its form already.
    match error.is::<ScriptError>() || error.is::<Rejection>() {
        true => cli::say(&error.to_string()),
        false => cli::say(&format!("ctrace: {error:#}")),
    }
    pipeline::status_of(&error).into()
}
