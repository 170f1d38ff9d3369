//! A session's events → the reporter: the two halves know nothing of each other but the plan.

use std::io::{self, Write};

use anyhow::Result;

use super::world::Here;
use crate::cli::{self, output::Output};
use crate::plan::MapId;
use crate::report::{self, Reporter};
use crate::run::{self, Reason};

/// Printed by bpftrace once everything is attached, if this variable is in the environment.
const NOTIFY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// Passes on what happens.
pub struct Telling<'p> {
    /// Who tells it.
    pub reporter: Reporter<'p, Output>,
    /// The machine that it asks.
    world: &'p Here<'p>,
    /// Whether what is complete is to be seen at once.
    prompt: bool,
    /// Whether it is not told how many probes are attached.
    quiet: bool,
}

impl<'p> Telling<'p> {
    /// For a reporter; `prompt` if the output is not to be held back, `quiet` if only data is to be told.
    pub fn new(reporter: Reporter<'p, Output>, world: &'p Here<'p>, prompt: bool, quiet: bool) -> Self {
        Self { reporter, world, prompt, quiet }
    }
}

/// Nobody reads the output any more: the session sees that for itself, and ends.
pub(super) fn unless_closed(result: Result<(), report::Error>) -> Result<(), report::Error> {
    match result {
        Err(report::Error::Closed) => Ok(()),
        result => result,
    }
}

impl run::Sink for Telling<'_> {
    type Error = anyhow::Error;

    fn attached(&mut self, probes: usize) -> Result<()> {
        if !self.quiet {
            unless_closed(self.reporter.attached(probes as u64))?;
        }
        if std::env::var_os(NOTIFY).is_some() {
            let mut stdout = io::stdout();
            writeln!(stdout, "{NOTIFY}")?;
            stdout.flush()?;
        }
        Ok(())
    }

    fn record(&mut self, record: &[u8], maps: &mut run::Maps) -> Result<run::Flow> {
        // What a record names has been sent before it.
        self.world.learn_stacks(maps);
        match self.reporter.record(record, &mut Contents { maps, world: self.world }) {
            Ok(report::Flow::Continue) => Ok(run::Flow::Continue),
            Ok(report::Flow::Exit(code)) => Ok(run::Flow::End(Reason::Exit(code))),
            Err(report::Error::Closed) => Ok(run::Flow::End(Reason::OutputClosed)),
            Err(error) => Err(error.into()),
        }
    }

    fn stacks(&mut self, maps: &mut run::Maps) {
        self.world.learn_stacks(maps);
    }

    fn diagnostic(&mut self, message: &str) {
        cli::say(message);
    }

    fn warning(&mut self, message: &str) {
        cli::say(&format!("warning: {message}"));
    }

    fn interval(&mut self, maps: &mut run::Maps) -> Result<()> {
        let maps = &mut Contents { maps, world: self.world };
        Ok(unless_closed(self.reporter.maps_at_interval(maps))?)
    }

    fn make_room(&mut self, maps: &mut run::Maps) -> Result<()> {
        Ok(self.reporter.make_room(&mut Contents { maps, world: self.world })?)
    }

    fn idle(&mut self) -> Result<()> {
        if self.prompt {
            unless_closed(self.reporter.flush())?;
        }
        Ok(())
    }
}

/// The maps of a session. What is read from them may name stacks that have been sent meanwhile.
pub struct Contents<'m> {
    /// The maps.
    pub maps: &'m mut run::Maps,
    /// Where stacks go.
    pub world: &'m Here<'m>,
}

impl Contents<'_> {
    /// What was read, once all stacks that it names are known.
    fn known<T>(&mut self, read: T) -> T {
        self.world.learn_stacks(self.maps);
        read
    }
}

impl report::Maps for Contents<'_> {
    fn drain(&mut self, map: MapId, emptied: bool, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let drained = self.maps.drain(map, emptied, merge);
        self.known(drained)
    }

    fn read(&mut self, map: MapId, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let read = self.maps.read(map, merge);
        self.known(read)
    }

    fn restore(&mut self, map: MapId, keys: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        self.maps.restore(map, keys)
    }

    fn entries(&mut self, map: MapId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.maps.entries(map);
        self.known(entries)
    }

    fn lookup(&mut self, map: MapId, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = self.maps.lookup(map, key);
        self.known(value)
    }

    fn clear(&mut self, map: MapId) -> io::Result<()> {
        self.maps.clear(map)
    }

    fn zero(&mut self, map: MapId) -> io::Result<()> {
        self.maps.zero(map)
    }
}

/// Leaves out the script's output, for `--dry-run`.
pub struct Silence;

impl run::Sink for Silence {
    type Error = run::Error;

    fn attached(&mut self, _: usize) -> Result<(), run::Error> {
        Ok(())
    }

    fn record(&mut self, _: &[u8], _: &mut run::Maps) -> Result<run::Flow, run::Error> {
        Ok(run::Flow::Continue)
    }

    fn stacks(&mut self, _: &mut run::Maps) {}

    fn diagnostic(&mut self, message: &str) {
        cli::say(message);
    }

    fn warning(&mut self, message: &str) {
        cli::say(&format!("warning: {message}"));
    }

    fn interval(&mut self, _: &mut run::Maps) -> Result<(), run::Error> {
        Ok(())
    }

    fn make_room(&mut self, _: &mut run::Maps) -> Result<(), run::Error> {
        Ok(())
    }

    fn idle(&mut self) -> Result<(), run::Error> {
        Ok(())
    }
}
