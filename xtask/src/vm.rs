//! `cargo xtask vm`: runs a command on another kernel, with the ctrace of this tree.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::initramfs::{self, Entry};
use crate::kernels::Series;
use crate::qemu::{self, Serial};
use crate::setup::{self, Purpose};
use crate::{dist, shell};

/// `cargo xtask vm [--kernel SERIES] [--shell] [-- CMD…]`
#[derive(clap::Args)]
pub struct Args {
    /// The kernel: 6.1, 6.12, or all
    #[arg(long, default_value = "all", value_parser = parse_kernels)]
    kernel: Kernels,
    /// An interactive shell; `exit` ends the machine
    #[arg(long, conflicts_with = "command")]
    shell: bool,
    /// A debug build of ctrace: sooner there, for whoever changes ctrace
    #[arg(long)]
    debug: bool,
    /// Stop the machine after this many seconds
    #[arg(long, default_value_t = 600)]
    limit: u64,
    /// The command, found in the machine's /bin: ctrace or one of busybox'
    #[arg(last = true, required_unless_present = "shell")]
    command: Vec<String>,
}

/// The kernels of one command.
#[derive(Clone, Debug)]
pub struct Kernels(pub Vec<Series>);

/// Reads `6.1`, `6.12` or `all`.
pub fn parse_kernels(typed: &str) -> Result<Kernels> {
    if typed == "all" {
        return Ok(Kernels(Series::ALL.to_vec()));
    }
    let series = Series::ALL.into_iter().find(|series| series.name() == typed);
    Ok(Kernels(vec![series.context("known are 6.1, 6.12 and all")?]))
}

/// Runs the command on each kernel; the exit status is the command's, of the first kernel where it is not 0.
pub fn main(args: &Args) -> ExitCode {
    match boot_each(args) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn boot_each(args: &Args) -> Result<u8> {
    ensure!(!args.shell || args.kernel.0.len() == 1, "a shell needs one kernel: --kernel 6.1 or 6.12");
    setup::ensure(Purpose::Test)?;
    let ctrace = if args.debug { dist::build_debug()? } else { dist::build()? };
    let entries = [Entry { from: ctrace, to: "/bin/ctrace".to_owned() }];
    let command = match args.shell {
        true => "setsid cttyhack sh".to_owned(),
        false => args.command.iter().map(|word| shell::quote(word)).collect::<Vec<_>>().join(" "),
    };
    let limit = Duration::from_secs(if args.shell { u64::from(u32::MAX) } else { args.limit });
    let mut first = 0;
    for &series in &args.kernel.0 {
        let mut print = |line: &str| println!("{line}");
        let serial = if args.shell { Serial::Terminal } else { Serial::Lines(&mut print) };
        let status = run(series, &command, &entries, limit, serial)?;
        first = if first == 0 { status } else { first };
    }
    Ok(first)
}

/// Runs shell lines on a kernel and returns their status.
pub fn run(series: Series, command: &str, entries: &[Entry], limit: Duration, serial: Serial) -> Result<u8> {
    let dir = shell::target().join(format!("vm/run-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let status =
        run_in(&dir, series, command, entries, limit, serial).with_context(|| format!("on kernel {}", series.name()));
    shell::remove(&dir)?;
    status
}

fn run_in(dir: &Path, series: Series, command: &str, entries: &[Entry], limit: Duration, serial: Serial) -> Result<u8> {
    let initramfs = dir.join("initramfs");
    initramfs::write(&initramfs, command, entries)?;
    qemu::boot(&series.image()?, &initramfs, dir, limit, serial)
}
