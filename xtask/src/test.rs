//! `cargo xtask test`: everything that must hold, and one closing line with the sums.
//!
//! The kinds run in the order of their cost. A kind that fails does not stop the others. Where `CI` is set, a kind that
//! this machine cannot run is a failure; so is, everywhere, a script case that no kernel could run.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::kernels::Series;
use crate::setup::{self, Purpose};
use crate::suites::{Generation, Suites};
use crate::tally::Tally;
use crate::vm::{Kernels, parse_kernels};
use crate::{fuzz, published, shell};

/// How many seconds the fuzzer looks for scripts that the compiler cannot stand.
const FUZZING: u32 = 30;

/// `cargo xtask test [KIND…] [--filter NAME]`
#[derive(clap::Args)]
pub struct Args {
    /// Only these kinds; all if none is named
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// Only tests whose name contains this
    #[arg(long, default_value = "")]
    filter: String,
    /// The kernels of virtual machines: 6.1, 6.12, or all; made-up scripts run on this machine's kernel without it
    #[arg(long, value_parser = parse_kernels)]
    kernel: Option<Kernels>,
    #[command(flatten)]
    generation: Generation,
    /// A debug build of ctrace: sooner there, for whoever changes ctrace
    #[arg(long)]
    debug: bool,
}

/// A kind of test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// rustfmt and clippy
    Lint,
    /// Tests of single stages
    Unit,
    /// Script cases on this machine's kernel, and the catalogue of events against its tracefs
    Cases,
    /// The scripts of bpftrace's packages, on this machine's kernel
    Published,
    /// Scripts that are made up, on this machine's kernel, or on those of `--kernel` in virtual machines
    Generated,
    /// The compiler, on what a fuzzer makes up, for half a minute
    Fuzz,
    /// ctrace in Docker containers
    Containers,
    /// Script cases and scripts that are made up on other kernels, in virtual machines
    Kernels,
}

/// Runs the tests; an error if any failed.
pub fn main(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Test)?;
    let kinds = if args.kinds.is_empty() { Kind::value_variants().to_vec() } else { args.kinds.clone() };
    let mut tally = Tally::default();
    for &kind in &kinds {
        let start = Instant::now();
        println!("\n== {kind:?}");
        match kind.missing() {
            Some(why) => skip(kind, &why, &mut tally),
            None => {
                if let Err(error) = kind.run(args, &mut tally) {
                    println!("{error:#}");
                    tally.fail(format!("{kind:?}: {error}"));
                }
            }
        }
        println!("== {kind:?}: {} s", start.elapsed().as_secs());
    }
    if [Kind::Cases, Kind::Kernels].iter().all(|kind| kinds.contains(kind)) {
        let never_run: Vec<String> =
            tally.never_run().into_iter().filter(|name| !published::is_script(name)).map(str::to_owned).collect();
        never_run.into_iter().for_each(|case| tally.fail(format!("{case}: no kernel could run it")));
    }
    println!();
    tally.failures.iter().for_each(|failure| println!("failed: {failure}"));
    println!("{}", tally.summary());
    if tally.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

fn skip(kind: Kind, why: &str, tally: &mut Tally) {
    println!("skipped: {why}");
    if env::var_os("CI").is_some() {
        tally.fail(format!("{kind:?}: must run in CI, and {why}"));
    } else {
        tally.skipped += 1;
    }
}

impl Kind {
    /// What this machine lacks to run the kind.
    fn missing(self) -> Option<String> {
        let root = || shell::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim_end() == "0");
        match self {
            Self::Lint | Self::Unit | Self::Fuzz => None,
            Self::Cases | Self::Published | Self::Generated | Self::Containers if !root() => {
                Some("it needs root".to_owned())
            }
            Self::Kernels if shell::find("apt-get").is_none() => Some("it needs apt, for Debian's kernels".to_owned()),
            Self::Published if shell::find("apt-get").is_none() => {
                Some("it needs apt, for bpftrace's scripts".to_owned())
            }
            Self::Cases | Self::Published | Self::Generated | Self::Containers | Self::Kernels => None,
        }
    }

    fn run(self, args: &Args, tally: &mut Tally) -> Result<()> {
        let Args { filter, debug, .. } = args;
        match self {
            Self::Lint => {
                tally.step("rustfmt", succeeds(shell::cargo().args(["fmt", "--all", "--check"]))?);
                let mut clippy = shell::cargo();
                clippy.args(["clippy", "--quiet", "--all-targets", "--", "--deny", "warnings"]);
                tally.step("clippy", succeeds(&mut clippy)?);
                Ok(())
            }
            Self::Unit => {
                let mut unit = shell::cargo();
                unit.args(["test", "--no-fail-fast", "--", filter.as_str()]);
                harness("unit", &mut unit, tally)
            }
            Self::Cases => {
                let suites = Suites::build(*debug)?;
                harness("cases", suites.command(&suites.cases).arg(filter), tally)?;
                harness("catalogue", suites.command(&suites.catalogue).arg(filter), tally)
            }
            Self::Published => {
                let suites = Suites::build(*debug)?;
                let mut command = suites.command(&suites.published);
                harness("published", command.env("PUBLISHED", published::folder()?).arg(filter), tally)
            }
            Self::Generated => {
                let suites = Suites::build(*debug)?;
                if let Some(kernels) = &args.kernel {
                    return on_each(kernels, tally, |series, tally| {
                        suites.generated_on_kernel(series, &args.generation, tally)
                    });
                }
                let mut command = suites.command(&suites.generated);
                harness("generated", command.envs(args.generation.environment()).arg(filter), tally)
            }
            Self::Fuzz => {
                tally.step("fuzz", fuzz::run(FUZZING).inspect_err(|error| println!("{error:#}")).is_ok());
                Ok(())
            }
            Self::Containers => {
                let suites = Suites::build(*debug)?;
                harness("containers", suites.command(&suites.containers).arg(filter), tally)
            }
            Self::Kernels => {
                let suites = Suites::build(*debug)?;
                let all = Kernels(Series::ALL.to_vec());
                on_each(args.kernel.as_ref().unwrap_or(&all), tally, |series, tally| {
                    suites.on_kernel(series, filter, &args.generation, tally)
                })
            }
        }
    }
}

/// Runs something on each kernel; what fails on one does not stop the others.
fn on_each(kernels: &Kernels, tally: &mut Tally, mut run: impl FnMut(Series, &mut Tally) -> Result<()>) -> Result<()> {
    for &series in &kernels.0 {
        if let Err(error) = run(series, tally) {
            println!("{error:#}");
            tally.fail(format!("{}: {error}", series.name()));
        }
    }
    Ok(())
}

/// Runs a test harness, counting while it prints.
pub fn harness(suite: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    let failed_before = tally.failed;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", shell::show(command)))?;
    for line in BufReader::new(child.stdout.take().context("a test has no output")?).lines() {
        let line = line?;
        println!("{line}");
        tally.line(suite, &line);
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == failed_before {
        bail!("{} ended with {status}", shell::show(command));
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status().with_context(|| format!("cannot run {}", shell::show(command)))?.success())
}
