//! The file format of a script case.
//!
//! ```text
//! # What the case specifies, in a sentence.
//! run: ctrace -c 'peer getppid=7' $SCRIPT
//!
//! --- script
//! tracepoint:syscalls:sys_enter_getppid { @ = count(); }
//!
//! --- stdout
//! @: 7
//! ```
//!
//! Header lines are `key: value`; each may be left out:
//!
//! | key | meaning | else |
//! |---|---|---|
//! | `run` | the command under test, one command for a POSIX shell; `$SCRIPT` is a file with the script | `ctrace $SCRIPT` |
//! | `neighbour` | shell lines that run, outside the case's cgroup, once everything is attached | nothing |
//! | `after` | shell lines that run in the case's cgroup, after the neighbour's | nothing |
//! | `stop` | `interrupt`: the command gets SIGINT once the lines above have ended | it ends by itself |
//! | `exit` | the command's exit status | 0 |
//! | `needs` | what the machine must have, separated by commas; see [`crate::needs`] | nothing |
//! | `sysctl` | settings of the kernel while the case runs, `NAME = VALUE`, separated by commas; no other case runs meanwhile | as they are |
//! | `ours` | what of the case bpftrace has not: an option, a function, a message; it is not compared with bpftrace | nothing |
//!
//! Sections are `script`, `stdout` and `stderr`; the last two are as [`crate::expect`] says. Without `stdout` nothing may
//! be printed there; without `stderr`, what is printed there is not compared.
//!
//! Every command runs in the case's own cgroup, with `$DISK` a folder on a disk if there is one, and with ctrace, the test program `peer` and the system's tools in PATH.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::expect::Expected;
use crate::needs::Need;

/// One script case.
#[derive(Debug)]
pub struct Case {
    /// The shell command under test.
    pub run: String,
    /// The script, if the case has one.
    pub script: Option<String>,
    /// Shell lines that run outside the case's cgroup once everything is attached.
    pub neighbour: Option<String>,
    /// Shell lines that run inside the case's cgroup once everything is attached.
    pub after: Option<String>,
    /// Whether SIGINT ends the command.
    pub interrupt: bool,
    /// The exit status that is expected.
    pub exit: i32,
    /// What the machine must have.
    pub needs: Vec<Need>,
    /// Settings of the kernel, names and values, for as long as it runs.
    pub sysctl: Vec<(String, String)>,
    /// What of it bpftrace has not, if anything.
    pub ours: Option<String>,
    /// What must be printed to stdout.
    pub stdout: Expected,
    /// What must be printed to stderr, if that is compared.
    pub stderr: Option<Expected>,
}

impl Case {
    /// Reads a case; an error names the line that is not understood.
    pub fn parse(text: &str) -> Result<Self> {
        let (header, sections) = split(text);
        let mut case = Self {
            run: "ctrace $SCRIPT".to_owned(),
            script: None,
            neighbour: None,
            after: None,
            interrupt: false,
            exit: 0,
            needs: Vec::new(),
            sysctl: Vec::new(),
            ours: None,
            stdout: Expected::default(),
            stderr: None,
        };
        for line in header.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once(':').with_context(|| format!("not `key: value`: {line}"))?;
            case.set(key, value.trim()).with_context(|| format!("in the line: {line}"))?;
        }
        for (name, body) in sections {
            match name {
                "script" => case.script = Some(format!("{}\n", body.trim_end())),
                "stdout" => case.stdout = Expected::parse(body)?,
                "stderr" => case.stderr = Some(Expected::parse(body)?),
                _ => bail!("unknown section `{name}`; known are script, stdout and stderr"),
            }
        }
        ensure!(case.script.is_some() || !case.run.contains("$SCRIPT"), "the case runs $SCRIPT and has no script");
        Ok(case)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "run" => self.run = value.to_owned(),
            "neighbour" => self.neighbour = Some(value.to_owned()),
            "after" => self.after = Some(value.to_owned()),
            "stop" if value == "interrupt" => self.interrupt = true,
            "stop" => bail!("`interrupt` is the only way to stop a command"),
            "exit" => self.exit = value.parse().context("not an exit status")?,
            "needs" => {
                self.needs = value.split(',').map(|need| Need::parse(need.trim())).collect::<Result<_>>()?;
            }
            "sysctl" => self.sysctl = settings(value)?,
            "ours" => {
                ensure!(!value.is_empty(), "say what bpftrace has not");
                self.ours = Some(value.to_owned());
            }
            _ => bail!("unknown key `{key}`"),
        }
        Ok(())
    }
}

/// Settings of the kernel: `kernel.perf_event_paranoid = 2`, separated by commas.
pub fn settings(text: &str) -> Result<Vec<(String, String)>> {
    let setting = |text: &str| {
        let (name, value) = text.split_once('=').with_context(|| format!("not `NAME = VALUE`: {text}"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').map(setting).collect()
}

/// All cases below a folder, in the order of their names: `area/name`, and the text.
pub fn below(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut cases = Vec::new();
    for file in files(folder)? {
        let name = file.strip_prefix(folder)?.with_extension("").display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        cases.push((name, text));
    }
    cases.sort();
    Ok(cases)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "case") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The header, and each section's name and body.
fn split(text: &str) -> (&str, Vec<(&str, &str)>) {
    let mut parts = text.split("\n--- ");
    let header = parts.next().unwrap_or_default();
    let sections = parts.map(|part| part.split_once('\n').unwrap_or((part, ""))).collect();
    (header, sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_may_say_everything() {
        let case = Case::parse(
            "# A neighbour is not seen.\n\
             run: ctrace -B none $SCRIPT\n\
             neighbour: peer getppid=1000\n\
             after: peer getppid=7\n\
             stop: interrupt\n\
             exit: 3\n\
             needs: kprobes, kernel >= 6.6\n\
             sysctl: kernel.perf_event_paranoid = 2\n\
             ours: the scope\n\
             \n\
             --- script\n\
             BEGIN { printf(\"a: b\\n\"); }\n\
             END { }\n\
             \n\
             --- stdout\n\
             a: b\n\
             --- stderr\n\
             ~ .*\n",
        )
        .unwrap();
        assert_eq!(case.run, "ctrace -B none $SCRIPT");
        assert_eq!(case.neighbour.as_deref(), Some("peer getppid=1000"));
        assert_eq!(case.after.as_deref(), Some("peer getppid=7"));
        assert!(case.interrupt);
        assert_eq!(case.exit, 3);
        assert_eq!(case.needs, [Need::Kprobes, Need::Kernel(6, 6)]);
        assert_eq!(case.sysctl, [("kernel.perf_event_paranoid".to_owned(), "2".to_owned())]);
        assert_eq!(case.ours.as_deref(), Some("the scope"));
        assert_eq!(case.script.as_deref(), Some("BEGIN { printf(\"a: b\\n\"); }\nEND { }\n"));
        case.stdout.check("a: b\n").unwrap();
        case.stderr.unwrap().check("anything\n").unwrap();
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let case = Case::parse("\n--- script\nBEGIN { exit(); }\n").unwrap();
        assert_eq!((case.run.as_str(), case.exit, case.interrupt), ("ctrace $SCRIPT", 0, false));
        case.stdout.check("").unwrap();
        case.stdout.check("a\n").unwrap_err();
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let error = |text| format!("{:#}", Case::parse(text).unwrap_err());
        assert_eq!(error("exits: 1\n--- script\n"), "in the line: exits: 1: unknown key `exits`");
        assert_eq!(error("exit: none\n"), "in the line: exit: none: not an exit status: invalid digit found in string");
        assert_eq!(error("hello\n"), "not `key: value`: hello");
        assert_eq!(
            error("\n--- script\n--- output\n"),
            "unknown section `output`; known are script, stdout and stderr"
        );
        assert_eq!(error("run: ctrace $SCRIPT\n"), "the case runs $SCRIPT and has no script");
    }
}
