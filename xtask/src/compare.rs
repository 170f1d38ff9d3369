//! `cargo xtask compare`: the script cases under ctrace and under bpftrace 0.27.1, and where they differ.
//!
//! The same for the scripts that bpftrace's packages bring. What differs and is not listed in `tests/cases/DIFFERENCES.md` or
//! `tests/published/DIFFERENCES.md` is an error, and so is what is listed and does not.

use anyhow::{Result, bail};

use crate::setup::{self, Purpose};
use crate::suites::Suites;
use crate::tally::Tally;
use crate::{published, test};

/// `cargo xtask compare [FILTER] [--debug]`
#[derive(clap::Args)]
pub struct Args {
    /// Only cases whose name contains this
    #[arg(default_value = "")]
    filter: String,
    /// A debug build of ctrace: sooner there, for whoever changes ctrace
    #[arg(long)]
    debug: bool,
}

/// Compares; an error if anything is not as it is listed.
pub fn main(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Bench)?;
    let suites = Suites::build(args.debug)?;
    let mut tally = Tally::default();
    let mut compare = suites.command(&suites.compare);
    compare.env("PEER_ROOT", setup::peers()).arg(&args.filter);
    test::harness("compare", &mut compare, &mut tally)?;
    let mut published = suites.command(&suites.published);
    published.env("PEER_ROOT", setup::peers()).env("PUBLISHED", published::folder()?).arg(&args.filter);
    test::harness("published", &mut published, &mut tally)?;
    println!("\n{}: the same, not as listed, listed or not compared", tally.summary());
    if tally.failed > 0 {
        bail!(
            "bpftrace and ctrace differ otherwise than tests/cases/DIFFERENCES.md and tests/published/DIFFERENCES.md say"
        );
    }
    Ok(())
}
