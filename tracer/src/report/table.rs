//! Several aggregations with the same key, joined to a table: one row a key.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::event::{Cell, PERCENTILES};
use super::store::{Accumulator, Store};
use super::value::Value;
use super::view;
use crate::plan::{Aggregation, Map, MapId, Plan, Shape, Unit};

/// A table, decoded and sorted.
#[derive(Debug)]
pub struct Table {
    /// What the parts of the key are called.
    pub headings: Vec<String>,
    /// The joined maps: their names and what they hold.
    pub maps: Vec<(String, Aggregation)>,
    /// Of what the maps aggregate.
    pub unit: Unit,
    /// Largest first.
    pub rows: Vec<Row>,
}

/// One key and what the maps have for it.
#[derive(Debug)]
pub struct Row {
    /// The parts of the key, as many as there are headings.
    pub key: Vec<Value>,
    /// One for each map.
    pub cells: Vec<Cell>,
}

/// Joins maps. A key that a map does not have is there as if nothing had been counted for it.
pub fn join(plan: &Plan, store: &Store, ids: &[MapId], headings: &[String], top: u32, unit: Unit) -> Table {
    let maps: Vec<(MapId, &Map, Aggregation)> = ids
        .iter()
        .map(|&id| (id, &plan.maps[id.0 as usize]))
        .filter_map(|(id, map)| map.aggregation().map(|kind| (id, map, kind)))
        .collect();
    let keys: BTreeSet<&[u8]> = maps.iter().flat_map(|&(id, ..)| store.entries(id).map(|(key, _)| key)).collect();
    let mut rows: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let values: Vec<_> = maps
                .iter()
                .map(|&(id, _, kind)| store.get(id, key).cloned().unwrap_or_else(|| Accumulator::new(kind)))
                .collect();
            let rank = maps.iter().zip(&values).map(|(&(.., kind), value)| view::rank(kind, value)).next();
            let cells = maps.iter().zip(&values).map(|(&(.., kind), value)| view::cell(kind, value, 1)).collect();
            let key = maps.first().map_or(Value::Tuple(Vec::new()), |&(_, map, _)| view::decode_key(plan, map, key));
            (Reverse(rank), parts(key), cells)
        })
        .collect();
    rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let top = if top == 0 { rows.len() } else { top as usize };
    Table {
        headings: key_headings(maps.first().and_then(|(_, map, _)| map.key.as_ref()), headings),
        maps: maps.iter().map(|&(_, map, kind)| (map.name.clone(), kind)).collect(),
        unit,
        rows: rows.into_iter().take(top).map(|(_, key, cells)| Row { key, cells }).collect(),
    }
}

/// The headings given for the parts of a key, and names after the shape for those that are not given.
fn key_headings(shape: Option<&Shape>, given: &[String]) -> Vec<String> {
    let shapes = match shape {
        Some(Shape::Tuple(parts)) => parts.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let name = |(index, shape): (usize, &Shape)| match (given.get(index), shape) {
        (Some(given), _) if !given.is_empty() => given.clone(),
        (_, Shape::Syscall) => "syscall".to_owned(),
        (_, Shape::Probe) => "probe".to_owned(),
        _ => "key".to_owned(),
    };
    shapes.iter().enumerate().map(name).collect()
}

fn parts(key: Value) -> Vec<Value> {
    match key {
        Value::Tuple(parts) => parts,
        single => vec![single],
    }
}

impl Table {
    /// The table as text: counts first, then what was measured, numbers to the right, and an empty line at the end.
    pub fn to_text(&self) -> String {
        let empty = self.maps.iter().map(|&(_, kind)| view::cell(kind, &Accumulator::new(kind), 1)).collect();
        let mut heading: Vec<Field> = self.headings.iter().map(|heading| Field::left(heading.clone())).collect();
        heading.extend(self.figures(&empty).into_iter().map(|figure| Field::right(figure.heading)));
        let mut lines = vec![heading];
        for row in &self.rows {
            let mut line: Vec<Field> = row.key.iter().map(key_field).collect();
            line.extend(self.figures(&row.cells).into_iter().map(|figure| Field::right(figure.text)));
            lines.push(line);
        }
        // A heading stands where its numbers stand.
        for column in 0..self.headings.len() {
            lines[0][column].right = lines.get(1).is_some_and(|first| first[column].right);
        }
        align(&lines) + "\n"
    }

    fn figures(&self, cells: &Vec<Cell>) -> Vec<Figure> {
        let several = self.maps.iter().filter(|(_, kind)| matches!(kind, Aggregation::Hdr | Aggregation::Stats { .. }));
        let several = several.count() > 1;
        let figures = self.maps.iter().zip(cells).flat_map(|((name, kind), cell)| {
            let name = name.trim_start_matches('@');
            figures(*kind, name, cell, self.unit, if several { format!("{name} ") } else { String::new() })
        });
        let (counts, measures): (Vec<_>, Vec<_>) = figures.partition(|figure| figure.count);
        counts.into_iter().chain(measures).collect()
    }
}

/// One number of a row.
struct Figure {
    heading: String,
    text: String,
    count: bool,
}

fn figures(kind: Aggregation, name: &str, cell: &Cell, unit: Unit, prefix: String) -> Vec<Figure> {
    let count =
        |heading: &str, number: u64| Figure { heading: heading.to_owned(), text: number.to_string(), count: true };
    let prefixed = |heading: &str| format!("{prefix}{heading}");
    let measure =
        |heading: String, number: u64| Figure { heading, text: measured(i128::from(number), unit), count: false };
    let value = |heading: String, value: &Value| {
        let text = match *value {
            Value::Signed(number) => measured(i128::from(number), unit),
            Value::Unsigned(number) => measured(i128::from(number), unit),
            _ => String::new(),
        };
        Figure { heading, text, count: false }
    };
    match cell {
        Cell::Value(Value::Unsigned(number)) if kind == Aggregation::Count => vec![count(name, *number)],
        Cell::Value(single) => vec![value(name.to_owned(), single)],
        Cell::Stats { count: number, average, total } => {
            vec![count(&prefixed("count"), *number), value(prefixed("avg"), average), value(prefixed("total"), total)]
        }
        Cell::Histogram(buckets) => vec![count(name, buckets.iter().map(|bucket| bucket.count).sum())],
        Cell::Hdr(hdr) => {
            let mut figures = vec![count(&prefixed("count"), hdr.count)];
            let percentiles = PERCENTILES.iter().zip(hdr.at);
            figures.extend(percentiles.map(|((name, _), at)| measure(prefixed(&format!("p{name}")), at)));
            figures.extend([measure(prefixed("max"), hdr.max), measure(prefixed("total"), hdr.total)]);
            figures
        }
    }
}

fn key_field(value: &Value) -> Field {
    let mut text = Vec::new();
    value.write_text(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    Field { text, right: matches!(value, Value::Signed(_) | Value::Unsigned(_)) }
}

fn measured(number: i128, unit: Unit) -> String {
    match unit {
        Unit::Plain => number.to_string(),
        Unit::Nanoseconds if number < 0 => format!("-{}", duration(-number)),
        Unit::Nanoseconds => duration(number),
    }
}

/// A time with three significant digits: `415 ns`, `1.06 us`, `12.3 ms`, `1.20  s`.
fn duration(ns: i128) -> String {
    if ns < 1000 {
        return format!("{ns} ns");
    }
    let (value, unit) = [(1e3, "us"), (1e6, "ms"), (1e9, " s")]
        .into_iter()
        .map(|(size, unit)| (ns as f64 / size, unit))
        .find(|&(value, unit)| value < 999.5 || unit == " s")
        .unwrap_or((ns as f64, "ns"));
    let decimals = match value {
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// A field of a line of aligned text.
#[derive(Clone, Debug)]
pub struct Field {
    text: String,
    right: bool,
}

impl Field {
    /// Text that begins where its column begins.
    pub fn left(text: String) -> Field {
        Field { text, right: false }
    }

    /// Text that ends where its column ends.
    pub fn right(text: String) -> Field {
        Field { text, right: true }
    }
}

/// Lines whose columns stand below each other, two spaces apart. All lines have as many fields as the first.
pub fn align(lines: &[Vec<Field>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut fields = String::new();
        for (Field { text, right }, &width) in line.iter().zip(&widths) {
            let field = if *right { format!("{text:>width$}  ") } else { format!("{text:<width$}  ") };
            fields.push_str(&field);
        }
        text.push_str(fields.trim_end());
        text.push('\n');
    }
    text
}
