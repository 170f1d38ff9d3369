//! What was typed, word by word. Nothing is decided here; [`super::high`] does that.

use std::ffi::OsString;

use clap::builder::ArgAction;
use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser};

use super::script::ScriptOption;

/// Everything that can be typed, but for a script's own options.
#[derive(Debug, Parser)]
#[command(
    name = "ctrace",
    version,
    about = "Traces the container it runs in: one-liners, scripts and tools in the bpftrace language",
    override_usage = "ctrace [OPTIONS] -e PROGRAM [ARGS]\n       \
                      ctrace [OPTIONS] FILE [ARGS]           (`-` is standard input)\n       \
                      ctrace [OPTIONS] TOOL                  (ctrace tools lists them)\n       \
                      ctrace -l [-v] [PATTERN]\n       \
                      ctrace doctor\n       \
                      ctrace tools [show NAME]",
    after_help = "Output goes to stdout, everything else to stderr. Exit status: 0 done, 1 failed while tracing, 2 wrong \
                  usage or script, 3 something was lost (with --strict), 4 a privilege or kernel feature is missing; \
                  exit(n) in a script gives n. How the command of -c ends does not change it."
)]
pub struct LowArgs {
    /// The program, as text
    #[arg(short = 'e', value_name = "PROGRAM")]
    pub program: Option<String>,

    /// A script's file, a tool's name, `doctor` or `tools`; then the script's $1, $2, …
    #[arg(value_name = "WORD", hide = true)]
    pub words: Vec<String>,

    /// After `--`: $1, $2, … and what getopt() finds, as --name=VALUE or --name
    #[arg(last = true, value_name = "SCRIPT ARGS", hide = true)]
    pub script_args: Vec<String>,

    /// List probes, or those of a script; with -v, their arguments as well
    #[arg(short = 'l', long = "list")]
    pub list: bool,

    /// Trace process PID only
    #[arg(short, long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,

    /// With -p, trace what the process forks from now on as well
    #[arg(long, requires = "pid")]
    pub follow: bool,

    /// Run CMD, and trace it and what it forks until it ends; with --scope, trace all of the scope
    #[arg(short, long = "cmd", value_name = "CMD")]
    pub command: Option<String>,

    /// End after S seconds (or 500ms, 5m, …)
    #[arg(short, long, value_name = "S")]
    pub duration: Option<String>,

    /// Report every S seconds as at the end, and start afresh
    #[arg(short, long, value_name = "S")]
    pub interval: Option<String>,

    /// Who is traced: container (the default), host, pid:N, cgroup:PATH or container:ID
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,

    /// What the script may do at most: process, user, observe or node (the default)
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,

    /// text or json
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Write the output to FILE instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,

    /// When output is written out: line, full or none
    #[arg(short = 'B', value_name = "MODE")]
    pub buffering: Option<String>,

    /// Nothing but the script's own output, and errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Say more on stderr
    #[arg(short, long)]
    pub verbose: bool,

    /// Warn when memory could not be read
    #[arg(short = 'k', long = "warnings")]
    pub warnings: bool,

    /// Allow what changes the traced system
    #[arg(long = "unsafe")]
    pub allow_unsafe: bool,

    /// Exit with status 3 if anything was lost
    #[arg(long)]
    pub strict: bool,

    /// Attach everything, and end
    #[arg(long)]
    pub dry_run: bool,

    /// Print what a stage makes of the script, and end: tokens, ast, typed, ir, bpf, elf or plan
    #[arg(long, value_name = "STAGE")]
    pub emit: Option<String>,
}

/// What was typed, and the script's own options among it: those given, in the header's order.
#[derive(Debug)]
pub struct Typed {
    /// ctrace's own.
    pub args: LowArgs,
    /// `--name=VALUE` or `--name`.
    pub script_options: Vec<(String, Option<String>)>,
}

/// The first word that is neither an option nor an option's value: what is to be run, unless there is `-e`.
///
/// It has to be known before the rest can be read, because its header may name further options.
pub fn first_word(args: &[OsString]) -> Option<String> {
    let command = LowArgs::command();
    let takes_value = |matches: &dyn Fn(&Arg) -> bool| {
        command.get_arguments().any(|arg| matches(arg) && arg.get_action().takes_values())
    };
    let mut args = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(arg) = args.next() {
        if arg == "--" {
            return None;
        }
        let value_follows = if let Some(long) = arg.strip_prefix("--") {
            takes_value(&|arg| arg.get_long() == Some(long))
        } else if let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            // In `-qd5` the value is there; in `-qd 5` it follows.
            let taker = letters.char_indices().find(|&(_, letter)| takes_value(&|arg| arg.get_short() == Some(letter)));
            if let Some((_, 'e')) = taker {
                return None;
            }
            taker.is_some_and(|(at, _)| at + 1 == letters.len())
        } else {
            return Some(arg.to_owned());
        };
        if value_follows {
            args.next();
        }
    }
    None
}

/// A script that was named, and what its header says.
pub struct Called<'a> {
    /// The word that named it.
    pub name: &'a str,
    /// What it is for: the header up to its options.
    pub about: String,
    /// Its own options.
    pub options: &'a [ScriptOption],
}

/// Takes the words apart; `called` is the script that the first of them names, if it does.
///
/// The error is clap's: wrong usage, or a request for help or the version, which it prints itself.
pub fn parse(args: &[OsString], called: Option<Called<'_>>) -> Result<Typed, clap::Error> {
    let options = called.as_ref().map_or(&[][..], |called| called.options);
    let command = match called {
        Some(called) => with_script(LowArgs::command(), called),
        None => LowArgs::command(),
    };
    let matches = command.try_get_matches_from(args)?;
    let given = |option: &ScriptOption| match &option.value {
        Some(_) => matches.get_one::<String>(&option.long).map(|value| (option.long.clone(), Some(value.clone()))),
        None => matches.get_flag(&option.long).then(|| (option.long.clone(), None)),
    };
    let script_options = options.iter().filter_map(given).collect();
    Ok(Typed { args: LowArgs::from_arg_matches(&matches)?, script_options })
}

fn with_script(command: Command, Called { name, about, options }: Called<'_>) -> Command {
    let arg = |option: &ScriptOption| {
        let arg = Arg::new(option.long.clone()).long(option.long.clone()).help(option.help.clone());
        let arg = match option.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        match &option.value {
            Some(value) => arg.value_name(value.clone()),
            None => arg.action(ArgAction::SetTrue),
        }
    };
    let command = if about.is_empty() { command } else { command.about(about) };
    let command = command.override_usage(format!("ctrace [OPTIONS] {name} [ARGS]"));
    command.next_help_heading(format!("Options of {name}")).args(options.iter().map(arg))
}
