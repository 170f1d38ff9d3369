//! `ctrace`: arguments → pipeline → exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use tracer::cli::high::UsageError;
use tracer::pipeline;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match pipeline::run(&args) {
        Ok(status) => status.into(),
        // clap's own errors know where they go: help and version to stdout, and they are no failure.
        Err(error) => match error.downcast_ref() {
            Some(UsageError::Clap(error)) => error.exit(),
            _ => {
                eprintln!("ctrace: {error:#}");
                pipeline::status_of(&error).into()
            }
        },
    }
}
