//! Where the script comes from, and which options its header names.
//!
//! A script begins with a comment. Under a line `OPTIONS` in it stands one option a line: `-x, --failed  what for` or
//! `--above=NS  what for`. Such an option is given to ctrace like its own, and the script reads it with `getopt`.

use std::{fs, io};

use thiserror::Error;

use crate::compile::source::Source;

/// A canned tool: a script that is part of the program.
#[derive(Debug)]
pub struct Tool {
    /// As it is called.
    pub name: &'static str,
    /// The script.
    pub text: &'static str,
}

/// All of them, by name.
pub const TOOLS: &[Tool] = &[Tool { name: "syscall-latency", text: include_str!("../../tools/syscall-latency.bt") }];

impl Tool {
    /// The one of this name.
    pub fn find(name: &str) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.name == name)
    }

    /// What it is for, in one line: the header's first, after the name.
    pub fn purpose(&self) -> &'static str {
        let title = header(self.text).next().unwrap_or_default();
        title.split_once(": ").map_or(title, |(_, purpose)| purpose)
    }
}

/// No script by the name that was given.
#[derive(Debug, Error)]
pub enum NotFound {
    /// Neither a tool nor a file.
    #[error("no tool and no file is called `{name}`{}", did_you_mean(*.suggestion))]
    Name {
        /// What was asked for.
        name: String,
        /// A tool with a name much like it.
        suggestion: Option<&'static str>,
    },
    /// There is a file, but it cannot be read.
    #[error("cannot read {name}: {error}")]
    Read {
        /// Which.
        name: String,
        /// Why.
        error: io::Error,
    },
}

/// The end of a sentence about a name that there is not.
pub fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// The script that a word of the command line names: a tool, a file, or `-` for standard input.
pub fn find(name: &str) -> Result<Source, NotFound> {
    if let Some(tool) = Tool::find(name) {
        return Ok(Source::new(format!("tool:{name}"), tool.text));
    }
    if name == "-" {
        return match io::read_to_string(io::stdin()) {
            Ok(text) => Ok(Source::new("stdin", text)),
            Err(error) => Err(NotFound::Read { name: "stdin".to_owned(), error }),
        };
    }
    match fs::read_to_string(name) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let suggestion = alike(name, TOOLS.iter().map(|tool| tool.name));
            Err(NotFound::Name { name: name.to_owned(), suggestion })
        }
        Err(error) => Err(NotFound::Read { name: name.to_owned(), error }),
    }
}

/// The candidate that is spelled most like `name`, if one is.
pub fn alike<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    scored.filter(|&(score, _)| score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// An option that a script's header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOption {
    /// A letter, if it has one.
    pub short: Option<char>,
    /// The name that `getopt` is called with.
    pub long: String,
    /// What its value is called, if it takes one.
    pub value: Option<String>,
    /// What it is for.
    pub help: String,
}

/// What a script's header says before it comes to options, one line a paragraph; empty if there is no header.
pub fn about(text: &str) -> String {
    let lines: Vec<&str> = header(text).take_while(|line| *line != "OPTIONS").collect();
    let paragraphs: Vec<String> = lines.split(|line| line.is_empty()).map(|paragraph| paragraph.join(" ")).collect();
    paragraphs.join("\n\n").trim_end().to_owned()
}

/// The options that a script's header names, in order.
pub fn options(text: &str) -> Vec<ScriptOption> {
    header(text).skip_while(|line| *line != "OPTIONS").skip(1).map_while(option).collect()
}

/// `-x, --failed  what for`.
fn option(line: &str) -> Option<ScriptOption> {
    let (names, help) = line.trim().split_once("  ")?;
    let (short, long) = match names.split_once(", ") {
        Some((short, long)) => (Some(short.strip_prefix('-')?.chars().next()?), long),
        None => (None, names),
    };
    let long = long.strip_prefix("--")?;
    let (long, value) = match long.split_once('=') {
        Some((long, value)) => (long, Some(value.to_owned())),
        None => (long, None),
    };
    Some(ScriptOption { short, long: long.to_owned(), value, help: help.trim().to_owned() })
}

/// The lines of the comment at the head of a script, without its stars.
pub fn header(text: &str) -> impl Iterator<Item = &str> {
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    let comment = text.trim_start().strip_prefix("/*").and_then(|rest| rest.split_once("*/"));
    comment.map_or("", |(comment, _)| comment).lines().map(without_star).skip_while(|line| line.is_empty())
}

fn without_star(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix('*').map_or(line, |rest| rest.strip_prefix(' ').unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_header() {
        let text = "\
#!/usr/bin/env ctrace
/*
 * slow: what takes long
 *
 * That is, what takes
 * a long time.
 *
 * OPTIONS
 *   -x, --failed     only what fails
 *   --above=NS       only what takes longer
 *
 * Not an option:
 *   --other          this
 */
BEGIN { }
";
        let failed =
            ScriptOption { short: Some('x'), long: "failed".into(), value: None, help: "only what fails".into() };
        let above = ScriptOption {
            short: None,
            long: "above".into(),
            value: Some("NS".into()),
            help: "only what takes longer".into(),
        };
        assert_eq!(options(text), [failed, above]);
        assert_eq!(about(text), "slow: what takes long\n\nThat is, what takes a long time.");
        assert_eq!(header(text).next(), Some("slow: what takes long"));
        assert_eq!(options("BEGIN { } /* OPTIONS\n --x  y */"), []);
    }

    #[test]
    fn every_tool_says_what_it_is_for() {
        for tool in TOOLS {
            assert!(header(tool.text).next().unwrap().starts_with(&format!("{}: ", tool.name)), "{}", tool.name);
        }
    }

    #[test]
    fn a_mistyped_tool_is_recognized() {
        let error = |name| find(name).unwrap_err().to_string();
        assert_eq!(
            error("sycall-latency"),
            "no tool and no file is called `sycall-latency`; did you mean `syscall-latency`?"
        );
        assert_eq!(error("/nowhere/x.bt"), "no tool and no file is called `/nowhere/x.bt`");
    }
}
