//! What a map holds → what is printed of it: decoded, sorted, cut to the top, divided.
//!
//! The order is bpftrace's: numbers and averages by value, histograms by their count, smallest first, all else by key;
//! where bpftrace leaves the order of equals to the kernel, it is the keys'. An `hdr` goes by its total.

use hdrhistogram::Histogram;
use tracer_common::bucket;

use super::event::{Bucket, Cell, Contents, Interval, Kind, MapView, PERCENTILES, Percentiles};
use super::store::Accumulator;
use super::value::Value;
use super::world::Names;
use crate::plan::{Aggregation, Map, Series, Shape};

/// How `print` was asked to show a map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// Only the largest so many; 0: all.
    pub top: u32,
    /// Values are divided by this; 0 and 1: not at all.
    pub div: u32,
}

/// What entries are sorted by before their keys; within one map, always the same variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// Nothing.
    None,
}

/// Shows an aggregation.
pub fn aggregation<'a, 'e>(
    names: Names<'_>,
    map: &'a Map,
    kind: Aggregation,
    entries: impl Iterator<Item = (&'e [u8], &'e Accumulator)>,
    selection: Selection,
) -> MapView<'a> {
    // As in bpftrace, whatever is asked for, all of its keys are shown.
    if let Aggregation::Series(series) = kind {
        let entries: Vec<_> = entries.collect();
        let last =
            entries.iter().filter_map(|(_, value)| value.series.last_key_value()).map(|(&number, _)| number).max();
        let row = |(key, value): &(&[u8], &Accumulator)| {
            (Rank::None, decode_key(names, map, key), Cell::Series(intervals(names, series, value, last.unwrap_or(0))))
        };
        return view(map, Kind::Series, entries.iter().map(row).collect(), 0);
    }
    let rows =
        entries.map(|(key, value)| (rank(kind, value), decode_key(names, map, key), cell(kind, value, selection.div)));
    view(map, kind_of(kind), rows.collect(), selection.top)
}

/// Shows a map of plain values: keys and values as bytes.
pub fn plain<'a>(
    names: Names<'_>,
    map: &'a Map,
    shape: &Shape,
    entries: &[(Vec<u8>, Vec<u8>)],
    selection: Selection,
) -> MapView<'a> {
    let rows = entries.iter().map(|(key, bytes)| {
        let value = Value::decode(shape, bytes, names);
        let rank = match value {
            Value::Signed(number) => Rank::Signed(number),
            Value::Unsigned(number) => Rank::Unsigned(number),
            _ => Rank::None,
        };
        (rank, decode_key(names, map, key), Cell::Value(value.divided(divisor(selection.div))))
    });
    view(map, Kind::Plain, rows.collect(), selection.top)
}

/// Decodes a key; that of a map without a key is an empty tuple.
pub fn decode_key(names: Names<'_>, map: &Map, key: &[u8]) -> Value {
    map.key.as_ref().map_or(Value::Tuple(Vec::new()), |shape| Value::decode(shape, key, names))
}

/// What an aggregation is sorted by. Extremes count as unsigned even if they are signed, as in bpftrace.
pub fn rank(kind: Aggregation, value: &Accumulator) -> Rank {
    let totals = &value.totals;
    let number = |bits: u64| if kind.signed() { Rank::Signed(bits as i64) } else { Rank::Unsigned(bits) };
    match kind {
        Aggregation::Count | Aggregation::Hist { .. } | Aggregation::Linear { .. } => Rank::Unsigned(totals.count),
        Aggregation::Sum { .. } | Aggregation::Hdr => number(totals.total),
        Aggregation::Avg { signed } | Aggregation::Stats { signed } => number(totals.average(signed)),
        Aggregation::Min { .. } => Rank::Unsigned(totals.min),
        Aggregation::Max { .. } => Rank::Unsigned(totals.max),
        Aggregation::Series(_) => Rank::None,
    }
}

/// The intervals of one key, up to that of number `last`.
fn intervals(names: Names<'_>, series: Series, value: &Accumulator, last: u64) -> Vec<Interval> {
    let Some((&first, _)) = value.series.first_key_value() else { return Vec::new() };
    let number = |bits: u64| if series.signed { Value::Signed(bits as i64) } else { Value::Unsigned(bits) };
    let interval = |at: u64| {
        let start = at.wrapping_mul(series.interval);
        let second = names.world.atomic_time("%Y-%m-%d %H:%M:%S", start);
        Interval { start, second, value: value.series.get(&at).map(|figures| number(figures.of_interval(series))) }
    };
    (first..=last).map(interval).collect()
}

/// The value of one key of an aggregation, divided by `div` unless that is 0.
pub fn cell(kind: Aggregation, value: &Accumulator, div: u32) -> Cell {
    let totals = &value.totals;
    let number = |bits: u64| if kind.signed() { Value::Signed(bits as i64) } else { Value::Unsigned(bits) };
    let divided = |bits: u64| number(bits).divided(divisor(div));
    match kind {
        Aggregation::Count => Cell::Value(divided(totals.count)),
        Aggregation::Sum { .. } => Cell::Value(divided(totals.total)),
        Aggregation::Min { .. } => Cell::Value(divided(totals.min)),
        Aggregation::Max { .. } => Cell::Value(divided(totals.max)),
        Aggregation::Avg { signed } => Cell::Value(divided(totals.average(signed))),
        Aggregation::Stats { signed } => {
            Cell::Stats { count: totals.count, average: divided(totals.average(signed)), total: number(totals.total) }
        }
        Aggregation::Hist { bits } => Cell::Histogram(occupied(&value.counts, |index| {
            let (min, max) = bucket::log2_bounds(index, bits);
            let label = label(log2_label(index, bits), log2_label(index + 1, bits), max == min);
            Bucket {
                label,
                min: (index > 0).then_some(min),
                max: Some(max),
                count: value.counts[index as usize] / u64::from(div.max(1)),
            }
        })),
        Aggregation::Linear { min: from, step, .. } => {
            let last = value.counts.len() as u32 - 1;
            Cell::Histogram(occupied(&value.counts, |index| {
                let low = (index > 0).then(|| from + (i64::from(index) - 1) * step);
                let high = (index < last).then(|| from + i64::from(index) * step);
                let [from, to] = [low, high].map(|bound| bound.map(|bound| linear_label(bound, step)));
                Bucket {
                    label: label(from, to, step == 1 && low.is_some()),
                    min: low,
                    max: high.map(|high| high - 1),
                    count: value.counts[index as usize],
                }
            }))
        }
        Aggregation::Hdr => Cell::Hdr(percentiles(value)),
        Aggregation::Series(_) => unreachable!("a series is shown whole"),
    }
}

fn kind_of(aggregation: Aggregation) -> Kind {
    match aggregation {
        Aggregation::Count | Aggregation::Sum { .. } | Aggregation::Min { .. } | Aggregation::Max { .. } => Kind::Plain,
        Aggregation::Avg { .. } | Aggregation::Stats { .. } => Kind::Stats,
        Aggregation::Hist { .. } | Aggregation::Linear { .. } => Kind::Histogram,
        Aggregation::Hdr => Kind::Hdr,
        Aggregation::Series(_) => Kind::Series,
    }
}

fn view(map: &Map, kind: Kind, mut rows: Vec<(Rank, Value, Cell)>, top: u32) -> MapView<'_> {
    rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let skipped = if top == 0 { 0 } else { rows.len().saturating_sub(top as usize) };
    let mut rows: Vec<_> = rows.into_iter().skip(skipped).map(|(_, key, cell)| (key, cell)).collect();
    let contents = match rows.pop_if(|_| map.key.is_none()) {
        Some((_, cell)) => Contents::Scalar(cell),
        None => Contents::Keyed(rows),
    };
    MapView { name: &map.name, kind, contents }
}

fn divisor(div: u32) -> i64 {
    i64::from(div.max(1))
}

/// From the first to the last bucket that anything fell into.
fn occupied(counts: &[u64], bucket: impl Fn(u32) -> Bucket) -> Vec<Bucket> {
    let occupied = |count: &u64| *count != 0;
    match (counts.iter().position(occupied), counts.iter().rposition(occupied)) {
        (Some(first), Some(last)) => (first as u32..=last as u32).map(bucket).collect(),
        _ => Vec::new(),
    }
}

/// Both bounds as text. `single`: only one value lies between them.
fn label(low: Option<String>, high: Option<String>, single: bool) -> String {
    match (low, high) {
        (Some(low), Some(_)) if single => format!("[{low}]"),
        (Some(low), Some(high)) => format!("[{low}, {high})"),
        (Some(low), None) => format!("[{low}, ...)"),
        (None, high) => format!("(..., {})", high.unwrap_or_default()),
    }
}

/// The lower bound of a power-of-two bucket, `None` for that of the negative values.
///
/// Beyond the buckets of width one, it is cut by 1024 for every ten doublings of the *width*: with two bits, the bucket
/// of width 256 is `[1024, 1280)` and that of width 1024 `[4K, 5K)`.
fn log2_label(index: u32, bits: u32) -> Option<String> {
    let index = index.checked_sub(1)?;
    if index <= 2 << bits {
        return Some(index.to_string());
    }
    let power = (index >> bits) - 1;
    let steps = u64::from((index & ((1 << bits) - 1)) + (1 << bits));
    let unit = ["", "K", "M", "G", "T", "P", "E"][power as usize / 10];
    Some(format!("{}{unit}", steps << (power % 10)))
}

/// A bound of a bucket of equal steps, cut by 1024 if the step is a multiple of 1024.
fn linear_label(bound: i64, step: i64) -> String {
    const K: i64 = 1024;
    match bound {
        0 => "0".to_owned(),
        _ if step % K != 0 => bound.to_string(),
        _ if bound % (K * K) == 0 => format!("{}M", bound / (K * K)),
        _ if bound % K == 0 => format!("{}K", bound / K),
        _ => bound.to_string(),
    }
}

/// The percentiles of an `hdr`: bounds of buckets, but never beyond the exact extremes.
pub fn percentiles(value: &Accumulator) -> Percentiles {
    let totals = &value.totals;
    let mut histogram = Histogram::<u64>::new_with_bounds(1, u64::MAX, 1).expect("constant bounds, known to be valid");
    let mut buckets = Vec::new();
    for (index, &count) in (0..).zip(&value.counts).filter(|&(_, &count)| count != 0) {
        let (low, high) = bucket::hdr_bounds(index);
        histogram.saturating_record_n(low, count);
        buckets.push((low, high, count));
    }
    let at = PERCENTILES.map(|(_, share)| histogram.value_at_quantile(share).min(totals.max).max(totals.min));
    Percentiles { count: totals.count, total: totals.total, min: totals.min, max: totals.max, at, buckets }
}
