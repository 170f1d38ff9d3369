//! What goes wrong while a script runs: told when it first happens at a place, and counted at the end.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use tracer_common::failure::{Failed, Failure};

use super::Location;
use crate::plan::{Place, Plan, numbers};

/// What has been told so far, and what is to be told at all.
#[derive(Debug, Default)]
pub struct Told {
    places: BTreeSet<Failed>,
    /// Whether failed reads are told too: scripts try, so only those who ask want to know.
    pub reads: bool,
}

impl Told {
    /// Whether a failure is to be told now; it has been from here on.
    pub fn is_news(&mut self, failed: Failed) -> bool {
        let wanted = failed.failure().is_some_and(|failure| self.reads || !failure.is_read());
        wanted && self.places.insert(failed)
    }
}

/// The place that has failed.
pub fn place(failed: Failed) -> Place {
    Place { start: failed.start, end: failed.end }
}

/// What the kernel says of a map that is full: include/uapi/asm-generic/errno-base.h.
const E2BIG: i32 = 7;

/// The map that has failed, in words.
fn map(plan: &Plan, failed: Failed) -> &str {
    failed.map().and_then(|map| plan.maps.get(map as usize)).map_or("a map", |map| &map.name)
}

/// How many updates each map has not taken, by its name.
pub fn refused(plan: &Plan, failures: &[(Failed, u64)]) -> Vec<(String, u64)> {
    let mut refused: Vec<(String, u64)> = Vec::new();
    for (failed, count) in failures.iter().filter(|(failed, _)| failed.failure() == Some(Failure::MapUpdate)) {
        let name = map(plan, *failed);
        match refused.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += count,
            None => refused.push((name.to_owned(), *count)),
        }
    }
    refused
}

/// For people.
pub fn text(plan: &Plan, failed: Failed) -> String {
    let reading = |what: &str| format!("{what} cannot be read: {}", numbers::error(failed.error));
    match failed.failure() {
        Some(Failure::MapUpdate) if failed.error == -E2BIG => {
            format!("{} is full: it does not take another key", map(plan, failed))
        }
        Some(Failure::MapUpdate) => {
            format!("{} does not take a key: {}", map(plan, failed), numbers::error(failed.error))
        }
        Some(Failure::ReadUser) => reading("memory of the process"),
        Some(Failure::ReadKernel) => reading("memory of the kernel"),
        Some(Failure::ReadUserText) => reading("text in the process's memory"),
        Some(Failure::ReadKernelText) => reading("text in the kernel's memory"),
        Some(Failure::Storage) => "there is no room in the thread's storage".to_owned(),
        Some(Failure::Loop) => "the loop was ended: the kernel allows 8388608 turns".to_owned(),
        Some(Failure::ZeroDivisor) => "division by zero: the result is 1".to_owned(),
        Some(Failure::NoElement) => "there is no such element: the result is 0".to_owned(),
        None => "something has failed".to_owned(),
    }
}

/// What to do about it.
pub fn help(failed: Failed) -> Option<&'static str> {
    match failed.failure()? {
        Failure::MapUpdate => Some("give it more room: `config = { max_map_keys=… }`, or `let @map = hash(…);`"),
        _ => None,
    }
}

/// The helper that has failed, as bpftrace names it.
fn helper(failed: Failed) -> Option<&'static str> {
    let name = match failed.failure()? {
        Failure::MapUpdate => "map_update_elem",
        Failure::ReadUser => "probe_read_user",
        Failure::ReadKernel => "probe_read_kernel",
        Failure::ReadUserText => "probe_read_user_str",
        Failure::ReadKernelText => "probe_read_kernel_str",
        Failure::Storage | Failure::Loop | Failure::ZeroDivisor | Failure::NoElement => return None,
    };
    (failed.error != 0).then_some(name)
}

/// A line of NDJSON: bpftrace's `helper_error` and `runtime_error`.
pub struct Line<'a> {
    /// What has failed.
    pub failed: Failed,
    /// The same in words.
    pub text: &'a str,
    /// Where.
    pub location: &'a Location,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Line { failed, text, location } = *self;
        let mut object = serializer.serialize_map(None)?;
        match helper(failed) {
            Some(helper) => {
                object.serialize_entry("type", "helper_error")?;
                object.serialize_entry("msg", numbers::error(failed.error))?;
                object.serialize_entry("helper", helper)?;
                object.serialize_entry("retcode", &failed.error)?;
            }
            None => {
                object.serialize_entry("type", "runtime_error")?;
                object.serialize_entry("msg", text)?;
            }
        }
        object.serialize_entry("filename", &location.file)?;
        object.serialize_entry("line", &location.line)?;
        object.serialize_entry("col", &location.column)?;
        object.end()
    }
}

/// How often something has failed at a place, for the summary.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// What.
    pub msg: String,
    /// How often.
    pub count: u64,
    /// The script.
    pub filename: String,
    /// Line of the place, from 1 on.
    pub line: u32,
    /// Column of the place, from 1 on.
    pub col: u32,
}
