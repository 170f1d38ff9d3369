//! Events as text, as bpftrace 0.27 prints them; `hdr` and tables are ours.

use std::io::{self, Write};

use super::event::{Bucket, Cell, Contents, Event, MapView, Output, PERCENTILES, Percentiles};
use super::layout::{self, Field};
use super::series;
use super::value::Value;

/// Writes one event.
pub fn write(event: Event<'_>, out: &mut impl Write) -> io::Result<()> {
    match event {
        Event::Meta(_) | Event::Attached(_) | Event::Summary(_) | Event::Message(..) | Event::Failure(..) => Ok(()),
        Event::Output(output, text) => {
            out.write_all(text)?;
            if matches!(output, Output::Join | Output::System) { out.write_all(b"\n") } else { Ok(()) }
        }
        Event::Value(cell) => {
            let mut text = Vec::new();
            write_cell(cell, &mut text);
            text.push(b'\n');
            out.write_all(&text)
        }
        Event::Map(map) => out.write_all(&map_text(map)),
        Event::Table(table) => out.write_all(table.to_text().as_bytes()),
        Event::End => out.write_all(b"\n\n"),
        Event::Interval => out.write_all(b"\n"),
    }
}

fn map_text(map: &MapView<'_>) -> Vec<u8> {
    let hdr = match &map.contents {
        Contents::Scalar(Cell::Hdr(hdr)) => vec![(map.name.to_owned(), hdr)],
        Contents::Scalar(_) => Vec::new(),
        Contents::Keyed(entries) => entries
            .iter()
            .filter_map(|(key, cell)| match cell {
                Cell::Hdr(hdr) => Some((String::from_utf8_lossy(&label(map.name, key)).into_owned(), hdr)),
                _ => None,
            })
            .collect(),
    };
    if !hdr.is_empty() {
        return hdr_text(hdr).into_bytes();
    }
    let mut text = Vec::new();
    match &map.contents {
        Contents::Scalar(cell) => write_entry(map.name.into(), cell, &mut text),
        Contents::Keyed(entries) => {
            for (key, cell) in entries {
                write_entry(label(map.name, key), cell, &mut text);
            }
        }
    }
    text
}

/// `@name[key, key]`.
fn label(name: &str, key: &Value) -> Vec<u8> {
    let mut label = name.as_bytes().to_vec();
    label.push(b'[');
    key.write_key(&mut label);
    label.push(b']');
    label
}

/// A single value stands on the line of its key; a histogram has lines of its own, and an empty one after them.
fn write_entry(label: Vec<u8>, cell: &Cell, text: &mut Vec<u8>) {
    text.extend(label);
    text.push(b':');
    text.push(if matches!(cell, Cell::Histogram(_) | Cell::Series(_)) { b'\n' } else { b' ' });
    write_cell(cell, text);
    text.push(b'\n');
}

fn write_cell(cell: &Cell, text: &mut Vec<u8>) {
    match cell {
        Cell::Value(value) => value.write_text(text),
        Cell::Stats { count, average, total } => {
            text.extend(format!("{{ .count = {count}, .average = ").bytes());
            average.write_text(text);
            text.extend(b", .total = ");
            total.write_text(text);
            text.extend(b" }");
        }
        Cell::Histogram(buckets) => text.extend(histogram_text(buckets).bytes()),
        Cell::Hdr(hdr) => text.extend(hdr_text(vec![(String::new(), hdr)]).bytes()),
        Cell::Series(intervals) => text.extend(series::graph(intervals).bytes()),
    }
}

fn histogram_text(buckets: &[Bucket]) -> String {
    const WIDTH: usize = 52;
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    let line = |bucket: &Bucket| {
        // In single precision, as bpftrace does it, so that bars are cut off in the same place.
        let share = bucket.count as f32 / most.max(1) as f32;
        let bar = "@".repeat((share * WIDTH as f32) as usize);
        format!("{:<16}{:>8} |{bar:<WIDTH$}|\n", bucket.label, bucket.count)
    };
    buckets.iter().map(line).collect()
}

/// A line of headings, then one line for each label, then an empty line.
fn hdr_text(entries: Vec<(String, &Percentiles)>) -> String {
    let mut headings = vec![Field::left(String::new()), Field::right("count".to_owned())];
    headings.extend(PERCENTILES.map(|(name, _)| Field::right(format!("p{name}"))));
    headings.push(Field::right("max".to_owned()));
    let mut lines = vec![headings];
    for (label, hdr) in entries {
        let mut line = vec![Field::left(label), Field::right(hdr.count.to_string())];
        line.extend(hdr.at.map(|value| Field::right(value.to_string())));
        line.push(Field::right(hdr.max.to_string()));
        lines.push(line);
    }
    layout::align(&lines) + "\n"
}
