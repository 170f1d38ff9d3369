//! What the compile half tells the run and report halves: programs and where they attach, maps, records, formats.
//!
//! Together with the object bytes this is all that is needed to run a script and to print what it finds; both can be
//! written to files (`--emit`), so that what will enter the kernel can be reviewed without loading it.

mod bound;
mod front;
pub mod numbers;
mod shape;
mod threads;

use serde::Serialize;
use tracer_common::{agg, bucket};

pub use bound::Bound;
pub use front::Front;
pub use shape::{Bits, FrameStyle, Frames, Member, Naming, Shape};
pub use threads::Threads;

/// Everything but the code.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// The names of all probes, wildcards expanded, as the script would name them. [`Shape::Probe`] values and
    /// `RecordHeader::probe` are indices into it.
    pub probes: Vec<String>,
    /// One for each program of the object.
    pub programs: Vec<Program>,
    /// The script's maps, in order of first use.
    pub maps: Vec<Map>,
    /// What each kind of record in the ring asks for, indexed by `RecordHeader::id`.
    pub records: Vec<Record>,
    /// Printed at the end unless the script has deleted or hidden them: all maps, in the order of printing.
    pub print_at_end: Vec<MapId>,
    /// Bytes of the ring of records, a power of two and a multiple of the page size; `None`: as many as usual.
    pub ring_size: Option<u32>,
    /// Names of the system calls by number, for [`Shape::Syscall`]; empty when no value has that shape.
    pub syscalls: Vec<Option<String>>,
}

/// Index into [`Plan::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct MapId(pub u32);

/// Index into [`Plan::records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RecordId(pub u32);

/// Index into [`Plan::probes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ProbeId(pub u32);

/// One program of the object and where it goes.
#[derive(Clone, Debug, Serialize)]
pub struct Program {
    /// The function's symbol in the object, unique.
    pub symbol: String,
    /// Where it is attached.
    pub attach: Attach,
    /// The probes whose actions it runs, in script order.
    pub probes: Vec<ProbeId>,
}

/// Where a program is attached, or how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Attach {
    /// Run once by user space before the others can fire, through BPF_PROG_TEST_RUN.
    Begin,
    /// Run once by user space after the others have been detached.
    End,
    /// Run by user space every so many nanoseconds.
    Interval {
        /// The period in ns.
        period: u64,
    },
    /// Run by user space whenever it is sent SIGUSR1.
    Signal,
    /// A raw tracepoint.
    RawTracepoint {
        /// Its name, without a category: `sys_enter`.
        event: String,
    },
    /// Run by the kernel for each of what it goes over, once, when user space reads on.
    Iterator {
        /// What that is: `task`, `task_file`, ….
        over: String,
        /// The number, among the kernel's types, of the function that stands for such programs.
        ty: u32,
    },
    /// A tracepoint, with the record of its event.
    Tracepoint {
        /// Its category and name: `kmem:rss_stat`.
        event: String,
        /// The number that tracefs gives it.
        id: u64,
    },
    /// Places in a program or library.
    Uprobe {
        /// The file, as the script names it.
        file: String,
        /// When the functions there return, and not when they are called.
        exit: bool,
        /// The places, each once.
        sites: Vec<UprobeSite>,
    },
    /// A perf event: on every CPU, but for watchpoints of a process.
    Sample(Sample),
    /// Places in functions of the kernel.
    Kprobe {
        /// When the functions there return, and not when they are called.
        exit: bool,
        /// The places, each once. Either all are at the beginning of their functions, or there is one.
        sites: Vec<KprobeSite>,
    },
    /// Calls or returns of functions of the kernel. The kernel takes a copy of the program for each.
    Fentry {
        /// Returns, and not calls.
        exit: bool,
        /// The functions, each once.
        sites: Vec<FentrySite>,
    },
}

impl Attach {
    /// Whether it is user space that runs the program, and nothing in the kernel.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Begin | Self::End | Self::Interval { .. } | Self::Signal)
    }
}

/// What is counted, and how often a program runs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// What is counted.
    pub event: SampleEvent,
    /// How often.
    pub every: Every,
}

/// What a perf event counts: numbers of `include/uapi/linux/perf_event.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SampleEvent {
    /// A `perf_sw_ids`.
    Software(u32),
    /// A `perf_hw_id`.
    Hardware(u32),
    /// Accesses to a place in memory: of the process that is traced, or of the kernel.
    Breakpoint {
        /// Where.
        address: u64,
        /// Bytes: 1, 2, 4 or 8.
        length: u8,
        /// Which.
        access: Access,
    },
}

/// What is done with a place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Access {
    /// Something is written.
    Write,
    /// Something is read or written.
    ReadWrite,
    /// It is run.
    Execute,
}

/// How often a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Every {
    /// So many times a second.
    Hertz(u64),
    /// Each time that so many have been counted; of clocks, ns.
    Count(u64),
}

/// What is to be done where a probe is not there, or the kernel refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It is an error.
    Refuse,
    /// The script runs without it, and a warning says so.
    Warn,
    /// The script runs without it.
    Ignore,
}

/// A function of the kernel whose calls or returns are traced. If there are several, the program finds its probe's index
/// in the cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FentrySite {
    /// The function.
    pub function: String,
    /// Its number among the kernel's types.
    pub ty: u32,
    /// Whose function it is.
    pub probe: ProbeId,
    /// If the kernel refuses it.
    pub missing: Missing,
}

/// A place in a function of the kernel. The program finds its probe's index in the cookie of the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KprobeSite {
    /// The function, `MODULE:FUNCTION` where the script names a module.
    pub function: String,
    /// Bytes from the function's beginning.
    pub offset: u64,
    /// Whose place it is.
    pub probe: ProbeId,
    /// If the kernel refuses it.
    pub missing: Missing,
}

/// A place in a file's code. The program finds its probe's index in the cookie of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UprobeSite {
    /// Where the instruction lies in the file.
    pub offset: u64,
    /// Whose place it is.
    pub probe: ProbeId,
    /// Where the file has a counter of those who listen, which is to be raised while it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semaphore: Option<u64>,
}

/// How a map is kept in the kernel. The names of the script's maps in the object are `map_0`, `map_1`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Storage {
    /// A hash map shared by all CPUs. Keys are as [`Map::key`] lays them out.
    Hash,
    /// The same for entries that each thread has for itself, with a table before it ([`Threads`]).
    HashByThread,
    /// The same as a hash, but a new key takes the place of the one that was not used for the longest time, as far as the kernel
    /// keeps count of that.
    LruHash,
    /// A per-CPU hash of an aggregation: keys have the generation (`u64`) before them.
    PerCpuHash,
    /// A hash of an aggregation that is not per-CPU, for values so large that to make one for each CPU whenever a key
    /// appears might fail. Keys have the generation (`u32`) and a CPU's number (`u32`) before them: each CPU that sees a
    /// key has a value of its own.
    HashByCpu,
    /// A hash of an aggregation that the script itself looks into, with one value for all CPUs, which they update by
    /// atomic instructions. Keys have the generation (`u64`) before them. It is no delta buffer: what it holds of the
    /// current generation is the whole, and stays until the script or user space empties it.
    LiveHash {
        /// A new key takes the place of one that was not used for long.
        drops_oldest: bool,
    },
    /// A per-CPU array of an aggregation, for small integer keys: twice `entries` long, the index being
    /// `(generation & 1) * entries + key - first`. A map without a key has one entry. A key that is not in the array
    /// is counted as `Loss::MapFull`.
    PerCpuArray {
        /// The least key: -1 for numbers of system calls, which the kernel forgets when a signal handler returns.
        first: i32,
        /// Keys are less than `first` and this.
        entries: u32,
    },
    /// Storage of the current task, for maps keyed by `tid` that are never printed.
    TaskStorage,
}

/// One of the script's maps.
#[derive(Clone, Debug, Serialize)]
pub struct Map {
    /// As the script names it, with the `@`.
    pub name: String,
    /// How it is kept.
    pub storage: Storage,
    /// The layout of its keys; `None` for a map without. A hash of a map without a key has one `u64` of zero as key.
    pub key: Option<Shape>,
    /// What it holds.
    pub value: Value,
    /// Most keys that the script lets it have.
    pub max_keys: u32,
    /// Most entries of one generation in the kernel's map: where each CPU has its own, or each interval, there are more than keys.
    pub max_entries: u32,
}

impl Map {
    /// Bytes of a key in the kernel's map, generation included.
    pub fn key_size(&self) -> u32 {
        let own = self.own_key_size();
        match self.storage {
            Storage::Hash | Storage::HashByThread | Storage::LruHash => own.max(8),
            Storage::PerCpuHash | Storage::HashByCpu | Storage::LiveHash { .. } => {
                own + agg::GENERATION_SIZE as u32 + if self.series().is_some() { 8 } else { 0 }
            }
            Storage::PerCpuArray { .. } | Storage::TaskStorage => 4,
        }
    }

    /// Bytes of a key alone, a multiple of 8; 0 for a map without.
    pub fn own_key_size(&self) -> u32 {
        self.key.as_ref().map_or(0, |key| key.size().next_multiple_of(8))
    }

    /// Whether it is an aggregation whose values are whole in the kernel, and not merged by user space.
    pub fn is_live(&self) -> bool {
        matches!(self.storage, Storage::LiveHash { .. })
    }

    /// The series of intervals that it holds, if it does.
    pub fn series(&self) -> Option<Series> {
        match self.value {
            Value::Aggregation(Aggregation::Series(series)) => Some(series),
            _ => None,
        }
    }

    /// What it aggregates; `None` if it holds plain values.
    pub fn aggregation(&self) -> Option<Aggregation> {
        match self.value {
            Value::Plain(_) => None,
            Value::Aggregation(aggregation) => Some(aggregation),
        }
    }

    /// Bytes of a value in the kernel's map, a multiple of 8.
    pub fn value_size(&self) -> u32 {
        match &self.value {
            Value::Plain(shape) => shape.size().next_multiple_of(8),
            Value::Aggregation(aggregation) => aggregation.size(),
        }
    }
}

/// What a map holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Value {
    /// The last value assigned.
    Plain(Shape),
    /// Partial values, of each CPU or of all, that are merged when they are read.
    Aggregation(Aggregation),
}

/// An aggregation. Layouts are `tracer_common::agg`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Aggregation {
    /// How many times: `agg::Count`.
    Count,
    /// The total: `agg::Stats`, `count` and `total`.
    Sum {
        /// Whether the argument is signed.
        signed: bool,
    },
    /// The mean: `agg::Stats`, `count` and `total`.
    Avg {
        /// Whether the argument is signed.
        signed: bool,
    },
    /// The smallest: `agg::Stats`, `count` and `min`.
    Min {
        /// Whether the argument is signed.
        signed: bool,
    },
    /// The largest: `agg::Stats`, `count` and `max`.
    Max {
        /// Whether the argument is signed.
        signed: bool,
    },
    /// Count, mean and total: `agg::Stats`, `count` and `total`.
    Stats {
        /// Whether the argument is signed.
        signed: bool,
    },
    /// Powers of two: `agg::HistHead` and `bucket::log2_buckets(bits)` counters.
    Hist {
        /// How finely each power of two is cut: 2^bits.
        bits: u32,
    },
    /// Equal steps: `agg::HistHead` and `bucket::linear_buckets` counters.
    Linear {
        /// Values below go to the first bucket.
        min: i64,
        /// Values from here on go to the last bucket.
        max: i64,
        /// The width of a bucket.
        step: i64,
    },
    /// Percentiles: `agg::Hdr`.
    Hdr,
    /// What comes of each interval of time: `agg::Stats`, one for each key and interval.
    Series(Series),
}

/// `tseries(n, interval, intervals, function)`: the last so many intervals, and what the numbers of each come to. Keys in the
/// kernel have the interval's number behind them, a `u64`: the atomic time (TAI) of the event, divided by `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// How long one is, in ns.
    pub interval: u64,
    /// How many are kept.
    pub intervals: u32,
    /// What comes of the numbers.
    pub function: SeriesFunction,
    /// Whether they are signed.
    pub signed: bool,
}

/// What comes of the numbers of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SeriesFunction {
    /// The last one: `agg::Stats`, the number as `total`, and its time as `max`.
    Last,
    /// Their total.
    Sum,
    /// Their mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Series {
    /// How the figures of an interval are kept; `None` for the last number.
    pub fn figures(self) -> Option<Aggregation> {
        let signed = self.signed;
        match self.function {
            SeriesFunction::Last => None,
            SeriesFunction::Sum => Some(Aggregation::Sum { signed }),
            SeriesFunction::Avg => Some(Aggregation::Avg { signed }),
            SeriesFunction::Min => Some(Aggregation::Min { signed }),
            SeriesFunction::Max => Some(Aggregation::Max { signed }),
        }
    }
}

impl Aggregation {
    /// Whether totals and extremes are those of signed numbers.
    pub fn signed(self) -> bool {
        match self {
            Self::Sum { signed }
            | Self::Avg { signed }
            | Self::Min { signed }
            | Self::Max { signed }
            | Self::Stats { signed }
            | Self::Series(Series { signed, .. }) => signed,
            Self::Hist { .. } | Self::Linear { .. } => true,
            Self::Count | Self::Hdr => false,
        }
    }

    /// How many buckets a histogram has; 0 for all else.
    pub fn buckets(self) -> usize {
        match self {
            Self::Hist { bits } => bucket::log2_buckets(bits),
            Self::Linear { min, max, step } => bucket::linear_buckets(min, max, step),
            Self::Hdr => bucket::HDR_BUCKETS,
            Self::Count
            | Self::Sum { .. }
            | Self::Avg { .. }
            | Self::Min { .. }
            | Self::Max { .. }
            | Self::Stats { .. }
            | Self::Series(_) => 0,
        }
    }

    /// Bytes of one partial value, a multiple of 8.
    pub fn size(self) -> u32 {
        let size = match self {
            Self::Count => size_of::<agg::Count>(),
            Self::Sum { .. }
            | Self::Avg { .. }
            | Self::Min { .. }
            | Self::Max { .. }
            | Self::Stats { .. }
            | Self::Series(_) => size_of::<agg::Stats>(),
            Self::Hist { .. } | Self::Linear { .. } => size_of::<agg::HistHead>() + 8 * self.buckets(),
            Self::Hdr => size_of::<agg::Hdr>(),
        };
        size as u32
    }
}
/// A place in the script: bytes from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// What a record in the ring asks user space to do. Offsets are from the start of the payload, whose length is a multiple
/// of 8; what is behind the arguments is zero. Where [`Record::is_short`] says so, long texts follow behind that (see
/// [`Shape::sent`]).
#[derive(Clone, Debug, Serialize)]
pub enum Record {
    /// `printf(format, …)`: the arguments are laid out as a tuple.
    Printf {
        /// The format, parsed and checked against the arguments.
        format: Format,
        /// The arguments.
        arguments: Vec<Shape>,
    },
    /// `cat(format, …)`: prints the file that is named so; the arguments are as for `printf`.
    Cat {
        /// The file's name.
        format: Format,
        /// The arguments.
        arguments: Vec<Shape>,
    },
    /// `system(format, …)`: runs the command, and prints what it prints.
    System {
        /// The command, for the shell.
        format: Format,
        /// The arguments.
        arguments: Vec<Shape>,
    },
    /// `warnf(format, …)`, `errorf(format, …)`: says something about the script.
    Message {
        /// How bad it is.
        severity: Severity,
        /// Where it is said.
        place: Place,
        /// What is said.
        format: Format,
        /// The arguments.
        arguments: Vec<Shape>,
    },
    /// `time(format)`: prints the time at which the record is handled.
    Time {
        /// As for strftime(3).
        format: String,
    },
    /// `join(array, separator)`: the payload is a `u64`, how many bytes follow, and then texts, each ended by NUL.
    Join {
        /// What is printed between two texts.
        separator: String,
    },
    /// `print(value)`.
    PrintValue {
        /// What is printed.
        value: Shape,
    },
    /// `print(@map, top, div)`.
    PrintMap {
        /// Which.
        map: MapId,
        /// Only the largest so many; 0: all.
        top: u32,
        /// Values are divided by this; 0 and 1: not at all.
        div: u32,
        /// The same action empties it next, so that what comes from now on belongs to the next interval.
        emptied: bool,
    },
    /// `print(@map[key])`: the key is the payload.
    PrintEntry {
        /// Which.
        map: MapId,
    },
    /// `table(@first, @second, …)`, ours: maps with the same key joined to one row for each key.
    ///
    /// The language: maps, then optionally an integer literal (`top`), then optionally a string literal, the unit of
    /// what was measured: `"ns"` (the default) or `""`. A map gives the columns that its aggregation has: `hdr` gives
    /// count, p50, p90, p99, p99.9, max and total; `stats` count, average and total; the others give one, headed by
    /// the map's name. Rows are sorted by the total of the first map, largest first.
    PrintTable {
        /// Aggregations, all with the same key.
        maps: Vec<MapId>,
        /// Headings of the parts of the key, as the script writes them where the first map is first assigned, so far
        /// as that is a name (`comm`, `pid`); an empty one is named after its shape.
        headings: Vec<String>,
        /// Only the first so many rows; 0: all.
        top: u32,
        /// Of the values that the maps aggregate.
        unit: Unit,
        /// Those of the maps that the same action empties next.
        emptied: Vec<MapId>,
    },
    /// `clear(@map)`.
    Clear {
        /// Which.
        map: MapId,
        /// The same action has just printed it: what an aggregation has counted since then is not forgotten, but
        /// belongs to the next interval.
        printed: bool,
    },
    /// `zero(@map)`.
    Zero {
        /// Which.
        map: MapId,
        /// As for `clear`.
        printed: bool,
    },
    /// `exit(code)`: the payload is the code, an `i64`.
    Exit,
}

impl Record {
    /// Whether long texts are sent behind the arguments, no longer than they are. Records that must not be lost have one
    /// size: what the ring has no room for goes to another one.
    pub fn is_short(&self) -> bool {
        match self {
            Self::Printf { .. } | Self::Cat { .. } | Self::Message { .. } | Self::PrintValue { .. } => true,
            Self::System { .. }
            | Self::Time { .. }
            | Self::Join { .. }
            | Self::PrintMap { .. }
            | Self::PrintEntry { .. }
            | Self::PrintTable { .. }
            | Self::Clear { .. }
            | Self::Zero { .. }
            | Self::Exit => false,
        }
    }
}

/// How bad something is that a script says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Severity {
    /// `warnf()`.
    Warning,
    /// `errorf()`.
    Error,
}

/// What a number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Time in ns, shown to people as ns, us, ms or s.
    Nanoseconds,
    /// Nothing that is known.
    Plain,
}

/// A format string of `printf`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Format {
    /// In order.
    pub pieces: Vec<Piece>,
}

/// A part of a format string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Piece {
    /// Printed as it is.
    Text(String),
    /// The next argument.
    Argument {
        /// `-`, left in its field.
        left: bool,
        /// `0`, filled with zeros.
        zero: bool,
        /// `+`, a sign before positive numbers.
        plus: bool,
        /// ` `, a space before positive numbers: accepted and, as in bpftrace, without effect.
        space: bool,
        /// `#`, with the prefix of its base.
        alternate: bool,
        /// Least number of characters.
        width: Option<u32>,
        /// Accepted and, as in bpftrace, without effect.
        precision: Option<u32>,
        /// How many bytes of a number are looked at, by the length before the conversion: 1 for `hh`, 2 for `h`,
        /// 4 without one, 8 for `l`, `ll`, `j`, `z` and `t`.
        bytes: u8,
        /// Which conversion.
        conversion: Conversion,
    },
}

/// What a conversion prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Conversion {
    /// `%d`, `%i`.
    Signed,
    /// `%u`.
    Unsigned,
    /// `%x`.
    Hex,
    /// `%X`.
    HexUpper,
    /// `%o`.
    Octal,
    /// `%p`.
    Pointer,
    /// `%c`.
    Char,
    /// `%s`.
    Text,
    /// `%r`: a buffer, what cannot be printed as `\x01`.
    Escaped,
    /// `%rx`: a buffer, all of it as `\x01`.
    Hexadecimal,
    /// `%rh`: a buffer, all of it as `01 02`.
    Spaced,
    /// `%gr`: how the kernel is asked for memory, as `GFP_KERNEL|__GFP_ZERO`.
    AllocationFlags,
}
