//! `cargo xtask bench`: what tracing costs, against the peers and against what is possible at all.
//!
//! The parts: [`latency`](Part::Latency) here; [`events`], [`limits`] and [`probes`] in files of their own.
//!
//! The load of the first is `dd` with blocks of one byte: system calls and nothing else. Tools take turns, round by round, so that
//! what else the machine does falls on all of them; medians are compared.

mod events;
mod limits;
mod measure;
mod probes;
mod tools;

use anyhow::{Result, bail};
use clap::ValueEnum;
use tests::cgroup::Cgroup;

use self::measure::{Traced, dd, median};
use self::tools::{Tool, Tools};
use crate::setup::{self, Purpose};

/// `cargo xtask bench [PART…] [--rounds N] [--check]`
#[derive(clap::Args)]
pub struct Args {
    /// Only these parts; all if none is named
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each tool is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What tools for the latency of system calls add to a program and its neighbour, and their start
    Latency,
    /// What an event costs in the kernel
    Events,
    /// How long a script takes to compile
    Compile,
    /// How long it takes to attach to all system calls, and to thousands of functions of a program
    Attach,
    /// How long it takes to attach to many functions of the kernel, in virtual machines
    Machines,
    /// A flood of records
    Flood,
}

/// What was aimed at, and what was reached.
pub struct Target {
    what: String,
    value: f64,
    most: f64,
}

impl Target {
    /// A value that is to be at most so large.
    pub fn at_most(what: &str, value: f64, most: f64) -> Self {
        Self { what: what.to_owned(), value, most }
    }

    /// Prints a line; whether the target is met. A value that is no number does not meet any.
    fn print(&self) -> bool {
        let Self { what, value, most } = self;
        let met = value <= most;
        println!("{what:<44}{value:>8.2}   at most {most:<8.3}{}", if met { "met" } else { "MISSED" });
        met
    }
}

/// What was measured of one tool, a value a round.
#[derive(Default)]
struct Samples {
    /// Seconds that dd took in the traced cgroup.
    traced: Vec<f64>,
    /// Seconds that dd took beside it.
    beside: Vec<f64>,
    /// Milliseconds from the start of `BEGIN { exit(); }` to its end.
    start: Vec<f64>,
    /// Peak resident memory, in MB.
    memory: Vec<f64>,
}

/// Measures, and prints what was found beside the targets.
pub fn main(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Bench)?;
    let tools = Tools::build()?;
    let parts = if args.parts.is_empty() { Part::value_variants() } else { &args.parts };
    let mut missed = 0;
    for part in parts {
        let targets = match part {
            Part::Latency => latency(&tools, args.rounds)?,
            Part::Events => events::measure(&tools, args.rounds)?,
            Part::Compile => vec![limits::compile(&tools)?],
            Part::Attach => {
                let mut targets = vec![limits::attach(&tools)?, limits::functions(&tools)?];
                targets.extend(probes::hundreds(&tools)?);
                targets
            }
            Part::Machines => probes::in_machines(&tools)?,
            Part::Flood => limits::flood(&tools)?,
        };
        missed += targets.iter().filter(|target| !target.print()).count();
        println!();
    }
    if args.check && missed > 0 {
        bail!("{missed} targets missed");
    }
    Ok(())
}

/// All tools for the latency of system calls, in turns.
fn latency(tools: &Tools, rounds: usize) -> Result<Vec<Target>> {
    let mut none = Vec::new();
    let mut samples: Vec<(Tool, Samples)> = Tool::ALL.map(|tool| (tool, Samples::default())).into();
    for round in 1..=rounds {
        eprintln!("bench: round {round} of {rounds}");
        none.push(dd(&Cgroup::new("bench")?)?);
        for (tool, samples) in &mut samples {
            // One round of strace takes as long as all the others, and is a hundred times off any target.
            if *tool != Tool::Strace || round == 1 {
                sample(tools, *tool, samples)?;
            }
        }
    }
    Ok(report(tools, median(&none), &samples))
}

/// One round of one tool.
fn sample(tools: &Tools, tool: Tool, samples: &mut Samples) -> Result<()> {
    let (scope, beside) = (Cgroup::new("bench")?, Cgroup::new("bench-neighbour")?);
    if tool == Tool::Strace {
        samples.traced.push(measure::strace(&scope)?);
        return Ok(());
    }
    let traced = Traced::start(tools.latency(tool, &scope, false)?, tool.ready())?;
    samples.traced.push(dd(&scope)?);
    samples.memory.push(traced.stop()?);
    if tool.has_scope() {
        let traced = Traced::start(tools.latency(tool, &scope, true)?, tool.ready())?;
        samples.beside.push(dd(&beside)?);
        traced.stop()?;
    }
    if let Some(command) = tools.start(tool) {
        let (milliseconds, memory) = measure::start_to_exit(command)?;
        samples.start.push(milliseconds);
        samples.memory.push(memory);
    }
    Ok(())
}

/// Prints the table and returns what was aimed at.
fn report(tools: &Tools, none: f64, samples: &[(Tool, Samples)]) -> Vec<Target> {
    let column = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:>16.digits$}"),
        None => format!("{:>16}", "-"),
    };
    println!("dd bs=1 count=1000000 alone: {none:.3} s\n");
    println!("{:<28}{:>16}{:>16}{:>16}{:>16}", "", "adds to dd, s", "to neighbour, s", "start-exit, ms", "memory, MB");
    for (tool, samples) in samples {
        println!(
            "{:<28}{}{}{}{}",
            tools.name(*tool),
            column(added(&samples.traced, none), 3),
            column(added(&samples.beside, none), 3),
            column(some_median(&samples.start), 1),
            column(samples.memory.iter().copied().reduce(f64::max), 1),
        );
    }
    println!();
    let of = |tool: Tool| &samples.iter().find(|(named, _)| *named == tool).expect("all are measured").1;
    let (ours, bpftrace, floor) = (of(Tool::Ctrace), of(Tool::Bpftrace), of(Tool::Floor));
    let ratio = |ours: Option<f64>, theirs: Option<f64>| Some(ours? / theirs?);
    let traced = |samples: &Samples| added(&samples.traced, none);
    let beside = |samples: &Samples| added(&samples.beside, none);
    let start = |samples: &Samples| some_median(&samples.start);
    let targets = [
        ("added to dd, of bpftrace's", ratio(traced(ours), traced(bpftrace)), 0.5),
        ("added to dd, of the floor", ratio(traced(ours), traced(floor)), 1.2),
        ("added to a neighbour, of bpftrace's", ratio(beside(ours), beside(bpftrace)), 0.75),
        ("start to exit, ms", start(ours), 50.0),
        ("start to exit, of bpftrace's", ratio(start(ours), start(bpftrace)), 0.1),
        ("peak memory, MB", ours.memory.iter().copied().reduce(f64::max), 20.0),
    ];
    targets.map(|(what, value, most)| Target::at_most(what, value.unwrap_or(f64::NAN), most)).into()
}

fn some_median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median(values))
}

/// What tracing added, in seconds.
fn added(traced: &[f64], none: f64) -> Option<f64> {
    some_median(traced).map(|seconds| seconds - none)
}
