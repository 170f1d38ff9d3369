//! The machine as the reporter asks for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tracer_common::stack::StackId;

use crate::cli;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::{Source, Span};
use crate::host::symbols::Symbols;
use crate::host::{clock, names};
use crate::plan::{Frames, Place};
use crate::report::{Location, World};
use crate::run::{self, sys};

/// This machine, and the script that runs on it.
pub struct Here<'s> {
    source: &'s Source,
    /// Whether warnings are not wanted.
    quiet: bool,
    /// When the machine booted, in ns since 1970.
    boot: i128,
    users: RefCell<HashMap<u32, Option<String>>>,
    cgroups: RefCell<HashMap<(u64, String), String>>,
    symbols: RefCell<Symbols>,
}

impl<'s> Here<'s> {
    /// Here and now.
    pub fn new(source: &'s Source, quiet: bool) -> io::Result<Self> {
        let boot = now() - i128::from(sys::boot_time()?);
        Ok(Self {
            source,
            quiet,
            boot,
            users: RefCell::default(),
            cgroups: RefCell::default(),
            symbols: RefCell::default(),
        })
    }

    /// Why addresses that were shown have no names.
    pub fn remarks(&self) -> Vec<String> {
        self.symbols.borrow().remarks()
    }

    /// Takes in the stacks that have been sent.
    pub fn learn_stacks(&self, maps: &mut run::Maps) {
        let mut symbols = self.symbols.borrow_mut();
        let mut stacks = Vec::new();
        maps.take_stacks(|record| stacks.push(record.to_vec()));
        // What concerns them has been noted before they were sent.
        maps.take_notes(|record| symbols.note(record));
        for stack in stacks {
            symbols.learn(&stack);
        }
    }
}

/// Now, in ns since 1970.
fn now() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i128
}

impl World for Here<'_> {
    fn user(&self, uid: u32) -> Option<String> {
        self.users.borrow_mut().entry(uid).or_insert_with(|| names::user(uid)).clone()
    }

    fn cgroup(&self, id: u64, hierarchies: &str) -> String {
        let mut cgroups = self.cgroups.borrow_mut();
        let paths = cgroups.entry((id, hierarchies.to_owned())).or_default();
        // One that is not there now may be there the next time.
        if paths.is_empty() {
            *paths = names::cgroup_paths(id, hierarchies);
        }
        paths.clone()
    }

    fn time(&self, format: &str, since_boot: Option<u64>) -> String {
        clock::format(format, since_boot.map_or_else(now, |time| self.boot + i128::from(time)))
    }

    fn atomic_time(&self, format: &str, time: u64) -> String {
        clock::format(format, i128::from(time) - i128::from(clock::tai_ahead()))
    }

    fn stack(&self, id: StackId, frames: Frames) -> String {
        self.symbols.borrow().show(id, frames)
    }

    fn kernel_symbol(&self, address: u64) -> String {
        self.symbols.borrow().kernel_symbol(address)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn run(&self, command: &str) -> io::Result<(Vec<u8>, ExitStatus)> {
        let output = Command::new("/bin/sh").args(["-c", command]).stderr(Stdio::inherit()).output()?;
        Ok((output.stdout, output.status))
    }

    fn locate(&self, place: Place) -> Location {
        locate(self.source, place)
    }

    fn warn(&self, place: Place, message: &str, help: Option<&str>) {
        let span = Span { start: place.start, end: place.end };
        if !self.quiet {
            let warning = Diagnostic::warning(span, message);
            let warning = help.into_iter().fold(warning, Diagnostic::help);
            cli::say(&super::render(&[warning], self.source));
        }
    }

    fn complain(&self, message: &str) {
        eprintln!("{message}");
    }
}

/// Lines and columns of a place.
fn locate(source: &Source, place: Place) -> Location {
    let (name, _) = source.file_at(place.start);
    let file = if name == "-e" { "stdin" } else { name };
    let (line, column) = source.line_and_column(place.start);
    let (end_line, end_column) = source.line_and_column(place.end);
    let text = match line == end_line {
        true => format!("{file}:{line}:{column}-{end_column}"),
        false => format!("{file}:{line}-{end_line}"),
    };
    Location { file: file.to_owned(), line, column, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shown_as_bpftrace_shows_them() {
        let source = |name: &str| Source::new(name, "BEGIN {\n  errorf(\"a\");\n}\n");
        let place = Place { start: 10, end: 21 };
        let location = locate(&source("-e"), place);
        assert_eq!((location.line, location.column, location.text.as_str()), (2, 3, "stdin:2:3-14"));
        assert_eq!(locate(&source("a.bt"), Place { start: 6, end: 12 }).text, "a.bt:1-2");
    }
}
