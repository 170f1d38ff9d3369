//! The static programs that run the tests, here and in virtual machines.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::initramfs::Entry;
use crate::kernels::Series;
use crate::qemu::Serial;
use crate::tally::Tally;
use crate::unpacked::Package;
use crate::{dist, shell, vm};

/// How long the cases may take on one emulated machine.
const MACHINE_LIMIT: Duration = Duration::from_secs(900);

/// The static programs of the suites.
pub struct Suites {
    ctrace: PathBuf,
    peer: PathBuf,
    /// The script cases.
    pub cases: PathBuf,
    /// The cases, under bpftrace too.
    pub compare: PathBuf,
    /// Docker containers.
    pub containers: PathBuf,
}

impl Suites {
    /// Builds ctrace, a debug build if that is asked for, and all of them.
    pub fn build(debug: bool) -> Result<Self> {
        let ctrace = if debug { dist::build_debug()? } else { dist::build()? };
        let mut build = dist::static_cargo("build", &dist::host_triple()?);
        build.args(["--package", "tests", "--bins", "--test", "cases", "--test", "compare", "--test", "containers"]);
        build.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
        let built = build.stdin(Stdio::null()).output().context("cannot run cargo")?;
        if !built.status.success() {
            bail!("the suites do not build");
        }
        let messages = String::from_utf8(built.stdout)?;
        let program = |name: &str| executable(&messages, name).with_context(|| format!("cargo built no {name}"));
        Ok(Self {
            ctrace,
            peer: program("peer")?,
            cases: program("cases")?,
            compare: program("compare")?,
            containers: program("containers")?,
        })
    }

    /// A suite on this machine.
    pub fn command(&self, suite: &Path) -> Command {
        let mut command = shell::command(suite);
        command.env("CTRACE", &self.ctrace).env("PEER", &self.peer).env("CASES", cases());
        command.envs(Package::Busybox.find().map(|busybox| ("BUSYBOX", busybox)));
        command
    }

    /// The script cases in a virtual machine.
    pub fn on_kernel(&self, series: Series, filter: &str, tally: &mut Tally) -> Result<()> {
        let entry = |from: &Path, to: &str| Entry { from: from.to_owned(), to: to.to_owned() };
        let entries = [
            entry(&self.ctrace, "/bin/ctrace"),
            entry(&self.peer, "/bin/peer"),
            entry(&self.cases, "/bin/suite"),
            entry(&cases(), "/cases"),
        ];
        let command =
            format!("CTRACE=/bin/ctrace PEER=/bin/peer CASES=/cases suite --color never {}", shell::quote(filter));
        let failed_before = tally.failed;
        let mut count = |line: &str| {
            println!("{line}");
            tally.line(series.name(), line);
        };
        let status = vm::run(series, &command, &entries, MACHINE_LIMIT, Serial::Lines(&mut count))?;
        if status != 0 && tally.failed == failed_before {
            bail!("the cases ended with status {status} on kernel {}", series.name());
        }
        Ok(())
    }
}

fn cases() -> PathBuf {
    shell::root().join("tests/cases")
}

/// The path of a program in cargo's messages, which are lines of JSON.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_programs_that_it_built() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"tests"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"peer"},"executable":"/t/debug/peer"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "peer"), Some(PathBuf::from("/t/debug/peer")));
        assert_eq!(executable(messages, "tests"), None);
    }
}
