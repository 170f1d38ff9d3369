//! `cargo xtask build`: everything, for development.

use anyhow::Result;

use crate::setup::{self, Purpose};
use crate::shell;

/// Builds all default members with debug information.
pub fn main() -> Result<()> {
    setup::ensure(Purpose::Build)?;
    shell::run(shell::cargo().args(["build", "--all-targets"]))
}
