//! The project's own commands: `cargo xtask setup|build|demo|test|compare|vm|bench|dist`.
//!
//! One file a verb. Every verb first lets [`setup`] install what it needs, so a fresh clone on a fresh machine needs no
//! other preparation.

mod bench;
mod build;
mod compare;
mod demo;
mod dist;
mod fuzz;
mod initramfs;
mod kernels;
mod machine;
mod published;
mod qemu;
mod setup;
mod shell;
mod suites;
mod tally;
mod test;
mod unpacked;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure ctrace")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building, testing and measuring need, and is not there yet
    Setup(setup::Args),
    /// Build everything, for development
    Build,
    /// Build the static release binary, target/dist/ctrace
    Dist,
    /// Measure what tracing costs, against the peers
    Bench(bench::Args),
    /// Show the latency of a workload's system calls
    Demo,
    /// Run all tests: lints, stages, script cases, containers, other kernels
    Test(test::Args),
    /// Run the script cases under bpftrace too, and say where it does otherwise
    Compare(compare::Args),
    /// Look for scripts that the compiler cannot stand
    Fuzz(fuzz::Args),
    /// Run a command in a virtual machine with another kernel
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Setup(args) => setup::main(&args),
        Verb::Build => build::main(),
        Verb::Dist => dist::main(),
        Verb::Bench(args) => bench::main(&args),
        Verb::Demo => demo::main(),
        Verb::Test(args) => test::main(&args),
        Verb::Compare(args) => compare::main(&args),
        Verb::Fuzz(args) => fuzz::main(&args),
        Verb::Vm(args) => return vm::main(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
