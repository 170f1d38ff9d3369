//! Plan + what the session brings (records of the ring, map contents, losses) → text or NDJSON.
//!
//! [`Reporter`] is told everything that happens, in order. It keeps the merged aggregations ([`store`]), decodes bytes by
//! the plan's shapes, and writes each thing that is to be seen to the given `Write`, in one of two formats.
//! When a record asks for the contents of a map, the reporter fetches them through [`Maps`]; it does no other input.

use std::io::{self, Write};

use serde::Serialize;
use thiserror::Error;
use tracer_common::loss::{LOSS_KINDS, Loss};
use tracer_common::record::HEADER_SIZE;

use crate::plan::{Map, MapId, Plan, ProbeId, Record, Value};

pub mod store;
pub mod value;

use store::Store;

/// The format of everything that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// For people, as bpftrace prints it.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// The kernel's maps, as the reporter asks for them. `run` implements it.
///
/// Keys are without generation and laid out as [`crate::plan::Map::key`] says, of `key.size()` bytes rounded up to 8;
/// the key of a map without a key is empty.
pub trait Maps {
    /// Moves an aggregation map to its next generation and hands over what the old one held: each key with its partial
    /// values, one for each CPU and one after the other, of `map.value_size()` bytes each.
    ///
    /// An array hands over all its keys; those that nothing was counted for are recognized and left out.
    fn drain(&mut self, map: MapId, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()>;

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
    /// Why it ended, in words: `exit`, `signal`, `duration`, `command ended`, `output closed`.
    pub reason: String,
    /// The exit status of ctrace.
    pub status: i32,
    /// What was lost, by kind.
    pub losses: Losses,
}

/// How often each kind of loss occurred, indexed by `Loss`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses(pub [u64; LOSS_KINDS]);

impl Losses {
    /// The kinds that occurred, with their counts.
    pub fn occurred(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::ALL.into_iter().zip(self.0).filter(|&(_, count)| count != 0)
    }

    /// One line for each kind that occurred, for the standard error stream; empty if nothing was lost.
    pub fn describe(&self) -> String {
        self.occurred().map(|(loss, count)| format!("{}\n", describe(loss, count))).collect()
    }
}

fn describe(loss: Loss, count: u64) -> String {
    match loss {
        Loss::RingFull => format!("lost {count} records: the ring buffer was full"),
        Loss::MapFull => format!("lost {count} updates: a map was full"),
        Loss::ReadFailed => format!("{count} reads of memory failed"),
        Loss::StorageFull => format!("lost {count} updates: no room in thread storage"),
    }
}

impl Serialize for Losses {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [ring_full, map_full, read_failed, storage_full] = self.0;
        let named = [
            ("ring_full", ring_full),
            ("map_full", map_full),
            ("read_failed", read_failed),
            ("storage_full", storage_full),
        ];
        serializer.collect_map(named)
    }
}

/// Tells a session's story on a `Write`.
///
/// The order of calls: [`meta`](Reporter::meta), [`attached`](Reporter::attached), [`record`](Reporter::record) and
/// [`action`](Reporter::action) as things happen, [`maps_at_end`](Reporter::maps_at_end),
/// [`summary`](Reporter::summary). The writer is flushed by [`flush`](Reporter::flush) only: call it when the ring is
/// empty.
#[derive(Debug)]
pub struct Reporter<'p, W> {
    plan: &'p Plan,
    store: Store,
    /// By map: the probe whose running action has printed it.
    printed: Vec<Option<ProbeId>>,
    style: Style,
    out: W,
}

impl<'p, W: Write> Reporter<'p, W> {
    /// A reporter that has seen nothing yet.
    pub fn new(plan: &'p Plan, style: Style, out: W) -> Self {
        Reporter { plan, store: Store::new(plan), printed: vec![None; plan.maps.len()], style, out }
    }

    /// User space is about to run the program of a probe (`BEGIN`, `END`, `interval`).
    ///
    /// Within one action, a map that has been printed is cleared without being drained again, so that what happens
    /// between the two counts for the next interval; this call tells where an action begins.
    pub fn action(&mut self, probe: ProbeId) {
        self.printed.iter_mut().filter(|printed| **printed == Some(probe)).for_each(|printed| *printed = None);
    }

    /// Takes one record of the ring, header included; `maps` is asked for what it refers to.
    pub fn record(&mut self, record: &[u8], maps: &mut dyn Maps) -> Result<Flow, Error> {
        let header = record.first_chunk::<HEADER_SIZE>().ok_or(Error::Record("shorter than its header"))?;
        let [id, probe] =
            [0, 4].map(|at| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        let plan = self.plan;
        let payload = &record[HEADER_SIZE..];
        match plan.records.get(id as usize).ok_or(Error::Record("unknown kind"))? {
            Record::Exit => {
                let code = payload.first_chunk().ok_or(Error::Record("exit without a code"))?;
                return Ok(Flow::Exit(i64::from_le_bytes(*code)));
            }
            &Record::Clear { map } => self.empty(map, ProbeId(probe), maps, "clear")?,
            &Record::Zero { map } => self.empty(map, ProbeId(probe), maps, "zero")?,
            &Record::Delete { map } => {
                let size = plan.maps[map.0 as usize].own_key_size() as usize;
                self.store.delete(map, payload.get(..size).ok_or(Error::Record("key cut off"))?);
            }
            _ => {}
        }
        Ok(Flow::Continue)
    }

    /// Moves what the kernel has counted into the store.
    fn drain(&mut self, id: MapId, maps: &mut dyn Maps) -> Result<(), Error> {
        let map = &self.plan.maps[id.0 as usize];
        let store = &mut self.store;
        maps.drain(id, &mut |key, partials| store.merge(id, map, key, partials))
            .map_err(|error| map_error("read", map, error))
    }

    /// Empties a map. One that the same action has just printed is not drained: what has come since stays counted.
    fn empty(&mut self, id: MapId, probe: ProbeId, maps: &mut dyn Maps, action: &'static str) -> Result<(), Error> {
        let map = &self.plan.maps[id.0 as usize];
        if let Value::Plain(_) = map.value {
            let done = if action == "clear" { maps.clear(id) } else { maps.zero(id) };
            return done.map_err(|error| map_error(action, map, error));
        }
        if self.printed[id.0 as usize].take() != Some(probe) {
            self.drain(id, maps)?;
        }
        if action == "clear" {
            self.store.clear(id);
        } else {
            self.store.zero(id);
        }
        Ok(())
    }

    /// Prints the maps that the plan names, after the last record.
    pub fn maps_at_end(&mut self, maps: &mut dyn Maps) -> Result<(), Error> {
        for &map in &self.plan.print_at_end {
            self.drain(map, maps)?;
        }
        Ok(())
    }

    /// Writes out what has been reported so far.
    pub fn flush(&mut self) -> Result<(), Error> {
        Ok(self.out.flush()?)
    }
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
