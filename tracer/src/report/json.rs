//! Events as NDJSON: bpftrace 0.27's lines to the letter, `meta`, `summary`, `hdr` and `table` added.
//!
//! As there, objects are spaced, arrays are not, and a number that a double cannot hold exactly is written as a string
//! (but not in a `tseries`, nor in an `hdr`: those are numbers throughout). Unlike there, text that is not ASCII stays what it is, and keys
//! keep the spaces within their text. `schema.json` describes every line.

use std::io::{self, Write};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use super::event::{Bucket, Cell, Contents, Event, Interval, Kind, MapView, Output, PERCENTILES, Percentiles};
use super::table::{Row, Table};
use super::value::Value;
use super::{Location, failure, view};
use crate::plan::{Severity, Unit};

/// Writes one event.
pub fn write(event: Event<'_>, out: &mut impl Write) -> io::Result<()> {
    match event {
        Event::Meta(meta) => line("meta", meta, out),
        Event::Attached(count) => counted("attached_probes", "probes", count, out),
        Event::Output(output, text) => line(name_of(output), &String::from_utf8_lossy(text), out),
        Event::Message(severity, location, message) => {
            let name = match severity {
                Severity::Warning => "warnf",
                Severity::Error => "errorf",
            };
            object(&Located { r#type: name, msg: message, location }, out)
        }
        Event::Failure(failed, text, location) => object(&failure::Line { failed, text, location }, out),
        Event::Value(cell) => line("value", cell, out),
        Event::Map(map) => write_map(map, out),
        Event::Table(table) => line("table", table, out),
        Event::End | Event::Interval => Ok(()),
        Event::Summary(summary) => {
            if let Some(lost) = summary.losses.events() {
                counted("lost_events", "events", lost, out)?;
            }
            line("summary", summary, out)
        }
    }
}

/// bpftrace's name for what a text comes from.
fn name_of(output: Output) -> &'static str {
    match output {
        Output::Printf => "printf",
        Output::Time => "time",
        Output::Cat => "cat",
        Output::Join => "join",
        Output::System => "syscall",
    }
}

fn write_map(map: &MapView<'_>, out: &mut impl Write) -> io::Result<()> {
    let name = match map.kind {
        Kind::Plain => "map",
        Kind::Stats => "stats",
        Kind::Histogram => "hist",
        Kind::Hdr => "hdr",
        Kind::Series => "tseries",
    };
    match &map.contents {
        // bpftrace shows an empty map only if it is one of averages.
        Contents::Keyed(entries) if entries.is_empty() && map.kind != Kind::Stats => Ok(()),
        contents => {
            let data = &Object([(map.name, contents)]);
            let spacing = Spaced { close_in_arrays: map.kind == Kind::Series, arrays: 0 };
            spaced(&Line { r#type: name, count: None, data }, spacing, out)
        }
    }
}

fn line(name: &str, data: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    object(&Line { r#type: name, count: None, data }, out)
}

/// Any object on a line of its own.
fn object(object: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    spaced(object, Spaced { close_in_arrays: false, arrays: 0 }, out)
}

fn spaced(object: &impl Serialize, spacing: Spaced, out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    object.serialize(&mut serde_json::Serializer::with_formatter(&mut line, spacing))?;
    line.push(b'\n');
    out.write_all(&line)
}

/// A line with the same number twice.
fn counted(name: &str, what: &str, count: u64, out: &mut impl Write) -> io::Result<()> {
    object(&Line { r#type: name, count: Some(count), data: &Object([(what, count)]) }, out)
}

#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    data: &'a T,
}

/// Something that is said about a place of the script.
struct Located<'a> {
    r#type: &'a str,
    msg: &'a str,
    location: &'a Location,
}

impl Serialize for Located<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("type", self.r#type)?;
        object.serialize_entry("msg", self.msg)?;
        object.serialize_entry("filename", &self.location.file)?;
        object.serialize_entry("line", &self.location.line)?;
        object.serialize_entry("col", &self.location.column)?;
        object.end()
    }
}

/// `{"a": 1, "b": [2,3]}`: the spacing that bpftrace's drivers know.
struct Spaced {
    /// Objects in arrays have no spaces, which is so in series.
    close_in_arrays: bool,
    /// How many arrays there are around what is written.
    arrays: u32,
}

impl Spaced {
    fn is_close(&self) -> bool {
        self.close_in_arrays && self.arrays > 0
    }
}

impl Formatter for Spaced {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.arrays += 1;
        out.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.arrays -= 1;
        out.write_all(b"]")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        match (first, self.is_close()) {
            (true, _) => Ok(()),
            (false, true) => out.write_all(b","),
            (false, false) => out.write_all(b", "),
        }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.is_close() { b":" } else { b": " })
    }
}

/// An object of the given entries, in their order.
struct Object<K, V, const N: usize>([(K, V); N]);

impl<K: Serialize, V: Serialize, const N: usize> Serialize for Object<K, V, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Contents::Scalar(cell) => cell.serialize(serializer),
            Contents::Keyed(entries) => serializer.collect_map(entries.iter().map(|(key, cell)| (key_text(key), cell))),
        }
    }
}

/// A key as the name of a member: `a,1,(2,3)`.
fn key_text(key: &Value) -> String {
    fn join(parts: &[Value]) -> String {
        parts.iter().map(part).collect::<Vec<_>>().join(",")
    }
    fn part(value: &Value) -> String {
        match value {
            Value::Tuple(parts) => format!("({})", join(parts)),
            Value::Array(elements) => format!("[{}]", join(elements)),
            Value::Record(members) => {
                let members: Vec<String> =
                    members.iter().map(|(name, member)| format!(".{name}={}", part(member))).collect();
                format!("{{{}}}", members.join(","))
            }
            other => other.to_text(),
        }
    }
    match key {
        Value::Tuple(parts) => join(parts),
        single => part(single),
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Value(value) => value.serialize(serializer),
            Cell::Stats { count, average, total } => {
                Object([("count", &Value::Unsigned(*count)), ("average", average), ("total", total)])
                    .serialize(serializer)
            }
            Cell::Histogram(buckets) => buckets.serialize(serializer),
            Cell::Hdr(hdr) => hdr.serialize(serializer),
            Cell::Series(intervals) => {
                serializer.collect_seq(intervals.iter().filter(|interval| interval.value.is_some()))
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Signed(number) if *number as f64 as i128 != i128::from(*number) => serializer.collect_str(number),
            Value::Signed(number) => serializer.serialize_i64(*number),
            Value::Unsigned(number) | Value::Pointer(number) if *number as f64 as u128 != u128::from(*number) => {
                serializer.collect_str(number)
            }
            Value::Unsigned(number) | Value::Pointer(number) => serializer.serialize_u64(*number),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Text(text) => serializer.serialize_str(&String::from_utf8_lossy(text)),
            Value::Tuple(parts) | Value::Array(parts) => parts.serialize(serializer),
            Value::Enum(number, _) => Value::Signed(*number).serialize(serializer), // the name only in keys, as there
            Value::Record(members) => serializer.collect_map(members.iter().map(|(name, member)| (name, member))),
            Value::Buffer(bytes) => bytes.serialize(serializer), // as text only in keys, as there
        }
    }
}

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (name, bound) in [("min", self.min), ("max", self.max)] {
            if let Some(bound) = bound {
                object.serialize_entry(name, &Value::Signed(bound))?;
            }
        }
        object.serialize_entry("count", &self.count)?;
        object.end()
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        let start = format!("{}.{:09}", self.second, self.start % 1_000_000_000);
        object.serialize_entry("interval_start", &start)?;
        match self.value {
            Some(Value::Unsigned(number)) => object.serialize_entry("value", &number)?,
            Some(Value::Signed(number)) => object.serialize_entry("value", &number)?,
            _ => object.serialize_entry("value", &self.value)?,
        }
        object.end()
    }
}

impl Serialize for Percentiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bucket = |&(min, max, count): &(u64, u64, u64)| Object([("min", min), ("max", max), ("count", count)]);
        let mut object = serializer.serialize_map(None)?;
        let figures = [("count", self.count), ("total", self.total), ("min", self.min), ("max", self.max)];
        for (name, number) in figures {
            object.serialize_entry(name, &number)?;
        }
        let at: [_; PERCENTILES.len()] = std::array::from_fn(|index| (PERCENTILES[index].0, self.at[index]));
        object.serialize_entry("percentiles", &Object(at))?;
        object.serialize_entry("buckets", &self.buckets.iter().map(bucket).collect::<Vec<_>>())?;
        object.end()
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("key", &self.headings)?;
        let unit = match self.unit {
            Unit::Nanoseconds => "ns",
            Unit::Plain => "",
        };
        object.serialize_entry("unit", unit)?;
        object.serialize_entry("rows", &Rows(self))?;
        object.end()
    }
}

struct Rows<'a>(&'a Table);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            rows.serialize_element(&NamedRow(self.0, row))?;
        }
        rows.end()
    }
}

struct NamedRow<'a>(&'a Table, &'a Row);

impl Serialize for NamedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NamedRow(table, row) = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("key", &row.key)?;
        for (&(ref name, kind), value) in table.maps.iter().zip(&row.values) {
            object.serialize_entry(name, &view::cell(kind, value, 1))?;
        }
        object.end()
    }
}
