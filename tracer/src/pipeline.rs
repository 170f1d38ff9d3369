//! The whole story: command line → facts → privilege → scope → compile → load → run → report. The only module that names
//! every stage.

mod listing;
mod rejection;
mod telling;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use thiserror::Error;
use tracer_common::loss::Loss;

use crate::cli::high::{self, Listed, Request, Run, Talk};
use crate::cli::imports;
use crate::cli::output::Output;
use crate::cli::script::TOOLS;
use crate::cli::status::Status;
use crate::cli::{self, doctor::Diagnosis};
use crate::compile::bpf::runtime::Library;
use crate::compile::diagnostics::{Diagnostic, render_all};
use crate::compile::sema::config::Environment;
use crate::compile::source::Source;
use crate::compile::target::Target;
use crate::compile::{self, Compiled, Failure, Mentions, Stage};
use crate::host::btf::{Btf, BtfError};
use crate::host::cgroupfs;
use crate::host::clock;
use crate::host::elf::{self, Binaries, Mention, Root};
use crate::host::facts::{Facts, Tried};
use crate::host::functions;
use crate::host::offsets::kernel_offsets;
use crate::host::privilege::probes::Kind;
use crate::host::privilege::{self, Refusal};
use crate::host::scope::{self, Asked, Processes, Resolved, ScopeError};
use crate::host::symbols;
use crate::host::tracefs;
use crate::plan::{Attach, Plan, Sample, SampleEvent};
use crate::report::{Losses, Meta, Reporter, Style, Summary};
use crate::run::attach::uprobe::Places;
use crate::run::command::Command;
use crate::run::{self, Loaded, Options, Outcome, Reason};
pub use rejection::Rejection;
use telling::{Contents, Silence, Telling};
use world::Here;

/// The kernel's types, or why there are none.
type Types = Result<Arc<Btf>, BtfError>;

/// What is wrong with a script, as text.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ScriptError(String);

/// Does what the command line asks for.
pub fn run(args: &[OsString]) -> Result<Status> {
    match high::request(args)? {
        Request::Run(mut run) => {
            if let Err(errors) = imports::load(&mut run.source) {
                return Err(ScriptError(render(&errors, &run.source)).into());
            }
            match run.emit {
                Some(stage) => emit(&run, stage),
                None => trace(&run),
            }
        }
        Request::Doctor { style } => doctor(style),
        Request::List { what, arguments, pid } => list(&what, arguments, pid),
        Request::Tools => tools(),
        Request::ShowTool(tool) => print(tool.text.as_bytes()),
    }
}

/// The exit status of an error.
pub fn status_of(error: &anyhow::Error) -> Status {
    if error.is::<high::UsageError>() || error.is::<ScriptError>() {
        return Status::Usage;
    }
    match error.downcast_ref() {
        Some(ScopeError::NotFound(_)) => Status::Usage,
        Some(ScopeError::Indistinct) => Status::Refused,
        None if error.is::<Refusal>() => Status::Refused,
        None => Status::Failed,
    }
}

/// Runs a script.
fn trace(run: &Run) -> Result<Status> {
    let mut facts = Facts::gather()?;
    let command = match &run.target {
        high::Target::Command { words, .. } if !run.dry_run => Some(prepare(words)?),
        _ => None,
    };

    // What is wrong with a script can be said without any privilege: it comes before what is wrong with the place.
    let refused = privilege::check(&facts);
    let types = Btf::of_kernel().map(Arc::new);
    let Resolved { scope, description } = match refused {
        Ok(()) => find_scope(run, &facts, &types, command.as_ref())?,
        Err(_) => Resolved::default(),
    };
    let mentions = compile::mentions(&run.source, &run.positional);
    let (binaries, places) = look(run, &mentions.files);
    let target = target(run, &facts, scope, types.ok(), command.as_ref(), mentions, binaries)?;
    let compiled = compile::compile(&run.source, &target, &library(run));
    let Compiled { object, plan, places: origins, warnings } =
        compiled.map_err(|failure| script_error(failure, &run.source))?;
    refused?;
    let kinds: Vec<Kind> = plan.programs.iter().filter_map(|program| kind(&program.attach)).collect();
    if kinds.iter().any(|kind| *kind != Kind::Tracepoint) {
        facts.try_probes(tried(&plan));
    }
    privilege::probes::check(&kinds, &facts)?;
    say(run, &render(&warnings, &run.source));
    say(run, &format!("scope: {description}"));

    let loaded = run::load(&object, &plan).map_err(|error| {
        let render = |findings: &[Diagnostic]| render(findings, &run.source);
        rejection::shown(error, &plan, &origins, run.talk == Talk::Verbose, render)
    })?;
    if run.dry_run {
        let options = Options { duration: Some(Duration::ZERO), places, ..Options::default() };
        run::run(loaded, &plan, options, &mut Silence)?;
        return Ok(Status::Done);
    }
    report(run, &facts, &plan, loaded, command, description, places)
}

/// The first functions that the plan has programs for.
fn tried(plan: &Plan) -> Tried {
    let attached = || plan.programs.iter().map(|program| &program.attach);
    let call = |attach: &Attach| match attach {
        Attach::Fentry { sites, .. } => sites.first().map(|site| site.ty),
        _ => None,
    };
    let iterator = |attach: &Attach| match attach {
        Attach::Iterator { ty, .. } => Some(*ty),
        _ => None,
    };
    Tried { call: attached().find_map(call), iterator: attached().find_map(iterator) }
}

/// What a place of attachment asks for; nothing if it is user space that runs the program.
fn kind(attach: &Attach) -> Option<Kind> {
    Some(match attach {
        Attach::Begin | Attach::End | Attach::Interval { .. } | Attach::Signal => return None,
        Attach::RawTracepoint { .. } => Kind::Tracepoint,
        Attach::Iterator { .. } => Kind::Iterator,
        Attach::Tracepoint { .. } => Kind::Record,
        Attach::Uprobe { .. } => Kind::Uprobe,
        Attach::Kprobe { .. } => Kind::Kprobe,
        Attach::Fentry { .. } => Kind::Fentry,
        Attach::Sample(Sample { event: SampleEvent::Hardware(_), .. }) => Kind::Counter,
        Attach::Sample(Sample { event: SampleEvent::Breakpoint { .. }, .. }) => Kind::Watchpoint,
        Attach::Sample(_) => Kind::Sample,
    })
}

/// What generated code is linked with.
fn library(run: &Run) -> Library {
    if run.talk == Talk::Verbose { Library::verbose() } else { Library::quiet() }
}

fn script_error(failure: Failure, source: &Source) -> ScriptError {
    match failure {
        Failure::Script(findings) => ScriptError(render(&findings, source)),
        Failure::Limit(limit) => ScriptError(format!("error: {limit}")),
    }
}

/// Runs what is loaded, and reports what it finds.
fn report(
    run: &Run,
    facts: &Facts,
    plan: &Plan,
    loaded: Loaded,
    command: Option<Command>,
    scope: String,
    places: Places,
) -> Result<Status> {
    let file = run.output.file.as_deref().map_or(OsStr::new("stdout"), |path| path.as_os_str());
    let (output, descriptor) = Output::open(&run.output).with_context(|| format!("cannot open {}", file.display()))?;
    let prompt = output.is_prompt();
    let world = Here::new(&run.source, run.talk == Talk::Quiet).context("cannot read the clock")?;
    let reporter = Reporter::new(plan, &world, run.output.style, output).telling_reads(run.warnings);
    let mut telling = Telling::new(reporter, &world, prompt, run.talk == Talk::Quiet);
    telling::unless_closed(telling.reporter.meta(&meta(facts, scope)))?;

    let options = Options { duration: run.duration, interval: run.interval, command, output: Some(descriptor), places };
    let (outcome, mut maps) = run::run(loaded, plan, options, &mut telling)?;

    let status = status(run, &outcome);
    let mut reporter = telling.reporter;
    let told = reporter
        .maps_at_end(&mut Contents { maps: &mut maps, world: &world })
        .and_then(|()| reporter.failures(&outcome.failures))
        .and_then(|failures| reporter.summary(&Summary { failures, ..summary(&outcome, status) }))
        .and_then(|()| reporter.flush());
    telling::unless_closed(told)?;
    for remark in world.remarks() {
        say(run, &remark);
    }
    say(run, &last_words(run, plan, &outcome));
    Ok(status)
}

/// Prints what a stage makes of a script. Nothing is loaded, so no privilege is needed; without it, the scope is left out.
fn emit(run: &Run, stage: Stage) -> Result<Status> {
    let source = &run.source;
    let facts = Facts::gather()?;
    let types = Btf::of_kernel().map(Arc::new);
    let scope = match privilege::check(&facts) {
        Ok(()) => find_scope(run, &facts, &types, None)?.scope,
        Err(_) => Resolved::default().scope,
    };
    let mentions = compile::mentions(source, &run.positional);
    let (binaries, _) = look(run, &mentions.files);
    let target = target(run, &facts, scope, types.ok(), None, mentions, binaries)?;
    let text = compile::emit(stage, source, &target, &library(run)).map_err(|failure| script_error(failure, source))?;
    let (mut output, _) = Output::open(&run.output)?;
    output.write_all(&text)?;
    output.flush()?;
    Ok(Status::Done)
}

/// Says what may be traced here.
fn doctor(style: Style) -> Result<Status> {
    let mut facts = Facts::gather()?;
    let types = Btf::of_kernel().map(Arc::new);
    let function = |name| Some(types.as_ref().ok()?.function(name).ok()?.0);
    // Any function will do; these are everywhere.
    facts.try_probes(Tried { call: function("vfs_read"), iterator: function("bpf_iter_task") });
    let scope = privilege::check(&facts).is_ok().then(|| {
        let resolved = resolve(None, Processes::All, &facts, &types).map_err(|error| format!("{error:#}"))?;
        Ok(resolved.description)
    });
    let diagnosis = Diagnosis::new(&facts, scope);
    print(diagnosis.render(style)?.as_bytes())?;
    Ok(if diagnosis.allowed { Status::Done } else { Status::Refused })
}

/// Lists probes; says so if there is none of what was asked for.
fn list(what: &Listed, arguments: bool, pid: Option<u32>) -> Result<Status> {
    let text = listing::text(what, arguments, pid)?;
    if text.is_empty()
        && let Listed::Matching(pattern) = what
    {
        eprintln!("ctrace: nothing here matches `{pattern}`");
    }
    print(text.as_bytes())
}

/// Names the canned tools.
fn tools() -> Result<Status> {
    let width = TOOLS.iter().map(|tool| tool.name.len()).max().unwrap_or(0);
    let lines: String = TOOLS.iter().map(|tool| format!("{:width$}  {}\n", tool.name, tool.purpose())).collect();
    print(lines.as_bytes())
}

/// The process of `-c`, waiting.
fn prepare(words: &[String]) -> Result<Command> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    Ok(Command::prepare(&words).map_err(run::Error::from)?)
}

/// Who is traced.
fn find_scope(run: &Run, facts: &Facts, types: &Types, command: Option<&Command>) -> Result<Resolved> {
    let processes = match (&run.target, command) {
        (&high::Target::Pid { pid, follow }, _) => {
            fs::metadata(format!("/proc/{pid}"))
                .map_err(|_| high::UsageError::Other(format!("-p {pid}: there is no such process here")))?;
            if follow { Processes::Tree(pid) } else { Processes::One(pid) }
        }
        (high::Target::Command { only: true, .. }, Some(command)) => Processes::Tree(command.pid()),
        _ => Processes::All,
    };
    resolve(run.scope.as_ref(), processes, facts, types)
}

fn resolve(asked: Option<&Asked>, processes: Processes, facts: &Facts, types: &Types) -> Result<Resolved> {
    let offsets = match types {
        Ok(types) => kernel_offsets(types).context("cannot find out who is asking")?,
        Err(error) => return Err(anyhow!("{error}").context("cannot find out who is asking")),
    };
    let identity = run::identity::identity(offsets).context("cannot find out who is asking")?;
    Ok(scope::resolve(asked, processes, facts, &identity, offsets)?)
}

/// The programs and libraries that the script names, in the file system of whoever is traced: what is in them, and
/// themselves.
fn look(run: &Run, mentions: &[Mention]) -> (Binaries, Places) {
    let (root, pid) = match (&run.target, &run.scope) {
        (&high::Target::Pid { pid, follow }, _) => (Root::Process(pid), Some(pid).filter(|_| !follow)),
        (high::Target::All, Some(Asked::Pid(pid))) => (Root::Process(*pid), None),
        (high::Target::All | high::Target::Command { .. }, _) => (Root::Own, None),
    };
    let (binaries, files) = elf::look(mentions, &root);
    (binaries, Places { files, pid })
}

/// The cgroups at these paths.
fn cgroups(paths: Vec<String>) -> BTreeMap<String, Result<u64, String>> {
    let id = |path: &str| cgroupfs::id(path).map_err(|error| error.to_string());
    paths.into_iter().map(|path| (path.clone(), id(&path))).collect()
}

/// What the environment sets; what it says to no effect is said.
fn environment(run: &Run) -> Result<Environment> {
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let (environment, remarks) = Environment::read(variables).map_err(high::UsageError::Other)?;
    remarks.iter().for_each(|remark| say(run, &format!("warning: {remark}")));
    Ok(environment)
}

/// The facts that the compiler wants.
fn target(
    run: &Run,
    facts: &Facts,
    scope: tracer_common::scope::Scope,
    types: Option<Arc<Btf>>,
    command: Option<&Command>,
    mentions: Mentions,
    binaries: Binaries,
) -> Result<Target> {
    let kernel = facts.kernel.version;
    Ok(Target {
        kernel_functions: functions::look(&mentions.kernel_functions, types.as_deref()),
        formats: tracefs::look(&mentions.formats),
        kernel,
        possible_cpus: facts.kernel.possible_cpus.unwrap_or(1),
        task_storage: facts.kernel.btf && kernel >= (5, 11, 0),
        task_registers: facts.kernel.btf && kernel >= (5, 15, 0),
        types,
        scope,
        positional: run.positional.clone(),
        named: run.named.clone(),
        environment: environment(run)?,
        command_pid: command.map(Command::pid),
        binaries,
        cgroups: cgroups(mentions.cgroups),
        kernel_symbols: symbols::kernel_addresses(&mentions.kernel_symbols),
        tai_offset: clock::tai_offset(),
        allow_unsafe: run.allow_unsafe,
        level: run.level,
    })
}

fn meta(facts: &Facts, scope: String) -> Meta {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Meta {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: facts.kernel.release.clone(),
        scope,
        hostname: hostname.trim().to_owned(),
        start: start.as_nanos() as u64,
    }
}

fn summary(outcome: &Outcome, status: Status) -> Summary {
    let reason = match outcome.reason {
        Reason::Exit(_) => "exit",
        Reason::Signal(_) => "signal",
        Reason::Duration => "duration",
        Reason::CommandEnded(_) => "command ended",
        Reason::ProcessEnded => "process ended",
        Reason::OutputClosed => "output closed",
        Reason::Complete => "complete",
    };
    Summary {
        duration: outcome.duration.as_nanos() as u64,
        probes: outcome.probes as u64,
        reason: reason.to_owned(),
        status: status.code().into(),
        losses: Losses(outcome.losses),
        failures: Vec::new(),
    }
}

fn status(run: &Run, outcome: &Outcome) -> Status {
    match outcome.reason {
        Reason::Exit(code) if code != 0 => Status::Script(code as u8),
        _ if run.strict && losses(run, outcome).occurred().next().is_some() => Status::Lossy,
        _ => Status::Done,
    }
}

/// What was lost. That memory could not be read is told only if it was asked for: scripts try, as in bpftrace.
fn losses(run: &Run, outcome: &Outcome) -> Losses {
    let mut losses = outcome.losses;
    if !run.warnings {
        losses[Loss::ReadFailed as usize] = 0;
    }
    Losses(losses)
}

/// What was lost, and how the command ended, if that is worth a line.
fn last_words(run: &Run, plan: &Plan, outcome: &Outcome) -> String {
    let mut lines = losses(run, outcome).describe(plan, &outcome.failures);
    if let (Reason::CommandEnded(status), high::Target::Command { words, .. }) = (outcome.reason, &run.target)
        && !status.success()
    {
        lines += &format!("{}: {status}", words[0]);
    }
    lines
}

/// Diagnostics as text: the only place where they become it.
fn render(diagnostics: &[Diagnostic], source: &Source) -> String {
    let colored = match env::var("BPFTRACE_COLOR").as_deref() {
        Ok("always") => true,
        Ok("never") => false,
        _ => io::stderr().is_terminal(),
    };
    render_all(diagnostics, source, colored)
}

/// Says something on stderr, unless there is nothing to say or `-q` was given.
fn say(run: &Run, text: &str) {
    if run.talk != Talk::Quiet && !text.is_empty() {
        cli::say(text);
    }
}

/// Writes to stdout.
fn print(bytes: &[u8]) -> Result<Status> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(Status::Done),
    }
}
