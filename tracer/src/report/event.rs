//! What there is to be seen, decoded and in order: the one thing that both styles are given.

use super::table::Table;
use super::value::Value;
use super::{Location, Meta, Summary};
use crate::plan::Severity;
use tracer_common::failure::Failed;

/// Something to be written.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Before everything else.
    Meta(&'a Meta),
    /// So many probes are attached.
    Attached(u64),
    /// Text that is printed as it is.
    Output(Output, &'a [u8]),
    /// What `warnf` and `errorf` say, and where.
    Message(Severity, &'a Location, &'a str),
    /// What has failed, and where.
    Failure(Failed, &'a str, &'a Location),
    /// What `print(value)` and `print(@map[key])` print.
    Value(&'a Cell),
    /// A whole map.
    Map(&'a MapView<'a>),
    /// Maps joined.
    Table(&'a Table),
    /// The script is done; the maps that are printed at the end follow.
    End,
    /// An interval of `--interval` is over.
    Interval,
    /// After everything else.
    Summary(&'a Summary),
}

/// What a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `printf`.
    Printf,
    /// `time`.
    Time,
    /// `cat`.
    Cat,
    /// `join`; a line break follows.
    Join,
    /// `system`; a line break follows.
    System,
}

/// The contents of a map, sorted, cut to the top and divided as `print` was asked to.
#[derive(Debug)]
pub struct MapView<'a> {
    /// As the script names it.
    pub name: &'a str,
    /// Which kind of contents it has, also when it has none.
    pub kind: Kind,
    /// What it holds.
    pub contents: Contents,
}

/// The kinds of map contents that are written differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain values, counts, sums, extremes.
    Plain,
    /// `avg` and `stats`.
    Stats,
    /// `hist` and `lhist`.
    Histogram,
    /// `hdr`.
    Hdr,
    /// `tseries`.
    Series,
}

/// With or without keys.
#[derive(Debug)]
pub enum Contents {
    /// A map without a key, which has been assigned to.
    Scalar(Cell),
    /// Keys and values in the order of printing.
    Keyed(Vec<(Value, Cell)>),
}

/// The value of one key.
#[derive(Debug)]
pub enum Cell {
    /// A single value.
    Value(Value),
    /// `stats`.
    Stats {
        /// How many values there were.
        count: u64,
        /// Their mean.
        average: Value,
        /// Their sum.
        total: Value,
    },
    /// `hist` and `lhist`: from the first to the last bucket that is not empty.
    Histogram(Vec<Bucket>),
    /// `hdr`.
    Hdr(Percentiles),
    /// `tseries`: from the first interval in which there was something to the last one of the map.
    Series(Vec<Interval>),
}

/// An interval of a series.
#[derive(Debug)]
pub struct Interval {
    /// When it began, in ns of atomic time.
    pub start: u64,
    /// The day, hour, minute and second of that, as JSON has it.
    pub second: String,
    /// What it came to; `None` if there was nothing.
    pub value: Option<Value>,
}

/// What an `hdr` comes to, in the unit that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub total: u64,
    /// The smallest; 0 if there was none.
    pub min: u64,
    /// The largest; 0 if there was none.
    pub max: u64,
    /// Values for [`PERCENTILES`]: as many percent of the values as are not greater, but for the width of a bucket.
    pub at: [u64; PERCENTILES.len()],
    /// All buckets that are not empty, so that histograms can be merged exactly elsewhere: smallest value, largest value
    /// and count of each.
    pub buckets: Vec<(u64, u64, u64)>,
}

/// The percentiles that are reported, by name and as a share of the values.
pub const PERCENTILES: [(&str, f64); 4] = [("50", 0.5), ("90", 0.9), ("99", 0.99), ("99.9", 0.999)];

/// A bucket of a histogram; a bound that is `None` is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Both bounds as people read them: `[4, 8)`, `[1K, 2K)`, `[3]`, `(..., 0)`.
    pub label: String,
    /// The smallest value.
    pub min: Option<i64>,
    /// The largest value.
    pub max: Option<i64>,
    /// How many values fell into it.
    pub count: u64,
}
