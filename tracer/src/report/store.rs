//! What aggregations have come to: partial values from the kernel go in, merged values are read.
//!
//! The kernel's maps are buffers that are emptied whenever they are read, so the totals are kept here, by map and key.
//! All merging is adding and comparing of integers: parts make the whole, in whatever order they come.

use std::collections::BTreeMap;

use bytes::Buf;
use tracer_common::agg;

use crate::plan::{Aggregation, Map, MapId, Plan, Series, SeriesFunction, Value};

/// The merged values of all aggregation maps.
#[derive(Clone, Debug)]
pub struct Store {
    maps: Vec<BTreeMap<Box<[u8]>, Accumulator>>,
}

/// The merged value of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accumulator {
    /// Exact figures.
    pub totals: Totals,
    /// How many values fell into each bucket of a histogram, by the numbers of `tracer_common::bucket`; else empty.
    pub counts: Vec<u64>,
    /// The figures of each interval of a series, by its number; else empty.
    pub series: BTreeMap<u64, Totals>,
}

/// Exact figures. Which of them are kept depends on the aggregation; `min` and `max` mean nothing while `count` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many updates.
    pub count: u64,
    /// Their total, wrapping, in the argument's signedness.
    pub total: u64,
    /// The smallest, in the argument's signedness.
    pub min: u64,
    /// The largest, in the argument's signedness.
    pub max: u64,
}

impl Store {
    /// An empty store for the maps of a plan.
    pub fn new(plan: &Plan) -> Store {
        Store { maps: vec![BTreeMap::new(); plan.maps.len()] }
    }

    /// Adds the partial values of one key, one after the other, each of `map.value_size()` bytes: of CPUs that
    /// have seen it.
    ///
    /// The key is without generation. Nothing happens if no CPU has counted anything: an array has all keys always.
    pub fn merge(&mut self, id: MapId, map: &Map, key: &[u8], mut partials: &[u8]) {
        let Value::Aggregation(aggregation) = map.value else { return };
        let words: Vec<u64> = (0..partials.len() / 8).map(|_| partials.get_u64_le()).collect();
        let mut partials =
            words.chunks_exact(map.value_size() as usize / 8).filter(|partial| partial[0] != 0).peekable();
        if let (Aggregation::Series(series), Some((key, mut number))) =
            (aggregation, key.split_last_chunk::<8>().map(|(key, number)| (key, &number[..])))
        {
            if partials.peek().is_some() {
                let entry = self.maps[id.0 as usize].entry(key.into()).or_default();
                let figures = entry.series.entry(number.get_u64_le()).or_default();
                partials.for_each(|partial| figures.add_interval(series, partial));
            }
        } else if partials.peek().is_some() {
            let entry = self.maps[id.0 as usize].entry(key.into());
            let accumulator = entry.or_insert_with(|| Accumulator::new(aggregation));
            partials.for_each(|partial| accumulator.add(aggregation, partial));
        }
    }

    /// The same for a value that is whole in the kernel. A key that is there is a key of the map, whatever it holds: who
    /// zeroes a map keeps its keys.
    pub fn take(&mut self, id: MapId, map: &Map, key: &[u8], value: &[u8]) {
        if let Value::Aggregation(aggregation) = map.value {
            self.maps[id.0 as usize].entry(key.into()).or_insert_with(|| Accumulator::new(aggregation));
            self.merge(id, map, key, value);
        }
    }

    /// The keys of a map, in byte order, with their values.
    pub fn entries(&self, map: MapId) -> impl ExactSizeIterator<Item = (&[u8], &Accumulator)> {
        self.maps[map.0 as usize].iter().map(|(key, value)| (&**key, value))
    }

    /// The value of one key.
    pub fn get(&self, map: MapId, key: &[u8]) -> Option<&Accumulator> {
        self.maps[map.0 as usize].get(key)
    }

    /// Forgets all but the last intervals of a series, counted from the last one of any key. Gives the number of that.
    pub fn keep_last(&mut self, map: MapId, series: Series) -> Option<u64> {
        let keys = &mut self.maps[map.0 as usize];
        let last = keys.values().filter_map(|value| value.series.last_key_value()).map(|(&number, _)| number).max()?;
        let first = (last + 1).saturating_sub(series.intervals.into());
        for value in keys.values_mut() {
            value.series = value.series.split_off(&first);
        }
        Some(last)
    }

    /// Forgets all keys.
    pub fn clear(&mut self, map: MapId) {
        self.maps[map.0 as usize].clear();
    }

    /// Forgets a key.
    pub fn remove(&mut self, map: MapId, key: &[u8]) {
        self.maps[map.0 as usize].remove(key);
    }

    /// Keeps the keys and empties their values.
    pub fn zero(&mut self, map: MapId) {
        for accumulator in self.maps[map.0 as usize].values_mut() {
            accumulator.totals = Totals::default();
            accumulator.counts.fill(0);
            accumulator.series.clear();
        }
    }
}

impl Accumulator {
    /// The empty value of an aggregation.
    pub fn new(aggregation: Aggregation) -> Accumulator {
        Accumulator { totals: Totals::default(), counts: vec![0; aggregation.buckets()], series: BTreeMap::new() }
    }

    /// Adds a partial value as the kernel lays it out: the figures that the aggregation has, then its buckets.
    fn add(&mut self, aggregation: Aggregation, partial: &[u64]) {
        let (figures, counts) = partial.split_at(partial.len() - self.counts.len());
        self.totals.add(Totals::of(aggregation, figures), aggregation.signed());
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += count;
        }
    }
}

impl Totals {
    /// The figures of a partial value.
    fn of(aggregation: Aggregation, figures: &[u64]) -> Totals {
        match *figures {
            [count, total, min, max] => match aggregation {
                Aggregation::Min { signed } => Totals { count, total, min: agg::rank(min, signed, true), max: 0 },
                Aggregation::Max { signed } => Totals { count, total, min: 0, max: agg::rank(max, signed, false) },
                _ => Totals { count, total, min, max },
            },
            _ => Totals { count: figures[0], ..Totals::default() },
        }
    }

    /// Adds a partial value of an interval. Of the last numbers that each CPU has seen, the latest stays.
    fn add_interval(&mut self, series: Series, partial: &[u64]) {
        match series.figures() {
            Some(figures) => self.add(Totals::of(figures, partial), series.signed),
            None if self.count == 0 || partial[3] >= self.max => {
                let count = self.count + partial[0];
                *self = Totals { count, total: partial[1], min: 0, max: partial[3] };
            }
            None => self.count += partial[0],
        }
    }

    /// What an interval has come to.
    pub fn of_interval(&self, series: Series) -> u64 {
        match series.function {
            SeriesFunction::Last | SeriesFunction::Sum => self.total,
            SeriesFunction::Avg => self.average(series.signed),
            SeriesFunction::Min => self.min,
            SeriesFunction::Max => self.max,
        }
    }

    fn add(&mut self, other: Totals, signed: bool) {
        let less = |a: u64, b: u64| if signed { (a as i64) < b as i64 } else { a < b };
        if self.count == 0 || less(other.min, self.min) {
            self.min = other.min;
        }
        if self.count == 0 || less(self.max, other.max) {
            self.max = other.max;
        }
        self.count += other.count;
        self.total = self.total.wrapping_add(other.total);
    }

    /// The mean, cut off towards zero, in the argument's signedness; 0 of nothing.
    pub fn average(&self, signed: bool) -> u64 {
        match self.count {
            0 => 0,
            count if signed => (self.total as i64 / count as i64) as u64,
            count => self.total / count,
        }
    }
}
