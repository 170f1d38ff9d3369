//! What is meant by what was typed: checked, and with nothing left to interpret.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::low::{self, Called, LowArgs, Typed};
use super::script::{self, Tool};
use crate::compile::Stage;
use crate::compile::sema::policy::Level;
use crate::compile::source::Source;
use crate::host::scope::Asked;
use crate::report::Style;

/// What is to be done.
#[derive(Debug)]
pub enum Request {
    /// Run a script, or show what becomes of it.
    Run(Box<Run>),
    /// Say what can be traced here.
    Doctor {
        /// How.
        style: Style,
    },
    /// List probes.
    List {
        /// Which.
        what: Listed,
        /// With their arguments.
        arguments: bool,
        /// In the file system of this process, and not in ours.
        pid: Option<u32>,
    },
    /// List the canned tools.
    Tools,
    /// Print the script of a tool.
    ShowTool(&'static Tool),
}

/// Which probes are listed.
#[derive(Debug)]
pub enum Listed {
    /// All.
    All,
    /// Those that match a pattern, or the kernel's types that do.
    Matching(String),
    /// Those of a script.
    Script(Source),
}

/// A script, and how it is run.
#[derive(Debug)]
pub struct Run {
    /// The script.
    pub source: Source,
    /// `$1`, `$2`, …
    pub positional: Vec<String>,
    /// What `getopt` finds.
    pub named: Vec<(String, Option<String>)>,
    /// Which processes are traced.
    pub target: Target,
    /// The scope that was asked for.
    pub scope: Option<Asked>,
    /// What the user is trusted with.
    pub level: Level,
    /// Ends it.
    pub duration: Option<Duration>,
    /// How often to report.
    pub interval: Option<Duration>,
    /// What is written, and where.
    pub output: Output,
    /// How much is said on stderr.
    pub talk: Talk,
    /// Whether failed reads of memory are told.
    pub warnings: bool,
    /// Whether what changes the traced system is allowed.
    pub allow_unsafe: bool,
    /// Whether a loss changes the exit status.
    pub strict: bool,
    /// Whether to end once everything is attached.
    pub dry_run: bool,
    /// The stage to show instead of running.
    pub emit: Option<Stage>,
}

/// Which processes are traced within the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All.
    All,
    /// A running one.
    Pid {
        /// Which.
        pid: u32,
        /// Whether what it forks is traced, too.
        follow: bool,
    },
    /// A command that is started for it.
    Command {
        /// The program and its arguments.
        words: Vec<String>,
        /// Whether it and what it forks is all that is traced.
        only: bool,
    },
}

/// What is written, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Text or JSON.
    pub style: Style,
    /// A file; `None` is stdout.
    pub file: Option<PathBuf>,
    /// When it is written out.
    pub buffering: Buffering,
}

/// When output is written out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffering {
    /// After each line.
    #[default]
    Line,
    /// When the buffer is full, and at the end.
    Full,
    /// At once.
    None,
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Talk {
    /// Errors.
    Quiet,
    /// Errors, warnings, the scope.
    #[default]
    Normal,
    /// The stages as well.
    Verbose,
}

/// Wrong usage.
#[derive(Debug, Error)]
pub enum UsageError {
    /// Found by clap, which also takes this way for `--help` and `--version`.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// The script cannot be had.
    #[error(transparent)]
    Script(#[from] script::NotFound),
    /// An option's value makes no sense.
    #[error("{option} {value}: {expected}")]
    Value {
        /// Which option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The command line → what is to be done.
pub fn request(args: &[OsString]) -> Result<Request, UsageError> {
    let first = low::first_word(args);
    match first.as_deref() {
        None | Some("doctor" | "tools") => {}
        Some(_) if lists(args) => {}
        Some(name) => {
            // `--help` of a file that is not there is help all the same.
            let source = match script::find(name) {
                Ok(source) => source,
                Err(error) => {
                    low::parse(args, None)?;
                    return Err(error.into());
                }
            };
            let options = script::options(&source.text);
            let called = Called { name, about: script::about(&source.text), options: &options };
            let Typed { mut args, script_options } = low::parse(args, Some(called))?;
            args.words.remove(0);
            return Ok(Request::Run(Box::new(run(args, source, script_options)?)));
        }
    }

    let Typed { mut args, script_options } = low::parse(args, None)?;
    if args.list {
        let (word, program) = (args.words.pop(), args.program.take());
        let what = match (word, program) {
            (None, None) => Listed::All,
            (None, Some(text)) => Listed::Script(Source::new("-e", text)),
            (Some(file), None) if Path::new(&file).is_file() => Listed::Script(script::find(&file)?),
            (Some(pattern), None) => Listed::Matching(pattern),
            (Some(_), Some(_)) => {
                return Err(UsageError::Other(
                    "-l lists a pattern's probes or a program's: give one of them".to_owned(),
                ));
            }
        };
        return match args.words.is_empty() {
            true => Ok(Request::List { what, arguments: args.verbose, pid: args.pid }),
            false => Err(UsageError::Other("-l takes one pattern; quote it if it has a `*` in it".to_owned())),
        };
    }
    if let Some(text) = args.program.take() {
        let source = Source::new("-e", text);
        return Ok(Request::Run(Box::new(run(args, source, script_options)?)));
    }
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words[..] {
        ["doctor"] => Ok(Request::Doctor { style: style(args.format.as_deref())? }),
        ["tools"] => Ok(Request::Tools),
        ["tools", "show", name] => show_tool(name).map(Request::ShowTool),
        ["tools", ..] => Err(UsageError::Other("usage: ctrace tools [show NAME]".to_owned())),
        ["doctor", ..] => Err(UsageError::Other("usage: ctrace doctor [-f json]".to_owned())),
        _ => Err(UsageError::Other(
            "nothing to run: give a program with -e, a file, or a tool (`ctrace tools` lists them); \
             `ctrace --help` says more"
                .to_owned(),
        )),
    }
}

/// Whether `-l` is among the options, alone or with others that take no value.
fn lists(args: &[OsString]) -> bool {
    low::parse(args, None).is_ok_and(|typed| typed.args.list)
}

fn show_tool(name: &str) -> Result<&'static Tool, UsageError> {
    Tool::find(name).ok_or_else(|| {
        let suggestion = script::alike(name, script::TOOLS.iter().map(|tool| tool.name));
        UsageError::Other(format!("no tool is called `{name}`{}", script::did_you_mean(suggestion)))
    })
}

fn run(args: LowArgs, source: Source, script_options: Vec<(String, Option<String>)>) -> Result<Run, UsageError> {
    let LowArgs {
        program: _,
        words,
        script_args,
        list: _,
        pid,
        follow,
        command,
        duration,
        interval,
        scope,
        level,
        format,
        output,
        buffering,
        quiet,
        verbose,
        warnings,
        allow_unsafe,
        strict,
        dry_run,
        emit,
    } = args;
    let scope = scope.map(|scope| parse_scope(&scope)).transpose()?;
    let target = match (pid, command) {
        (Some(pid), _) => Target::Pid { pid, follow },
        (None, Some(command)) => Target::Command { words: command_words(&command)?, only: scope.is_none() },
        (None, None) => Target::All,
    };
    let (named, positional): (Vec<_>, Vec<_>) = script_args.into_iter().partition(|arg| arg.starts_with("--"));
    Ok(Run {
        source,
        positional: words.into_iter().chain(positional).collect(),
        named: script_options.into_iter().chain(named.iter().map(|arg| name_and_value(arg))).collect(),
        target,
        scope,
        level: level.map_or(Ok(Level::default()), |level| parse_level(&level))?,
        duration: duration.map(|text| parse_duration("--duration", &text)).transpose()?,
        interval: interval.map(|text| parse_duration("--interval", &text)).transpose()?,
        output: Output {
            style: style(format.as_deref())?,
            file: output.map(PathBuf::from),
            buffering: parse_buffering(buffering.as_deref())?,
        },
        talk: match (quiet, verbose) {
            (true, _) => Talk::Quiet,
            (false, true) => Talk::Verbose,
            (false, false) => Talk::Normal,
        },
        warnings,
        allow_unsafe,
        strict,
        dry_run,
        emit: emit.map(|stage| parse_stage(&stage)).transpose()?,
    })
}

/// `--name=VALUE` or `--name`.
fn name_and_value(arg: &str) -> (String, Option<String>) {
    let arg = arg.trim_start_matches('-');
    match arg.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (arg.to_owned(), None),
    }
}

fn command_words(command: &str) -> Result<Vec<String>, UsageError> {
    let wrong = |expected| UsageError::Value { option: "-c", value: command.to_owned(), expected };
    let words = shlex::split(command).ok_or_else(|| wrong("a quote is not closed"))?;
    if words.is_empty() { Err(wrong("there is no command in it")) } else { Ok(words) }
}

fn style(format: Option<&str>) -> Result<Style, UsageError> {
    match format {
        None | Some("text") => Ok(Style::Text),
        Some("json") => Ok(Style::Json),
        Some(other) => Err(UsageError::Value { option: "-f", value: other.to_owned(), expected: "text or json" }),
    }
}

fn parse_buffering(mode: Option<&str>) -> Result<Buffering, UsageError> {
    match mode {
        None | Some("line") => Ok(Buffering::Line),
        Some("full") => Ok(Buffering::Full),
        Some("none") => Ok(Buffering::None),
        Some(other) => Err(UsageError::Value { option: "-B", value: other.to_owned(), expected: "line, full or none" }),
    }
}

fn parse_level(name: &str) -> Result<Level, UsageError> {
    Level::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| UsageError::Value {
        option: "--level",
        value: name.to_owned(),
        expected: "process, user, observe or node",
    })
}

fn parse_stage(stage: &str) -> Result<Stage, UsageError> {
    Ok(match stage {
        "tokens" => Stage::Tokens,
        "ast" => Stage::Ast,
        "typed" => Stage::Typed,
        "ir" => Stage::Ir,
        "bpf" => Stage::Bpf,
        "elf" => Stage::Elf,
        "plan" => Stage::Plan,
        other => {
            let expected = "tokens, ast, typed, ir, bpf, elf or plan";
            return Err(UsageError::Value { option: "--emit", value: other.to_owned(), expected });
        }
    })
}

/// Seconds, with or without a unit: `5`, `0.5`, `500ms`, `2m`, `1h`.
fn parse_duration(option: &'static str, text: &str) -> Result<Duration, UsageError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" | "s" => Some(1.0),
        "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|duration| !duration.is_zero()).ok_or(
        UsageError::Value { option, value: text.to_owned(), expected: "a time is meant, like 5, 0.5, 500ms or 2m" },
    )
}

fn parse_scope(text: &str) -> Result<Asked, UsageError> {
    let asked = match text.split_once(':') {
        None if text == "container" => Some(Asked::Container),
        None if text == "host" => Some(Asked::Host),
        Some(("pid", pid)) => pid.parse().ok().filter(|&pid| pid > 0).map(Asked::Pid),
        Some(("cgroup", path)) if !path.is_empty() => Some(Asked::Cgroup(path.to_owned())),
        Some(("container", id)) if !id.is_empty() => Some(Asked::ContainerId(id.to_owned())),
        _ => None,
    };
    asked.ok_or_else(|| UsageError::Value {
        option: "--scope",
        value: text.to_owned(),
        expected: "container, host, pid:N, cgroup:PATH or container:ID",
    })
}

#[cfg(test)]
mod tests;
