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
use crate::{dist, published, shell, vm};

/// How long the cases and the catalogue may take on one emulated machine.
const MACHINE_LIMIT: Duration = Duration::from_secs(1200);

/// How long such a machine may take to start.
const MACHINE_START: Duration = Duration::from_secs(60);

/// How much longer for each script that is made up.
const SCRIPT_LIMIT: Duration = Duration::from_secs(1);

/// Which scripts are made up.
#[derive(clap::Args)]
pub struct Generation {
    /// How many scripts are made up, on each kernel
    #[arg(long, default_value_t = 300)]
    scripts: u32,
    /// What they are made from: the same number makes the same scripts
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Generation {
    /// What the suite is told.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("SCRIPTS", self.scripts.to_string()), ("SEED", self.seed.to_string())]
    }
}

/// The static programs of the suites.
pub struct Suites {
    ctrace: PathBuf,
    peer: PathBuf,
    /// The script cases.
    pub cases: PathBuf,
    /// The catalogue of events against tracefs.
    pub catalogue: PathBuf,
    /// Scripts that are made up.
    pub generated: PathBuf,
    /// The cases, under bpftrace too.
    pub compare: PathBuf,
    /// The scripts of bpftrace's packages.
    pub published: PathBuf,
    /// Docker containers.
    pub containers: PathBuf,
}

impl Suites {
    /// Builds ctrace, a debug build if that is asked for, and all of them.
    pub fn build(debug: bool) -> Result<Self> {
        let ctrace = if debug { dist::build_debug()? } else { dist::build()? };
        let mut build = dist::static_cargo("build", &dist::host_triple()?);
        build.args(["--package", "tests", "--bins"]);
        for suite in ["cases", "catalogue", "generated", "compare", "published", "containers"] {
            build.args(["--test", suite]);
        }
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
            catalogue: program("catalogue")?,
            generated: program("generated")?,
            compare: program("compare")?,
            published: program("published")?,
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

    /// The script cases, the catalogue, those of bpftrace's scripts that probe the kernel's functions, and scripts that are
    /// made up, in a virtual machine.
    pub fn on_kernel(&self, series: Series, filter: &str, generation: &Generation, tally: &mut Tally) -> Result<()> {
        let filter = shell::quote(filter);
        let command = format!(
            "suite --color never {filter}; cases=$?\n\
             catalogue --color never {filter}; catalogue=$?\n\
             published --color never {filter}; published=$?\n\
             generated --color never {filter} && test $catalogue = 0 && test $published = 0 && exit $cases"
        );
        self.in_machine(series, &command, MACHINE_LIMIT, generation, tally)
    }

    /// Scripts that are made up, in a virtual machine.
    pub fn generated_on_kernel(&self, series: Series, generation: &Generation, tally: &mut Tally) -> Result<()> {
        self.in_machine(series, "generated --color never", MACHINE_START, generation, tally)
    }

    /// Shell lines that may run all of these, in a virtual machine; `limit` is theirs but for scripts that are made up.
    fn in_machine(
        &self,
        series: Series,
        command: &str,
        limit: Duration,
        generation: &Generation,
        tally: &mut Tally,
    ) -> Result<()> {
        let entry = |from: &Path, to: &str| Entry { from: from.to_owned(), to: to.to_owned() };
        let entries = [
            entry(&self.ctrace, "/bin/ctrace"),
            entry(&self.peer, "/bin/peer"),
            entry(&self.cases, "/bin/suite"),
            entry(&self.catalogue, "/bin/catalogue"),
            entry(&self.generated, "/bin/generated"),
            entry(&self.published, "/bin/published"),
            entry(&cases(), "/cases"),
            entry(&published::folder()?, "/published"),
        ];
        let [scripts, seed] = generation.environment().map(|(name, value)| format!("{name}={value}"));
        let environment = "CTRACE=/bin/ctrace PEER=/bin/peer CASES=/cases PUBLISHED=/published KPROBES=only";
        let command = format!("export {environment} {scripts} {seed}\n{command}");
        let failed_before = tally.failed;
        let mut count = |line: &str| {
            println!("{line}");
            tally.line(series.name(), line);
        };
        let limit = limit + SCRIPT_LIMIT * generation.scripts;
        let status = vm::run(series, &command, &entries, limit, Serial::Lines(&mut count))?;
        if status != 0 && tally.failed == failed_before {
            bail!("the suites ended with status {status} on kernel {}", series.name());
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
