//! Several aggregations with the same key, joined to a table: one row a key.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::event::PERCENTILES;
use super::layout::{self, Field};
use super::store::{Accumulator, Store};
use super::value::Value;
use super::view;
use super::world::Names;
use crate::plan::{Aggregation, Map, MapId, Shape, Unit};

/// A table, decoded and sorted.
#[derive(Debug)]
pub struct Table {
    /// What the parts of the key are called.
    pub headings: Vec<String>,
    /// The joined maps: their names and what they aggregate.
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
    /// One for each map; empty ones where a map does not have the key.
    pub values: Vec<Accumulator>,
}

/// Joins maps; those that are no aggregations, which analysis does not let through, are left out.
pub fn join(names: Names<'_>, store: &Store, ids: &[MapId], headings: &[String], top: u32, unit: Unit) -> Table {
    let aggregation = |&id: &MapId| {
        let map = &names.plan.maps[id.0 as usize];
        map.aggregation().map(|kind| (id, map, kind))
    };
    let maps: Vec<(MapId, &Map, Aggregation)> = ids.iter().filter_map(aggregation).collect();
    let Some(&(_, first, order)) = maps.first() else {
        return Table { headings: Vec::new(), maps: Vec::new(), unit, rows: Vec::new() };
    };
    let keys: BTreeSet<&[u8]> = maps.iter().flat_map(|&(id, ..)| store.entries(id).map(|(key, _)| key)).collect();
    let row = |key: &[u8]| {
        let value = |&(id, _, kind)| store.get(id, key).cloned().unwrap_or_else(|| Accumulator::new(kind));
        let key = match view::decode_key(names, first, key) {
            Value::Tuple(parts) => parts,
            single => vec![single],
        };
        Row { key, values: maps.iter().map(value).collect() }
    };
    let mut rows: Vec<Row> = keys.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        let rank = |row: &Row| Reverse(view::rank(order, &row.values[0]));
        (rank(a), &a.key).cmp(&(rank(b), &b.key))
    });
    if top != 0 {
        rows.truncate(top as usize);
    }
    Table {
        headings: key_headings(first.key.as_ref(), headings),
        maps: maps.iter().map(|&(_, map, kind)| (map.name.clone(), kind)).collect(),
        unit,
        rows,
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

impl Table {
    /// The table as text: counts first, then what was measured, numbers to the right, and an empty line at the end.
    pub fn to_text(&self) -> String {
        let right = |column: usize| {
            let numeric = |row: &Row| matches!(row.key[column], Value::Signed(_) | Value::Unsigned(_));
            self.rows.first().is_some_and(numeric)
        };
        let line = |key: Vec<String>, figures: Vec<String>| -> Vec<Field> {
            let key = key.into_iter().enumerate().map(|(column, text)| Field { text, right: right(column) });
            key.chain(figures.into_iter().map(Field::right)).collect()
        };
        let empty: Vec<Accumulator> = self.maps.iter().map(|&(_, kind)| Accumulator::new(kind)).collect();
        let headings = self.figures(&empty).into_iter().map(|figure| figure.heading).collect();
        let mut lines = vec![line(self.headings.clone(), headings)];
        for row in &self.rows {
            let figures = self.figures(&row.values).into_iter().map(|figure| figure.number.to_text(self.unit));
            lines.push(line(row.key.iter().map(Value::to_text).collect(), figures.collect()));
        }
        layout::align(&lines) + "\n"
    }

    /// The numbers of a row in the order of its columns.
    fn figures(&self, values: &[Accumulator]) -> Vec<Figure> {
        let wide = |kind| matches!(kind, Aggregation::Hdr | Aggregation::Stats { .. });
        let several = self.maps.iter().filter(|&&(_, kind)| wide(kind)).count() > 1;
        let figures = self.maps.iter().zip(values).flat_map(|((name, kind), value)| {
            let name = name.trim_start_matches('@');
            let prefix = if several { format!("{name} ") } else { String::new() };
            figures(*kind, value).into_iter().map(move |(column, number)| {
                let heading = if column.is_empty() { name.to_owned() } else { format!("{prefix}{column}") };
                Figure { heading, number }
            })
        });
        let (counts, measures): (Vec<_>, Vec<_>) =
            figures.partition(|figure| matches!(figure.number, Number::Count(_)));
        counts.into_iter().chain(measures).collect()
    }
}

/// One number of a row and what stands above it.
struct Figure {
    heading: String,
    number: Number,
}

enum Number {
    Count(u64),
    /// In the table's unit; `None` if nothing was measured.
    Measure(Option<i128>),
}

/// What is shown of an aggregation: columns, a single one without a name, and their numbers.
fn figures(kind: Aggregation, value: &Accumulator) -> Vec<(String, Number)> {
    let totals = &value.totals;
    let any = totals.count > 0;
    let number = |bits: u64| if kind.signed() { i128::from(bits as i64) } else { i128::from(bits) };
    let measure = |bits: u64| Number::Measure(any.then(|| number(bits)));
    let single = |number| vec![(String::new(), number)];
    match kind {
        Aggregation::Count | Aggregation::Hist { .. } | Aggregation::Linear { .. } => {
            single(Number::Count(totals.count))
        }
        Aggregation::Sum { .. } => single(Number::Measure(Some(number(totals.total)))),
        Aggregation::Avg { signed } => single(measure(totals.average(signed))),
        Aggregation::Min { .. } => single(measure(totals.min)),
        Aggregation::Max { .. } => single(measure(totals.max)),
        Aggregation::Stats { signed } => vec![
            ("count".to_owned(), Number::Count(totals.count)),
            ("avg".to_owned(), measure(totals.average(signed))),
            ("total".to_owned(), measure(totals.total)),
        ],
        Aggregation::Series(_) => unreachable!("analysis makes no column of a series"),
        Aggregation::Hdr => {
            let percentiles = PERCENTILES.iter().zip(view::percentiles(value).at);
            let mut columns = vec![("count".to_owned(), Number::Count(totals.count))];
            columns.extend(percentiles.map(|((name, _), at)| (format!("p{name}"), measure(at))));
            columns.extend([("max".to_owned(), measure(totals.max)), ("total".to_owned(), measure(totals.total))]);
            columns
        }
    }
}

impl Number {
    fn to_text(&self, unit: Unit) -> String {
        match (self, unit) {
            (Number::Count(count), _) => count.to_string(),
            (Number::Measure(None), _) => "-".to_owned(),
            (Number::Measure(Some(number)), Unit::Plain) => number.to_string(),
            (Number::Measure(Some(ns)), Unit::Nanoseconds) if *ns < 0 => format!("-{}", layout::duration(-ns)),
            (Number::Measure(Some(ns)), Unit::Nanoseconds) => layout::duration(*ns),
        }
    }
}
