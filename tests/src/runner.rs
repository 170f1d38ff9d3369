//! Runs one case, in cgroups of its own, and says how it failed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bpftrace::{self, Bpftrace};
use crate::case::Case;
use crate::cgroup::Cgroup;
use crate::needs;
use crate::process::{self, Ended, NOTIFY, Process};
use crate::sysctl::Settings;

/// How long a case may take, emulated machines included.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs cases with ctrace, or with bpftrace in its place.
#[derive(Clone)]
pub struct Runner {
    path: OsString,
    bpftrace: Option<(Arc<Bpftrace>, Rewrite)>,
}

/// Gives a script the predicate that only its own processes fulfil.
pub type Rewrite = fn(script: &str, predicate: &str) -> String;

impl Runner {
    /// A runner whose commands find these programs before the system's.
    pub fn new(programs: &[&Path]) -> Result<Self> {
        let folders = programs.iter().filter_map(|program| program.parent()).map(PathBuf::from);
        let system = env::var_os("PATH").unwrap_or_default();
        Ok(Self { path: env::join_paths(folders.chain(env::split_paths(&system)))?, bpftrace: None })
    }

    /// A runner with bpftrace in the place of ctrace.
    pub fn with_bpftrace(bpftrace: Bpftrace, rewrite: Rewrite) -> Result<Self> {
        Ok(Self { path: bpftrace.path()?, bpftrace: Some((Arc::new(bpftrace), rewrite)) })
    }

    /// Runs the case; an error says what was not as expected.
    pub fn run(&self, case: &Case) -> Result<()> {
        let ended = self.execute(case)?;
        compare(case, &ended).with_context(|| format!("with this on stderr:\n{}", ended.stderr))
    }

    /// Runs the case and judges it as bpftrace's: what is ours alone in JSON is not expected, the order of a
    /// map's entries and texts on stderr are not compared, and where the case is refused, bpftrace must refuse it too, by whatever status.
    pub fn run_as_bpftrace(&self, case: &Case) -> Result<()> {
        let ended = self.execute(case)?;
        let outcome = (|| {
            case.stdout.clone().without(is_ours_in_json).check_unordered(&ended.stdout).context("stdout differs")?;
            let refuses = |status| matches!(status, 1 | 2 | 4 | 255);
            let code = ended.status.code();
            let same = code == Some(case.exit) || refuses(case.exit) && code.is_some_and(refuses);
            ensure!(same, "expected exit status {}, got {}", case.exit, ended.status);
            Ok(())
        })();
        outcome.with_context(|| format!("with this on stderr:\n{}", ended.stderr))
    }

    /// Runs the case and says how it ended; nothing is judged.
    pub fn execute(&self, case: &Case) -> Result<Ended> {
        let deadline = Instant::now() + if self.bpftrace.is_some() { bpftrace::LIMIT } else { LIMIT };
        let _settings = Settings::of(case)?;
        let scope = Cgroup::new("case")?;
        let beside = Cgroup::new("neighbour")?;
        let text = case.script.as_deref().unwrap_or_default();
        let text = match &self.bpftrace {
            None => text.to_owned(),
            Some((_, rewrite)) => rewrite(text, &bpftrace::predicate(&scope)?),
        };
        let script = Script::write(&scope, &text)?;

        let line = format!("exec {}", case.run);
        let command = match &self.bpftrace {
            None => process::command(&scope, &line),
            Some((bpftrace, _)) => bpftrace.command(&beside, &scope, &line),
        };
        let mut command = self.in_environment(command, &script);
        if case.neighbour.is_some() || case.after.is_some() {
            command.env(NOTIFY, "1");
        }
        let process = Process::spawn(command)?;
        // A command that has ended before has failed, and says so below.
        if (case.neighbour.is_some() || case.after.is_some()) && process.wait_attached(deadline)? {
            for (cgroup, lines) in [(&beside, &case.neighbour), (&scope, &case.after)] {
                let Some(lines) = lines else { continue };
                process::run(self.in_environment(process::command(cgroup, lines), &script), deadline)
                    .with_context(|| format!("the workload `{lines}` failed"))?;
            }
        }
        if case.interrupt {
            process.interrupt()?;
        }
        let ended = process.finish(if self.bpftrace.is_some() { &beside } else { &scope }, deadline)?;
        drop(script);
        beside.remove()?;
        scope.remove()?;
        Ok(ended)
    }

    fn in_environment(&self, mut command: Command, script: &Script) -> Command {
        command.env("PATH", &self.path).env("SCRIPT", &script.file).env_remove(NOTIFY);
        command.envs(needs::disk().map(|disk| ("DISK", disk)));
        command
    }
}

/// Whether a line of the expectation is for a kind of JSON line that bpftrace has not.
fn is_ours_in_json(line: &str) -> bool {
    ["meta", "summary"].iter().any(|kind| line.contains(&format!(r#"{{"type": "{kind}""#)))
}

fn compare(case: &Case, ended: &Ended) -> Result<()> {
    case.stdout.check(&ended.stdout).context("stdout differs")?;
    if let Some(stderr) = &case.stderr {
        stderr.check(&ended.stderr).context("stderr differs")?;
    }
    ensure!(ended.status.code() == Some(case.exit), "expected exit status {}, got {}", case.exit, ended.status);
    Ok(())
}

/// A script as a file, removed with its guard.
struct Script {
    file: PathBuf,
}

impl Script {
    /// Writes the script to a file that is named like the cgroup, whose name is unique.
    fn write(scope: &Cgroup, text: &str) -> Result<Self> {
        let name = scope.path().file_name().context("a cgroup has a name")?;
        let file = env::temp_dir().join(name).with_extension("bt");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { file })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.file) {
            eprintln!("left behind: {}: {error}", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Runs a case against a shell script in the place of ctrace; the message of its failure, if it fails.
    fn outcome(ctrace: &str, case: &str) -> Result<(), String> {
        let scratch = Cgroup::new("fake").unwrap();
        let folder = env::temp_dir().join(scratch.path().file_name().unwrap());
        fs::create_dir(&folder).unwrap();
        let program = folder.join("ctrace");
        fs::write(&program, format!("#!/bin/sh\n{ctrace}")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let outcome = Runner::new(&[&program]).unwrap().run(&Case::parse(case).unwrap());
        fs::remove_dir_all(&folder).unwrap();
        outcome.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_command_gets_the_script_and_its_own_cgroup() {
        let ctrace = "cat $1; grep -c ctrace-test-.*-case /proc/self/cgroup";
        let case = "\n--- script\nBEGIN { }\n--- stdout\nBEGIN { }\n1\n";
        assert_eq!(outcome(ctrace, case), Ok(()));
    }

    #[test]
    fn workloads_run_once_everything_is_attached_and_sigint_ends_the_command() {
        let ctrace = "
            trap 'cat $1; exit 3' INT
            echo before; echo __BPFTRACE_NOTIFY_PROBES_ATTACHED
            while :; do sleep 0.01; done";
        let case = "
neighbour: grep -q ctrace-test-.*-neighbour /proc/self/cgroup && echo neighbour >> $SCRIPT
after: grep -q ctrace-test-.*-case /proc/self/cgroup && echo after >> $SCRIPT
stop: interrupt
exit: 3

--- script
script
--- stdout
before
script
neighbour
after
";
        assert_eq!(outcome(ctrace, case), Ok(()));
    }

    #[test]
    fn a_difference_fails_and_shows_stderr() {
        let case = "\n--- script\n\n--- stdout\na\n";
        assert_eq!(
            outcome("echo b; echo why >&2", case),
            Err("with this on stderr:\nwhy\n: stdout differs: expected:\n    a\nprinted:\n    b".to_owned())
        );
        let error = outcome("echo a; exit 4", case).unwrap_err();
        assert!(error.ends_with("expected exit status 0, got exit status: 4"), "{error}");
        let stderr = "\n--- script\n\n--- stderr\nwarning\n";
        assert_eq!(outcome("echo warning >&2", stderr), Ok(()));
        assert!(outcome("echo other >&2", stderr).is_err());
    }

    #[test]
    fn a_command_that_ends_before_it_attaches_fails_by_its_status() {
        let case = "\nafter: true\n--- script\n";
        let error = outcome("echo no >&2; exit 4", case).unwrap_err();
        assert!(error.ends_with("expected exit status 0, got exit status: 4"), "{error}");
    }

    #[test]
    fn a_workload_that_fails_fails_the_case() {
        let ctrace = "echo __BPFTRACE_NOTIFY_PROBES_ATTACHED; sleep 1000";
        let error = outcome(ctrace, "\nafter: exit 9\n--- script\n").unwrap_err();
        assert_eq!(error, "the workload `exit 9` failed: ended with exit status: 9");
    }
}
