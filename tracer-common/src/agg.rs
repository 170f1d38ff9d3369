//! Layouts of the values that aggregations keep in the kernel's maps.
//!
//! All of them merge by adding or comparing, so a partial value can be taken out at any time and merged later.
//! Everything is 8-byte aligned and little-endian, as the kernel wants per-CPU values.
//! A value of all zero bytes is the empty aggregation, which is how an entry is made.

use crate::bucket::{HDR_BUCKETS, LOG2_MAX_BITS, log2_buckets};

/// Every key of an aggregation map begins with the generation it belongs to, a `u64` of 0 or 1. Where the map has a key
/// for each CPU instead of a value for each, the CPU's number is in the upper half.
///
/// User space reads a map by moving on to the next generation and waiting until no program can still be writing to the
/// old one, whose entries are then final: nothing is counted twice, and nothing is lost between reading and clearing.
/// In an array map, which has no such keys, the index is `(generation & 1) * entries + index`.
///
/// The next bit of a generation is its *period*: it changes when user space reads a map to empty it, and not when it reads
/// it to print it. The keys of a period are bounded: see [`key_count`].
pub const GENERATION_SIZE: usize = 8;

/// How far a generation is shifted to give its period.
pub const PERIOD_SHIFT: u32 = 1;

/// Most maps of a script: the length of `GENERATIONS`, the runtime's array of each map's current generation (`u64`, from 0).
pub const MAX_MAPS: usize = 1024;

/// The index into `KEYS`, the runtime's array of how many keys there are (`u64`), of the count that programs keep for a map
/// and a period, 0 or 1. Behind it is that of the keys that user space has put into the map itself.
///
/// A key is counted before it is made, so that there are never more than the script allows, and the count is taken back if
/// there is one already. Of an aggregation whose keys are delta buffers of each CPU's, those of a period are listed in a
/// hash of their own, which a program looks into where it would make an entry; its keys have the period in the place of
/// the generation. What is whole in the kernel is counted by its generations.
pub const fn key_count(map: u32, period: u64) -> u32 {
    map * 4 + (period as u32 & 1) * 2
}

/// Length of `KEYS`.
pub const KEY_COUNTS: u32 = MAX_MAPS as u32 * 4;

/// Room for the largest value of an aggregation map, in bytes; entries are made by copying from a map of zeros.
pub const MAX_VALUE_SIZE: usize = 16384;

/// `count()`: how many times. Also the head of every other aggregation, so that an untouched array entry can be told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Updates since the value was made.
    pub count: u64,
}

/// `sum(n)`, `avg(n)`, `min(n)`, `max(n)` and `stats(n)`.
///
/// `min` and `max` mean nothing while `count` is 0; each aggregation maintains only the fields it reports. The one that
/// `min(n)` and `max(n)` maintain holds a [`rank`], so that the larger one always stays and 0 is as good as nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Updates since the value was made.
    pub count: u64,
    /// Their total, wrapping, signed or unsigned as the argument's type.
    pub total: u64,
    /// The smallest, in the argument's signedness.
    pub min: u64,
    /// The largest, in the argument's signedness.
    pub max: u64,
}

/// What is compared in the place of a number, unsigned: of what `max(n)` has seen the largest stays, and of what `min(n)` has
/// seen, `smallest`, the smallest has the largest rank. 0 is the rank of a number that none is behind.
pub const fn rank(number: u64, signed: bool, smallest: bool) -> u64 {
    number ^ rank_mask(signed, smallest)
}

/// What makes a number its rank, by exclusive or, and a rank its number.
pub const fn rank_mask(signed: bool, smallest: bool) -> u64 {
    let sign = if signed { 1 << 63 } else { 0 };
    if smallest { !sign } else { sign }
}

/// `hist(n, k)` and `lhist(n, min, max, step)`: this head, then a `u64` for each bucket.
pub type HistHead = Count;

/// `hdr(n)`: a log-linear histogram with exact count, total and extremes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Hdr {
    /// Exact count, total, smallest and largest; the argument is unsigned.
    pub stats: Stats,
    /// How many values fell into each bucket of [`crate::bucket::hdr_index`].
    pub buckets: [u64; HDR_BUCKETS],
}

const _: () = assert!(size_of::<Hdr>() <= MAX_VALUE_SIZE);
const _: () = assert!(size_of::<HistHead>() + 8 * log2_buckets(LOG2_MAX_BITS) <= MAX_VALUE_SIZE);
