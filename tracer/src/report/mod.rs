//! Plan + what the session brings (records of the ring, map contents, losses) → text or NDJSON.
//!
//! [`Reporter`] is told everything that happens, in order. It keeps the merged aggregations, decodes bytes by
//! the plan's shapes, and writes each thing that is to be seen to the given `Write`, in one of two formats.
//! When a record asks for the contents of a map, the reporter fetches them through [`Maps`], and what else it has to know
//! or do through [`World`]; it does no other input.

use std::io::{self, Write};

use bytes::Buf;
use serde::Serialize;
use thiserror::Error;
use tracer_common::failure::{FAILURE_RECORD, Failed};
use tracer_common::loss::{LOSS_KINDS, Loss};
use tracer_common::record::HEADER_SIZE;

use crate::plan::{self, Format, Map, MapId, Plan, Record, Severity, Shape};

mod event;
mod failure;
mod json;
mod layout;
mod printf;
mod series;
mod store;
mod table;
mod text;
mod value;
mod view;
mod world;

pub use world::{Location, World};

use event::{Cell, Contents, Event, Kind, MapView, Output};
use store::{Accumulator, Store};
use value::Value;
use view::Selection;
use world::Names;

#[cfg(test)]
mod tests;

/// The format of everything that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// For people, as bpftrace prints it.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// The kernel's maps, as the reporter asks for them; the pipeline implements it on those of `run`.
///
/// Keys are without generation and laid out as [`crate::plan::Map::key`] says, of `key.size()` bytes rounded up to 8;
/// the key of a map without a key is empty.
pub trait Maps {
    /// Moves an aggregation map to its next generation and hands over what the old one held: each key with its partial
    /// values, one for each CPU and one after the other, of `map.value_size()` bytes each.
    ///
    /// An array hands over all its keys; those that nothing was counted for are recognized and left out. A map that is
    /// `emptied` by that has no keys from now on, as far as their number is bounded; else it keeps those that it had.
    fn drain(&mut self, map: MapId, emptied: bool, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()>;

    /// Hands over what an aggregation holds that is whole in the kernel ([`Map::is_live`]), and leaves it there. To drain
    /// such a one is to empty it.
    fn read(&mut self, map: MapId, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()>;

    /// Gives an aggregation that has been emptied keys back, with values of zero, unless it has them. Hands back those that
    /// it has no room for any more.
    fn restore(&mut self, map: MapId, keys: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>>;

    /// All keys and values of a map that is not an aggregation.
    fn entries(&mut self, map: MapId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// The value of one key of a map that is not an aggregation.
    fn lookup(&mut self, map: MapId, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Deletes all keys of a map that is not an aggregation.
    fn clear(&mut self, map: MapId) -> io::Result<()>;

    /// Overwrites all values of a map that is not an aggregation with zeros.
    fn zero(&mut self, map: MapId) -> io::Result<()>;
}

/// What a record means for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// The script has called `exit` with this code.
    Exit(i64),
}

/// Why a report cannot go on.
#[derive(Debug, Error)]
pub enum Error {
    /// Who reads the output has had enough: a reason to end, not to complain.
    #[error("the output was closed")]
    Closed,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Write(io::Error),
    /// A map cannot be read or changed.
    #[error("cannot {action} map {name}: {error}")]
    Map {
        /// What was tried: `read`, `clear`, `zero`.
        action: &'static str,
        /// The script's name for it.
        name: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// The ring held what no program writes: a defect of ours.
    #[error("malformed record in the ring: {0}")]
    Record(&'static str),
}

/// What is known before the first event; the first line of NDJSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Meta {
    /// Of ctrace.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// Who is traced, in words.
    pub scope: String,
    /// Name of the host or container.
    pub hostname: String,
    /// Wall-clock time of the start, in ns since 1970.
    pub start: u64,
}

/// What is known after the last event; the last line of NDJSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// From the first attachment to the last detachment, in ns.
    pub duration: u64,
    /// Probes that were attached.
    pub probes: u64,
    /// Why it ended, in words: `exit`, `signal`, `duration`, `command ended`, `process ended`, `output closed`.
    pub reason: String,
    /// The exit status of ctrace.
    pub status: i32,
    /// What was lost, by kind.
    pub losses: Losses,
    /// What has failed, by place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<failure::Count>,
}

/// How often each kind of loss occurred, indexed by `Loss`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses(pub [u64; LOSS_KINDS]);

impl Losses {
    /// The kinds that occurred, with their counts.
    pub fn occurred(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::ALL.into_iter().zip(self.0).filter(|&(_, count)| count != 0)
    }

    /// Records that did not reach user space.
    fn events(&self) -> Option<u64> {
        Some(self.0[Loss::RingFull as usize]).filter(|&count| count != 0)
    }

    /// One line for each kind that occurred, and each map that was full, for the standard error stream; empty if nothing was
    /// lost. `failures` are all there were, by place.
    pub fn describe(&self, plan: &Plan, failures: &[(Failed, u64)]) -> String {
        let mut lines = Vec::new();
        for (loss, mut count) in self.occurred() {
            if loss == Loss::MapFull {
                for (map, refused) in failure::refused(plan, failures) {
                    lines.push(format!("lost {refused} updates: {map} was full\n"));
                    count = count.saturating_sub(refused);
                }
            }
            // The runtime has maps of its own, and places are told apart up to a number.
            lines.extend(Some(format!("{}\n", describe(loss, count))).filter(|_| count != 0));
        }
        lines.concat()
    }
}

fn describe(loss: Loss, count: u64) -> String {
    match loss {
        Loss::RingFull => format!("lost {count} records: the ring buffer was full"),
        Loss::MapFull => format!("lost {count} updates: a map was full"),
        Loss::ReadFailed => format!("{count} reads of memory failed"),
        Loss::StorageFull => format!("lost {count} updates: no room in thread storage"),
        Loss::StackLost => {
            format!("{count} times the frames of a stack could not be sent: where it was, they are missing")
        }
        Loss::LoopCut => format!("{count} loops did not finish: the kernel allows 8388608 turns"),
        Loss::ScratchBusy => format!("lost {count} actions: scratch memory was in use"),
        Loss::Missed => {
            format!("lost up to {count} events: a probe had interrupted itself, here or elsewhere on the machine")
        }
    }
}

impl Serialize for Losses {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [ring_full, map_full, read_failed, storage_full, loop_cut, stack_lost, scratch_busy, missed] = self.0;
        let named = [
            ("ring_full", ring_full),
            ("map_full", map_full),
            ("read_failed", read_failed),
            ("storage_full", storage_full),
            ("loop_cut", loop_cut),
            ("stack_lost", stack_lost),
            ("scratch_busy", scratch_busy),
            ("missed", missed),
        ];
        serializer.collect_map(named)
    }
}

/// Tells a session's story on a `Write`.
///
/// The order of calls: [`meta`](Reporter::meta), [`attached`](Reporter::attached), [`record`](Reporter::record)
/// as things happen, [`maps_at_end`](Reporter::maps_at_end), [`summary`](Reporter::summary). The writer is flushed by [`flush`](Reporter::flush) only: call it when the ring is
/// empty.
pub struct Reporter<'p, W> {
    plan: &'p Plan,
    world: &'p dyn World,
    store: Store,
    /// Aggregations that the script itself has printed and emptied since the last interval.
    reported: Vec<MapId>,
    /// Aggregations that are whole in the kernel, and have been emptied there when they were printed.
    emptied: Vec<MapId>,
    told: failure::Told,
    style: Style,
    out: W,
}

impl<'p, W: Write> Reporter<'p, W> {
    /// A reporter that has seen nothing yet.
    pub fn new(plan: &'p Plan, world: &'p dyn World, style: Style, out: W) -> Self {
        Reporter {
            plan,
            world,
            store: Store::new(plan),
            reported: Vec::new(),
            emptied: Vec::new(),
            told: failure::Told::default(),
            style,
            out,
        }
    }

    /// The same, which tells of memory that cannot be read.
    pub fn telling_reads(mut self, reads: bool) -> Self {
        self.told.reads = reads;
        self
    }

    /// What is known before anything happens.
    pub fn meta(&mut self, meta: &Meta) -> Result<(), Error> {
        self.write(Event::Meta(meta))
    }

    /// Everything is attached, so many probes.
    pub fn attached(&mut self, probes: u64) -> Result<(), Error> {
        self.write(Event::Attached(probes))
    }

    /// Takes one record of the ring, header included; `maps` is asked for what it refers to.
    pub fn record(&mut self, record: &[u8], maps: &mut dyn Maps) -> Result<Flow, Error> {
        let (mut header, payload) =
            record.split_at_checked(HEADER_SIZE).ok_or(Error::Record("shorter than its header"))?;
        let id = header.get_u32_le();
        let plan = self.plan;
        if id == FAILURE_RECORD {
            self.failed(Failed::from_bytes(payload).ok_or(Error::Record("failure cut off"))?)?;
            return Ok(Flow::Continue);
        }
        match plan.records.get(id as usize).ok_or(Error::Record("unknown kind"))? {
            Record::Printf { format, arguments } => {
                self.output(Output::Printf, &self.render(format, arguments, payload))?;
            }
            Record::Cat { format, arguments } => self.cat(&self.text(format, arguments, payload))?,
            Record::System { format, arguments } => {
                let arguments = value::decode_parts(arguments, payload, self.names());
                self.system(&String::from_utf8_lossy(&printf::render(format, &arguments)))?;
            }
            Record::Message { severity, place, format, arguments } => {
                let message = self.text(format, arguments, payload);
                self.message(*severity, &self.world.locate(*place), &message)?;
            }
            Record::Time { format } => self.output(Output::Time, self.world.time(format, None).as_bytes())?,
            Record::Join { separator } => self.output(Output::Join, &join(payload, separator))?,
            Record::PrintValue { value } => {
                let value = value::decode_sent(std::slice::from_ref(value), payload, self.names());
                value.into_iter().try_for_each(|value| self.write(Event::Value(&Cell::Value(value))))?;
            }
            &Record::PrintMap { map, top, div, emptied } => {
                self.gather(map, emptied, maps)?;
                self.emptied.extend(Some(map).filter(|_| emptied));
                self.print_map(map, Selection { top, div }, maps)?;
            }
            &Record::PrintEntry { map } => {
                self.print_entry(map, self.key(map, payload)?, maps)?;
            }
            Record::PrintTable { maps: joined, headings, top, unit, emptied } => {
                for &map in joined {
                    self.gather(map, emptied.contains(&map), maps)?;
                }
                self.emptied.extend(emptied);
                self.write(Event::Table(&table::join(self.names(), &self.store, joined, headings, *top, *unit)))?;
            }
            &Record::Clear { map, printed } => self.empty(map, printed, Emptying::Clear, maps)?,
            &Record::Zero { map, printed } => self.empty(map, printed, Emptying::Zero, maps)?,
            Record::Exit => {
                let mut code = payload;
                return code.try_get_i64_le().map(Flow::Exit).map_err(|_| Error::Record("exit without a code"));
            }
        }
        Ok(Flow::Continue)
    }

    /// Prints the maps that the plan names. The script's last action has run, and all its records have been taken.
    pub fn maps_at_end(&mut self, maps: &mut dyn Maps) -> Result<(), Error> {
        // A script with tables is no bpftrace script; it does without the lines by which bpftrace says that it has ended.
        if !self.prints_tables() {
            self.write(Event::End)?;
        }
        for &id in &self.plan.print_at_end {
            self.gather(id, false, maps)?;
            let view = self.view(id, Selection::default(), maps)?;
            self.write(Event::Map(&view))?;
        }
        Ok(())
    }

    /// Takes out of the kernel what would fill its maps if nobody did: the intervals of series.
    pub fn make_room(&mut self, maps: &mut dyn Maps) -> Result<(), Error> {
        let series = (0..).map(MapId).zip(&self.plan.maps).filter(|(_, map)| map.series().is_some());
        series.map(|(id, _)| id).try_for_each(|id| self.gather(id, false, maps))
    }

    /// Prints the same maps in the middle of a session. Aggregations start afresh; other maps keep what they hold,
    /// which may be what the script goes on with. What the script has printed and emptied itself is reported: what has
    /// come since belongs to the next interval.
    pub fn maps_at_interval(&mut self, maps: &mut dyn Maps) -> Result<(), Error> {
        let reported = std::mem::take(&mut self.reported);
        for &id in self.plan.print_at_end.iter().filter(|id| !reported.contains(id)) {
            self.gather(id, true, maps)?;
            let view = self.view(id, Selection::default(), maps)?;
            self.write(Event::Map(&view))?;
            self.store.clear(id);
        }
        // A table has a blank line after it already.
        if self.prints_tables() { Ok(()) } else { self.write(Event::Interval) }
    }

    fn prints_tables(&self) -> bool {
        self.plan.records.iter().any(|record| matches!(record, Record::PrintTable { .. }))
    }

    /// What has failed in the end, and how often: tells what has not been told, and how often it was if that is news.
    pub fn failures(&mut self, failures: &[(Failed, u64)]) -> Result<Vec<failure::Count>, Error> {
        let mut counts = Vec::new();
        for &(failed, count) in failures {
            self.failed(failed)?;
            let Location { file, line, column, .. } = self.world.locate(failure::place(failed));
            let msg = failure::text(self.plan, failed);
            let is_told = failed.failure().is_some_and(|failure| self.told.reads || !failure.is_read());
            if count > 1 && is_told && self.style == Style::Text {
                self.world.warn(failure::place(failed), &format!("{msg}, {count} times in all"), None);
            }
            counts.push(failure::Count { msg, count, filename: file, line, col: column });
        }
        Ok(counts)
    }

    /// Tells of a failure, unless it has been told or nobody wants to know.
    fn failed(&mut self, failed: Failed) -> Result<(), Error> {
        if !self.told.is_news(failed) {
            return Ok(());
        }
        let (place, text) = (failure::place(failed), failure::text(self.plan, failed));
        match self.style {
            Style::Json => self.write(Event::Failure(failed, &text, &self.world.locate(place))),
            Style::Text => {
                self.world.warn(place, &text, failure::help(failed));
                Ok(())
            }
        }
    }

    /// What is known after everything.
    pub fn summary(&mut self, summary: &Summary) -> Result<(), Error> {
        self.write(Event::Summary(summary))
    }

    /// Writes out what has been reported so far.
    pub fn flush(&mut self) -> Result<(), Error> {
        Ok(self.out.flush()?)
    }

    fn print_map(&mut self, id: MapId, selection: Selection, maps: &mut dyn Maps) -> Result<(), Error> {
        let map = self.map(id);
        let view = self.view(id, selection, maps)?;
        let never_assigned = map.key.is_none() && matches!(view.contents, Contents::Keyed(_));
        match view.kind {
            // As in bpftrace: a single value that was never assigned to prints as zero, a histogram not at all.
            Kind::Plain | Kind::Stats if never_assigned => {
                let contents = Contents::Scalar(self.cell(id, &[], None));
                self.write(Event::Map(&MapView { contents, ..view }))
            }
            _ => self.write(Event::Map(&view)),
        }
    }

    fn print_entry(&mut self, id: MapId, key: &[u8], maps: &mut dyn Maps) -> Result<(), Error> {
        let map = self.map(id);
        let plain = match map.aggregation() {
            Some(_) => {
                self.gather(id, false, maps)?;
                None
            }
            None => maps.lookup(id, key).map_err(|error| map_error("read", map, error))?,
        };
        let cell = self.cell(id, key, plain.as_deref());
        self.write(Event::Value(&cell))
    }

    /// The value of one key; zero if there is none. Plain values are given, others are in the store.
    fn cell(&self, id: MapId, key: &[u8], plain: Option<&[u8]>) -> Cell {
        match &self.map(id).value {
            plan::Value::Plain(shape) => Cell::Value(Value::decode(shape, plain.unwrap_or_default(), self.names())),
            &plan::Value::Aggregation(kind) => match self.store.get(id, key) {
                Some(accumulator) => view::cell(kind, accumulator, 1),
                None => view::cell(kind, &Accumulator::new(kind), 1),
            },
        }
    }

    /// What a map holds: a plain one is fetched, an aggregation has been gathered.
    fn view(&mut self, id: MapId, selection: Selection, maps: &mut dyn Maps) -> Result<MapView<'p>, Error> {
        let map = self.map(id);
        match &map.value {
            plan::Value::Plain(shape) => {
                let entries = maps.entries(id).map_err(|error| map_error("read", map, error))?;
                Ok(view::plain(self.names(), map, shape, &entries, selection))
            }
            &plan::Value::Aggregation(kind) => {
                Ok(view::aggregation(self.names(), map, kind, self.store.entries(id), selection))
            }
        }
    }

    /// Brings the store up to what an aggregation has counted. One that is whole in the kernel is `emptied` there by that,
    /// if it is about to be emptied; what the others have counted moves into the store in any case.
    fn gather(&mut self, id: MapId, emptied: bool, maps: &mut dyn Maps) -> Result<(), Error> {
        let map = self.map(id);
        if map.aggregation().is_none() {
            return Ok(());
        }
        let store = &mut self.store;
        let gathered = if map.is_live() {
            store.clear(id);
            let mut take = |key: &[u8], value: &[u8]| store.take(id, map, key, value);
            if emptied { maps.drain(id, true, &mut take) } else { maps.read(id, &mut take) }
        } else {
            maps.drain(id, emptied, &mut |key, partials| store.merge(id, map, key, partials))
        };
        if let Some(series) = map.series() {
            self.store.keep_last(id, series);
        }
        gathered.map_err(|error| map_error("read", map, error))
    }

    /// Empties a map. One that the same action has just printed is not drained: what has come since stays counted.
    fn empty(&mut self, id: MapId, printed: bool, how: Emptying, maps: &mut dyn Maps) -> Result<(), Error> {
        let map = self.map(id);
        let emptied = self.emptied.contains(&id);
        self.emptied.retain(|&other| other != id);
        match (map.aggregation(), how) {
            (Some(_), _) if printed && emptied => {}
            // The keys of what has come since the print are those that the map has from now on.
            (Some(_), Emptying::Clear) if printed && !map.is_live() => {
                self.store.clear(id);
                self.gather(id, true, maps)?;
                self.restore(id, maps)?;
                self.reported.push(id);
                return Ok(());
            }
            (Some(_), Emptying::Zero) if printed && !map.is_live() => {}
            (Some(_), Emptying::Zero) if !map.is_live() => self.gather(id, false, maps)?,
            (Some(_), _) => self.gather(id, true, maps)?,
            (None, _) => {}
        }
        if printed && map.aggregation().is_some() {
            self.reported.push(id);
        }
        if matches!(how, Emptying::Zero) && (emptied || map.is_live()) {
            self.restore(id, maps)?;
        }
        match (map.aggregation(), how) {
            (Some(_), Emptying::Clear) => self.store.clear(id),
            (Some(_), Emptying::Zero) => self.store.zero(id),
            (None, Emptying::Clear) => maps.clear(id).map_err(|error| map_error("clear", map, error))?,
            (None, Emptying::Zero) => maps.zero(id).map_err(|error| map_error("zero", map, error))?,
        }
        Ok(())
    }

    /// Lets a map that has been emptied in the kernel have the keys that are in the store.
    fn restore(&mut self, id: MapId, maps: &mut dyn Maps) -> Result<(), Error> {
        let keys: Vec<Vec<u8>> = self.store.entries(id).map(|(key, _)| key.to_vec()).collect();
        let refused = maps.restore(id, &keys).map_err(|error| map_error("restore", self.map(id), error))?;
        refused.iter().for_each(|key| self.store.remove(id, key));
        Ok(())
    }

    /// What a format and its arguments come to.
    fn render(&self, format: &Format, arguments: &[Shape], payload: &[u8]) -> Vec<u8> {
        printf::render(format, &value::decode_sent(arguments, payload, self.names()))
    }

    /// The same as a string.
    fn text(&self, format: &Format, arguments: &[Shape], payload: &[u8]) -> String {
        String::from_utf8_lossy(&self.render(format, arguments, payload)).into_owned()
    }

    fn output(&mut self, output: Output, text: &[u8]) -> Result<(), Error> {
        self.write(Event::Output(output, text))
    }

    /// What a script says of itself: a line of NDJSON, else not for the output.
    fn message(&mut self, severity: Severity, location: &Location, message: &str) -> Result<(), Error> {
        if self.style == Style::Json {
            return self.write(Event::Message(severity, location, message));
        }
        let severity = match severity {
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        self.world.complain(&format!("{}: {severity}: {}", location.text, message.trim_end_matches('\n')));
        Ok(())
    }

    /// Prints a file.
    fn cat(&mut self, path: &str) -> Result<(), Error> {
        match self.world.read(path) {
            Ok(contents) => self.output(Output::Cat, &contents),
            Err(error) => {
                self.world.complain(&format!("error: cannot read {path}: {error}"));
                Ok(())
            }
        }
    }

    /// Runs a command and prints what it prints; as in bpftrace, that of a command that fails is not printed.
    fn system(&mut self, command: &str) -> Result<(), Error> {
        // What was printed before it must be seen before what it prints itself.
        self.flush()?;
        match self.world.run(command) {
            Ok((output, status)) if status.success() => return self.output(Output::System, &output),
            Ok((_, status)) => self.world.complain(&format!("error: `{command}`: {status}")),
            Err(error) => self.world.complain(&format!("error: cannot run `{command}`: {error}")),
        }
        Ok(())
    }

    fn names(&self) -> Names<'p> {
        Names { plan: self.plan, world: self.world }
    }

    fn map(&self, id: MapId) -> &'p Map {
        &self.plan.maps[id.0 as usize]
    }

    /// The key that a payload begins with.
    fn key<'r>(&self, map: MapId, payload: &'r [u8]) -> Result<&'r [u8], Error> {
        payload.get(..self.map(map).own_key_size() as usize).ok_or(Error::Record("key cut off"))
    }

    fn write(&mut self, event: Event<'_>) -> Result<(), Error> {
        match self.style {
            Style::Text => text::write(event, &mut self.out)?,
            Style::Json => json::write(event, &mut self.out)?,
        }
        Ok(())
    }
}

/// The texts of a `join`, joined.
fn join(mut texts: &[u8], separator: &str) -> Vec<u8> {
    let length = texts.try_get_u64_le().unwrap_or_default();
    let texts = &texts[..texts.len().min(length as usize)];
    let texts = texts.strip_suffix(b"\0").unwrap_or(texts).split(|&byte| byte == 0);
    texts.collect::<Vec<_>>().join(separator.as_bytes())
}

/// How a map is emptied.
#[derive(Clone, Copy, Debug)]
enum Emptying {
    /// Its keys go.
    Clear,
    /// Its keys stay.
    Zero,
}

fn map_error(action: &'static str, map: &Map, error: io::Error) -> Error {
    Error::Map { action, name: map.name.clone(), error }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::Closed,
            _ => Error::Write(error),
        }
    }
}
