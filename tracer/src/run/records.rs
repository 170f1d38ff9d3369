//! The records of a session, in order, out of its two rings.
//!
//! `EVENTS` holds whatever programs send. Where it has no room for a record that must not be lost (`exit`, `clear`,
//! `print` of a map, …), the runtime library puts that into `CONTROL`, with the position behind it that `EVENTS` had been
//! written up to: its turn has come once everything before that position has been read.

use std::os::fd::OwnedFd;

use aya::Ebpf;
use aya::maps::Map;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracer_common::record::STAMP_SIZE;

use super::Error;
use super::session::Flow;
use super::sys::{self, Next, Ring};

/// The rings of a session.
#[derive(Debug)]
pub(super) struct Records {
    events: Source,
    /// `None` where a script has no records that may have to go there.
    control: Option<Source>,
    /// Records of `CONTROL` whose turn has not come yet, in the order of the positions that they wait for.
    held: Vec<(u64, Vec<u8>)>,
    /// Whether records were left behind when they were last taken.
    more: bool,
}

/// A ring, and what tells that something has been written to it.
#[derive(Debug)]
pub(super) struct Source {
    pub ring: Ring,
    ready: AsyncFd<OwnedFd>,
}

impl Source {
    /// The ring of this name, if the object has it.
    pub fn new(ebpf: &mut Ebpf, name: &str) -> Result<Option<Self>, Error> {
        let Some(Map::RingBuf(data)) = ebpf.take_map(name) else { return Ok(None) };
        let source = Ring::new(&data).and_then(|ring| {
            let ready = sys::watch(ring.fd().try_clone()?, Interest::READABLE)?;
            Ok(Self { ring, ready })
        });
        source.map(Some).map_err(Error::io("cannot read a ring"))
    }

    /// Returns when something has been written since the last look.
    pub async fn written(&self) -> Result<(), Error> {
        self.ready.readable().await.map_err(Error::io("cannot wait for a ring"))?.clear_ready();
        Ok(())
    }
}

impl Records {
    /// The rings of a loaded object.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let events = Source::new(ebpf, "EVENTS")?.ok_or_else(|| Error::missing("EVENTS"))?;
        Ok(Self { events, control: Source::new(ebpf, "CONTROL")?, held: Vec::new(), more: false })
    }

    /// Returns when there may be records to take.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        match &self.control {
            _ if self.more => Ok(()),
            None => self.events.written().await,
            Some(control) => tokio::select! {
                result = self.events.written() => result,
                result = control.written() => result,
            },
        }
    }

    /// Hands over records, at most so many and up to one that ends the session; says whether one did.
    pub(super) fn take<E>(&mut self, most: usize, mut to: impl FnMut(&[u8]) -> Result<Flow, E>) -> Result<Flow, E> {
        self.more = true;
        for _ in 0..most {
            let position = self.events.ring.position();
            // First the one ring, then the other: a program that has sent this event has sent all it had to before.
            let event = self.events.ring.peek();
            let complete = self.control.as_mut().is_none_or(|control| hold(&mut control.ring, &mut self.held));
            let flow = match event {
                _ if self.held.first().is_some_and(|(turn, _)| *turn <= position) => to(&self.held.remove(0).1)?,
                Next::Record(record) if complete => {
                    let length = record.len();
                    let flow = to(record)?;
                    self.events.ring.advance(length);
                    flow
                }
                _ => {
                    self.events.ring.release();
                    if complete && matches!(self.events.ring.peek(), Next::Record(_)) {
                        continue;
                    }
                    self.more = false;
                    return Ok(Flow::Continue);
                }
            };
            if flow != Flow::Continue {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue)
    }

    /// Whether there was nothing left when records were last taken.
    pub(super) fn exhausted(&self) -> bool {
        !self.more
    }
}

/// Takes what there is out of `CONTROL`; false if a record of it is still being written, whose turn may have come.
fn hold(control: &mut Ring, held: &mut Vec<(u64, Vec<u8>)>) -> bool {
    loop {
        let (turn, record, length) = match control.peek() {
            Next::Nothing => return true,
            Next::Busy => return false,
            Next::Record(bytes) => {
                let Some((record, turn)) = bytes.split_last_chunk::<STAMP_SIZE>() else { return true };
                (u64::from_ne_bytes(*turn), record.to_vec(), bytes.len())
            }
        };
        control.advance(length);
        control.release();
        let at = held.partition_point(|(other, _)| *other <= turn);
        held.insert(at, (turn, record));
    }
}
