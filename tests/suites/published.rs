//! The scripts that Debian's packages of bpftrace bring: all parse; each that this kernel has the probes for runs, and
//! prints what bpftrace prints where that is at hand.
//!
//! `PUBLISHED` is a folder with a folder of scripts for each version. What is refused or prints otherwise is listed with its
//! reason in `tests/published/DIFFERENCES.md`; nothing else may.
//!
//! Both tools run a script on the same few system calls of one process. Numbers, which are times and ids, do not count in
//! what they print, nor how often and in which order a line comes, nor what was measured.
//!
//! With `KPROBES=only`, as in virtual machines, where bpftrace is not: those that probe functions of the kernel, each of which
//! must run if the kernel has its functions, and print what its workload makes it print ([`PRINTED`]).

#[path = "common/predicate.rs"]
mod predicate;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use regex_lite::Regex;
use tests::bpftrace::Bpftrace;
use tests::case::Case;
use tests::differences::{self, Differences};
use tests::needs::Need;
use tests::process::Ended;
use tests::programs;
use tests::runner::Runner;
use tracer::compile::sema::kprobes;
use tracer::compile::source::Source;
use tracer::compile::syntax;

/// What is traced: openings that fail, calls of each kind that `peer` knows, a connection, and capabilities given up.
const RUN: &str = "ctrace -c 'peer missing=3 getppid=2 read=2 write=2 yield=2 connect=1 only=' $SCRIPT";
/// ctrace's exit status where the kernel, or the privilege, lacks something.
const REFUSED: i32 = 4;
/// Lines, as regular expressions, that scripts at the kernel's functions print of that.
const PRINTED: [(&str, &str); 6] = [
    ("vfscount", r"^@\[vfs_read\]: [0-9]+$"),
    // To give up a capability of the bounding set takes one.
    ("capable", r"^[0-9:]{8} +0 +[0-9]+ +peer +8 +CAP_SETPCAP +[0-9]+ *$"),
    ("dcsnoop", r"^[0-9]+ +[0-9]+ +peer +R dev/null$"),
    ("tcpconnect", r"^[0-9:]{8} [0-9]+ +peer +127\.0\.0\.1 +[0-9]+ +127\.[0-9.]+\.1 +47613 *$"),
    ("tcpaccept", r"^[0-9:]{8} [0-9]+ +peer +127\.0\.0\.1 +[0-9]+ +127\.[0-9.]+\.1 +47613 +0/[0-9]+$"),
    ("tcpsynbl", r"^\[0\] +1 \|@+\|$"),
];
/// What ctrace says where this machine has not what a script probes; the first is of functions that are named.
const MISSING: [&str; 6] = [
    "error: there is no function ",
    "error: no function that can be probed matches ",
    "error: there is no tracepoint ",
    "error: there is no event ",
    "error: no file is called ",
    " has no member ",
];

struct Tools {
    ctrace: Runner,
    bpftrace: Option<Runner>,
    differences: Differences,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let folder = PathBuf::from(env::var_os("PUBLISHED").context("PUBLISHED is not set; `cargo xtask test` sets it")?);
    let (ctrace, peer) = (programs::ctrace()?, programs::peer()?);
    let bpftrace = match env::var_os("PEER_ROOT") {
        Some(root) => Some(Runner::with_bpftrace(Bpftrace::new(Path::new(&root), &peer)?, predicate::with_predicate)?),
        None => None,
    };
    let list = include_str!("../published/DIFFERENCES.md");
    let differences = differences::parse(list)?;
    let tools = Arc::new(Tools { ctrace: Runner::new(&[&ctrace, &peer])?, bpftrace, differences });

    let kprobes_only = match env::var("KPROBES") {
        Ok(only) => {
            ensure!(only == "only", "KPROBES is `only`, or not there");
            true
        }
        Err(_) => false,
    };
    let mut trials = Vec::new();
    for (name, text) in scripts(&folder)? {
        if kprobes_only && !has_kprobes(&text) {
            continue;
        }
        let tools = Arc::clone(&tools);
        let trial = name.clone();
        trials.push(Trial::ignorable_test(trial, move || {
            tools.check(&name, &text).map_err(|error| format!("{error:#}").into())
        }));
    }
    ensure!(!trials.is_empty(), "no scripts are in {}", folder.display());
    drop(tools);
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

impl Tools {
    fn check(&self, name: &str, text: &str) -> Result<Completion> {
        let source = Source::new(name, text);
        let errors = syntax::parse(&source).errors;
        ensure!(errors.is_empty(), "it does not parse: {errors:?}");
        match (self.run(name, text), self.differences.get(name)) {
            (Ok(completion), None) => Ok(completion),
            // What is listed may be missing here, and so not be seen.
            (Ok(Completion::Completed), Some(_)) if self.bpftrace.is_some() => {
                bail!("it does what bpftrace does; take it out of tests/published/DIFFERENCES.md")
            }
            (Ok(completion), Some(_)) => Ok(completion),
            (Err(_), Some(reason)) => Ok(Completion::ignored_with(format!("differs: {reason}"))),
            (Err(error), None) => Err(error),
        }
    }

    fn run(&self, name: &str, text: &str) -> Result<Completion> {
        let mut case = Case::parse(&format!("run: {RUN}\n\n--- script\n"))?;
        case.script = Some(text.to_owned());
        let ours = self.ctrace.execute(&case)?;
        if ours.status.code() == Some(REFUSED) {
            ensure!(!has_kprobes(text) || Need::Kprobes.unmet().is_some(), "ctrace refuses it:\n{}", ours.stderr);
            let why = ours.stderr.lines().last().unwrap_or_default().to_owned();
            return Ok(Completion::ignored_with(why));
        }
        if !ours.status.success() {
            let missing = ours.stderr.lines().find(|line| MISSING.iter().any(|what| line.contains(what)));
            return match missing {
                Some(line) if all_missing(&ours.stderr)? => Ok(Completion::ignored_with(line.trim().to_owned())),
                _ => bail!("ctrace ended with {}:\n{}", ours.status, ours.stderr),
            };
        }
        let tool = name.rsplit('/').next().unwrap_or(name);
        for (_, line) in PRINTED.iter().filter(|(named, _)| *named == tool && has_kprobes(text)) {
            let expected = Regex::new(line)?;
            ensure!(ours.stdout.lines().any(|line| expected.is_match(line)), "no `{line}` in\n{}", ours.stdout);
        }
        let Some(bpftrace) = &self.bpftrace else { return Ok(Completion::Completed) };
        let theirs = bpftrace.execute(&case)?;
        if !theirs.status.success() {
            let why = theirs.stderr.lines().find(|line| line.contains("ERROR")).unwrap_or_default().to_owned();
            return Ok(Completion::ignored_with(format!("bpftrace refuses it: {why}")));
        }
        let (printed, expected) = (lines(&ours)?, lines(&theirs)?);
        ensure!(printed == expected, "ctrace prints\n{printed:#?}\nand bpftrace\n{expected:#?}");
        Ok(Completion::Completed)
    }
}

/// Whether a script has probes in functions of the kernel.
fn has_kprobes(text: &str) -> bool {
    let parsed = syntax::parse(&Source::new("script", text));
    let mut specs = parsed.script.probes.iter().flat_map(|probe| &probe.specs);
    specs.any(|spec| spec.fields.first().is_some_and(|kind| kprobes::kind(&kind.text).is_some()))
}

/// Whether every error is about what is missing here; functions of which ctrace says so are looked for.
fn all_missing(stderr: &str) -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    for line in stderr.lines().filter(|line| line.starts_with("error: ")) {
        // A map that only a missing probe fills is not known either, nor its type.
        let follows = ["undefined map", "type mismatch"].iter().any(|what| line.contains(what));
        if !follows && !MISSING.iter().any(|what| line.contains(what)) {
            return Ok(false);
        }
        if let Some(name) = line.strip_prefix(MISSING[0]).and_then(|rest| rest.split('`').nth(1)) {
            let there = [" t ", " T "].iter().any(|kind| symbols.contains(&format!("{kind}{name}\n")));
            ensure!(!there, "the kernel has `{name}`, and ctrace says:\n{stderr}");
        }
    }
    Ok(true)
}

/// The lines that were printed, each once, without numbers and the space between words. Entries of maps and rows of
/// histograms are left out: what the few calls take of a disk or a processor is not the same twice.
fn lines(ended: &Ended) -> Result<BTreeSet<String>> {
    let number = Regex::new(r"(0x)?[0-9a-f]*[0-9][0-9a-f]*")?;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = |line: &str| words(&number.replace_all(line, "0"));
    let varies = |line: &str| ["Attach", "@", "[", "("].iter().any(|start| line.starts_with(start));
    Ok(ended.stdout.lines().filter(|line| !varies(line)).map(plain).filter(|line| !line.is_empty()).collect())
}

/// All scripts of all versions: `0.17/opensnoop`, and the text.
fn scripts(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut scripts = Vec::new();
    for version in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        for script in fs::read_dir(version?.path())? {
            let path = script?.path();
            if path.extension().is_some_and(|extension| extension == "bt") {
                let name = path.strip_prefix(folder)?.with_extension("").display().to_string();
                scripts.push((name, fs::read_to_string(&path)?));
            }
        }
    }
    scripts.sort();
    Ok(scripts)
}
