//! What aggregations have come to: partial values from the kernel go in, merged values are read.
//!
//! The kernel's maps are buffers that are emptied whenever they are read, so the totals are kept here, by map and key.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use tracer_common::bucket;

use crate::plan::{Aggregation, Map, MapId, Plan, Value};

/// The merged values of all aggregation maps.
#[derive(Debug)]
pub struct Store {
    maps: Vec<BTreeMap<Box<[u8]>, Accumulator>>,
}

/// The merged value of one key.
#[derive(Clone, Debug)]
pub enum Accumulator {
    /// `count`, `sum`, `avg`, `min`, `max`, `stats`.
    Number(Totals),
    /// `hist` and `lhist`: how many values fell into each bucket of `tracer_common::bucket`.
    Buckets(Vec<u64>),
    /// `hdr`.
    Hdr(Hdr),
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

/// A histogram for percentiles with exact count, total and extremes.
#[derive(Clone, Debug)]
pub struct Hdr {
    /// Exact figures, unsigned.
    pub totals: Totals,
    /// Every value as the lower bound of its bucket.
    pub histogram: Histogram<u64>,
}

impl Store {
    /// An empty store for the maps of a plan.
    pub fn new(plan: &Plan) -> Store {
        Store { maps: vec![BTreeMap::new(); plan.maps.len()] }
    }

    /// Adds the partial values of one key, one for each CPU and one after the other, each of `map.value_size()` bytes.
    ///
    /// The key is without generation. Nothing happens if no CPU has counted anything: an array has all keys always.
    pub fn merge(&mut self, id: MapId, map: &Map, key: &[u8], partials: &[u8]) {
        let Value::Aggregation(aggregation) = map.value else { return };
        let words: Vec<u64> = partials.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect();
        for partial in words.chunks_exact(map.value_size() as usize / 8).filter(|partial| partial[0] != 0) {
            let entry = self.maps[id.0 as usize].entry(key.into());
            entry.or_insert_with(|| Accumulator::new(aggregation)).add(aggregation, partial);
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

    /// Forgets one key.
    pub fn delete(&mut self, map: MapId, key: &[u8]) {
        self.maps[map.0 as usize].remove(key);
    }

    /// Forgets all keys.
    pub fn clear(&mut self, map: MapId) {
        self.maps[map.0 as usize].clear();
    }

    /// Keeps the keys and empties their values.
    pub fn zero(&mut self, map: MapId) {
        self.maps[map.0 as usize].values_mut().for_each(Accumulator::zero);
    }
}

impl Accumulator {
    /// The empty value of an aggregation.
    pub fn new(aggregation: Aggregation) -> Accumulator {
        match aggregation {
            Aggregation::Count
            | Aggregation::Sum { .. }
            | Aggregation::Avg { .. }
            | Aggregation::Min { .. }
            | Aggregation::Max { .. }
            | Aggregation::Stats { .. } => Accumulator::Number(Totals::default()),
            Aggregation::Hist { bits } => Accumulator::Buckets(vec![0; bucket::log2_buckets(bits)]),
            Aggregation::Linear { min, max, step } => {
                Accumulator::Buckets(vec![0; bucket::linear_buckets(min, max, step)])
            }
            Aggregation::Hdr => Accumulator::Hdr(Hdr { totals: Totals::default(), histogram: empty_histogram() }),
        }
    }

    fn add(&mut self, aggregation: Aggregation, partial: &[u64]) {
        match self {
            Accumulator::Number(totals) => totals.add(partial, aggregation.signed()),
            Accumulator::Buckets(buckets) => {
                for (sum, count) in buckets.iter_mut().zip(&partial[1..]) {
                    *sum += count;
                }
            }
            Accumulator::Hdr(hdr) => {
                hdr.totals.add(partial, false);
                for (index, &count) in (0..).zip(&partial[4..]).filter(|&(_, &count)| count != 0) {
                    hdr.histogram.saturating_record_n(bucket::hdr_bounds(index).0, count);
                }
            }
        }
    }

    fn zero(&mut self) {
        match self {
            Accumulator::Number(totals) => *totals = Totals::default(),
            Accumulator::Buckets(buckets) => buckets.fill(0),
            Accumulator::Hdr(hdr) => {
                hdr.totals = Totals::default();
                hdr.histogram.reset();
            }
        }
    }
}

impl Totals {
    /// Adds a `tracer_common::agg::Stats`, or the `Count` that is its beginning.
    fn add(&mut self, partial: &[u64], signed: bool) {
        let &[count, total, min, max] = partial.first_chunk().unwrap_or(&[partial[0], 0, 0, 0]);
        let less = |a: u64, b: u64| if signed { (a as i64) < b as i64 } else { a < b };
        if self.count == 0 || less(min, self.min) {
            self.min = min;
        }
        if self.count == 0 || less(self.max, max) {
            self.max = max;
        }
        self.count += count;
        self.total = self.total.wrapping_add(total);
    }
}

/// The histogram whose buckets `bucket::hdr_index` numbers.
fn empty_histogram() -> Histogram<u64> {
    Histogram::new(1).expect("one significant figure is a valid precision")
}
