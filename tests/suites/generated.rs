//! Scripts made up from random choices: each is compiled, loaded, and its `BEGIN` and `END` probes are run; what it
//! prints is compared with what an interpreter of its tree says. A script that fails is made as small as it can be.
//!
//! `SCRIPTS` says how many, `SEED` from which number they are made: the same number makes the same scripts. Several run
//! together, each with maps and variables of its own, since it takes longer to start than to run one. From time to time a line
//! says how many there were.

use std::cell::Cell;
use std::env;
use std::iter::repeat;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::arbitrary::any;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tests::cgroup::Cgroup;
use tests::generate::interpret::interpret;
use tests::generate::make;
use tests::generate::tree::Script;
use tests::process::{self, Process};
use tests::programs;

/// How many scripts run together: more of them would often use more maps in one program than the kernel allows.
const TOGETHER: usize = 5;
/// How many scripts, unless `SCRIPTS` says it.
const SCRIPTS: u32 = 300;
/// The most choices that a script is made from.
const CHOICES: usize = 900;
/// How long scripts that run together may take, on emulated machines too whose host has other work.
const LIMIT: Duration = Duration::from_secs(300);
/// After how many scripts there is a line.
const TOLD: usize = 500;
/// How long may be spent on making a failing script smaller.
const SHRINKING: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let scripts = number("SCRIPTS")?.map_or(Ok(SCRIPTS), u32::try_from)?;
    let seed = match number("SEED")? {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let cgroup = Cgroup::new("generated")?;
    let name = format!("generated/{scripts}-scripts-from-seed-{seed}");
    let trial = Trial::test(name, move || run(&cgroup, scripts, seed).map_err(Failed::from));
    Ok(libtest_mimic::run(&arguments, vec![trial]).exit_code())
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = env::var_os(variable);
    text.map(|text| text.to_string_lossy().parse().with_context(|| format!("{variable} is not a number"))).transpose()
}

/// Makes and runs scripts; an error shows the smallest that fails.
fn run(cgroup: &Cgroup, scripts: u32, seed: u64) -> Result<(), String> {
    // One in ten may be too large for the kernel's stack, and another is made in its place.
    let runs = scripts.div_ceil(TOGETHER as u32);
    let config =
        Config { cases: runs, max_global_rejects: runs.div_ceil(10), failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let failed: Cell<Option<Instant>> = Cell::new(None);
    let right_so_far = Cell::new(0);
    let made = TestRunner::new_with_rng(config, random).run(&vec(vec(any::<u32>(), 0..CHOICES), TOGETHER), |choices| {
        // While it is made smaller: the first that comes too late counts as right, and so do all after it.
        if failed.get().is_some_and(|since| since.elapsed() > SHRINKING) {
            return Ok(());
        }
        let right = script(cgroup, &choices);
        if matches!(right, Ok(Ran::TooLarge)) {
            return Err(TestCaseError::reject("too large"));
        }
        right.map_err(|error| {
            failed.set(failed.get().or(Some(Instant::now())));
            TestCaseError::fail(format!("{error:#}"))
        })?;
        right_so_far.set(right_so_far.get() + TOGETHER);
        if right_so_far.get() % TOLD == 0 && failed.get().is_none() {
            println!("{} scripts so far", right_so_far.get());
        }
        Ok(())
    });
    made.map_err(|error| match error {
        TestError::Fail(why, choices) => format!("{why}\nof this script:\n{}", text(&make::scripts(&choices))),
        TestError::Abort(why) => why.to_string(),
    })
}

/// What has become of a script.
enum Ran {
    /// It has printed what it must.
    Right,
    /// The compiler has refused it, since it asks for more than a program can hold.
    TooLarge,
}

/// Runs scripts together.
fn script(cgroup: &Cgroup, choices: &[Vec<u32>]) -> Result<Ran> {
    let script = make::scripts(choices);
    let mut command = process::command(cgroup, "exec \"$CTRACE\" -e \"$GENERATED\"");
    command.env("GENERATED", text(&script)).env("PATH", programs::path()?);
    let ended = Process::spawn(command)?.finish(cgroup, Instant::now() + LIMIT)?;
    let too_large = ["bytes of stack, of which the kernel leaves", "error: this is too much for one program:"];
    if too_large.iter().any(|said| ended.stderr.contains(said)) && !ended.status.success() {
        return Ok(Ran::TooLarge);
    }
    let expected = interpret(&script);
    ensure!(ended.status.success(), "{}:\n{}", ended.status, ended.stderr);
    if let Some((line, (expected, printed))) = difference(&expected, &ended.stdout) {
        bail!("in line {line}, expected:\n{expected}\nprinted:\n{printed}\nwith this on stderr:\n{}", ended.stderr);
    }
    Ok(Ran::Right)
}

/// The first line that differs: its number, and as it is in both.
fn difference<'t>(expected: &'t str, printed: &'t str) -> Option<(usize, (&'t str, &'t str))> {
    let lines = |text: &'t str| text.split('\n').map(Some).chain(repeat(None));
    let pairs = lines(expected).zip(lines(printed)).take_while(|pair| *pair != (None, None));
    let (line, (expected, printed)) = (1..).zip(pairs).find(|(_, (expected, printed))| expected != printed)?;
    Some((line, (expected.unwrap_or("nothing more"), printed.unwrap_or("nothing more"))))
}

/// The text of a script that ends as soon as it has begun.
fn text(script: &Script) -> String {
    format!("{script}BEGIN {{ exit(); }}\n")
}
