//! `cargo xtask bench`: what tracing costs, against the peers and against what is possible at all.
//!
//! The load is `dd` with blocks of one byte: system calls and nothing else. Tools take turns, round by round, so that
//! what else the machine does falls on all of them; medians are compared.

mod measure;
mod tools;

use anyhow::{Result, bail};
use tests::cgroup::Cgroup;

use self::measure::{Traced, dd, median};
use self::tools::{Tool, Tools};
use crate::setup::{self, Purpose};

/// `cargo xtask bench [--rounds N] [--check]`
#[derive(clap::Args)]
pub struct Args {
    /// How often each tool is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Fail if a target is missed
    #[arg(long)]
    check: bool,
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

/// Measures all tools, and prints what was found beside the targets.
pub fn main(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Bench)?;
    let tools = Tools::build()?;
    let mut none = Vec::new();
    let mut samples: Vec<(Tool, Samples)> = Tool::ALL.map(|tool| (tool, Samples::default())).into();
    for round in 1..=args.rounds {
        eprintln!("bench: round {round} of {}", args.rounds);
        none.push(dd(&Cgroup::new("bench")?)?);
        for (tool, samples) in &mut samples {
            // One round of strace takes as long as all the others, and is a hundred times off any target.
            if *tool != Tool::Strace || round == 1 {
                sample(&tools, *tool, samples)?;
            }
        }
    }
    let missed = report(&tools, median(&none), &samples);
    if args.check && missed > 0 {
        bail!("{missed} targets missed");
    }
    Ok(())
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

/// Prints the table and the targets; returns how many were missed.
fn report(tools: &Tools, none: f64, samples: &[(Tool, Samples)]) -> usize {
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
    let mut missed = 0;
    for (what, value, most) in targets {
        let value = value.unwrap_or(f64::NAN);
        let met = value <= most;
        missed += usize::from(!met);
        println!("{what:<40}{value:>8.2}   at most {most:<6}{}", if met { "met" } else { "MISSED" });
    }
    missed
}

fn some_median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median(values))
}

/// What tracing added, in seconds.
fn added(traced: &[f64], none: f64) -> Option<f64> {
    some_median(traced).map(|seconds| seconds - none)
}
