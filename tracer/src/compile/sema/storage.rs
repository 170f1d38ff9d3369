//! How each map is kept in the kernel.
//!
//! * A map keyed by `tid` alone, whose entries are only used in the thread they belong to, lives in task storage: it
//!   costs no hash, and an entry goes away with its thread. bpftrace prints what is left of every map at the end, so
//!   this is done only where an `end` probe clears the map unconditionally, as scripts with such maps do.
//! * Such a map of which nothing is cleared, and whose entries come and go in system calls and in user space, where
//!   programs do not interrupt one another, lives in a hash with a table by thread before it.
//! * An aggregation whose keys are known to be few small numbers lives in a per-CPU array, as long as that stays small.
//! * Any other aggregation of small values lives in a per-CPU hash: an update is a plain addition, and no CPU waits for
//!   another's cache.
//! * One of large values, a histogram, lives in a hash whose keys tell the CPU. A key that appears in a per-CPU hash
//!   takes a value for each CPU from an allocator that, where programs run, has no more than a few pages ready: of
//!   11,000 histograms that appeared within a second, it had no room for half. Here a value comes from the kernel's
//!   slabs, which had room for all, and only CPUs that see a key take memory for it.
//! * An aggregation that the script itself looks into, or deletes from, is kept whole in the kernel: one value for all
//!   CPUs, updated by atomic instructions, that programs read and delete like a plain one. User space reads it in place,
//!   and empties it by moving on to the next generation, so that intervals are as exact as those of the others. (A second
//!   map of totals beside the delta buffers would cost each event a second update, and what is deleted would have to be
//!   taken out of what user space has merged, in the order in which it happened.)
//! * A series of intervals has a key for each interval; user space takes them out many times a second, and keeps the last.
//! * Plain values live in a hash.
//! * A map that is declared to drop its oldest keys does: what was counted for them is gone. An aggregation of that kind is
//!   whole in the kernel, too.

use tracer_common::agg::MAX_MAPS;

use super::check::{Domain, MapState, MapValue, Use, UseKind};
use super::config::Settings;
use super::types::Ty;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::target::Target;
use crate::plan::{Aggregation, Map, Storage, Threads, Value};

/// As many CPUs see each key of a map that is full, at most: where there are many keys, few are everywhere. What more would take
/// is room for the heads of lists, 16 bytes each.
const SEEN_BY_CPUS: u32 = 32;

/// As many intervals may keys of a series come to, together, before they are taken out of the kernel.
const INTERVALS: u32 = 8192;

/// Bytes that an array may take of the kernel's memory, all CPUs together.
const ARRAY_BUDGET: u64 = 16 << 20;

/// The largest value, in bytes, that a hash holds once for each CPU: all figures, but not a histogram's buckets.
const PER_CPU_VALUE: u32 = 512;

/// The map as the plan has it; `None` if its types are not known, which has been reported.
pub fn map(state: &MapState, probes: usize, settings: &Settings, target: &Target) -> Option<Map> {
    let key = match &state.key {
        Some((ty, _)) => Some(ty.shape()?),
        None => None,
    };
    let lru = settings.declared(&state.name).is_some_and(|declared| declared.drops_oldest);
    let (value, storage) = match &state.value {
        MapValue::Plain(ty, _) if lru => (Value::Plain(ty.shape()?), Storage::LruHash),
        MapValue::Plain(ty, _) => {
            let shape = ty.shape()?;
            let storage = plain(state, shape.size(), settings.keys_of(&state.name), target);
            (Value::Plain(shape), storage)
        }
        // What of a key user space has read before the kernel dropped it would be neither all of it nor what has come since.
        &MapValue::Aggregation(aggregation, _) if state.looked_into || lru => {
            (Value::Aggregation(aggregation), Storage::LiveHash { drops_oldest: lru })
        }
        &MapValue::Aggregation(aggregation, _) => {
            let keys = settings.keys_of(&state.name);
            (Value::Aggregation(aggregation), aggregated(state, aggregation, keys, probes, target))
        }
        MapValue::Unknown => return None,
    };
    let keys = settings.keys_of(&state.name);
    let max_entries = match storage {
        Storage::Hash | Storage::LruHash if key.is_none() => 1,
        Storage::Hash | Storage::HashByThread | Storage::LruHash | Storage::LiveHash { .. } => keys,
        Storage::PerCpuHash if matches!(value, Value::Aggregation(Aggregation::Series(_))) => (keys * 2).max(INTERVALS),
        Storage::PerCpuHash => keys,
        Storage::HashByCpu => keys * target.possible_cpus.min(SEEN_BY_CPUS),
        Storage::PerCpuArray { entries, .. } => entries,
        Storage::TaskStorage => 0,
    };
    Some(Map { name: state.name.clone(), storage, key, value, max_keys: keys, max_entries })
}

/// The first map for which there is no room in the kernel's list of generations.
pub fn too_many(maps: &[MapState]) -> Option<Diagnostic> {
    let first = maps.get(MAX_MAPS)?;
    let error = Diagnostic::error(first.place, "the script has too many maps");
    Some(error.label(format!("with `{}` there are {}, and {MAX_MAPS} may be", first.name, maps.len())))
}

/// What declarations say of maps that are not of that kind, and what programs are to look into that they cannot.
pub fn misdeclared(maps: &[MapState], settings: &Settings) -> Vec<Diagnostic> {
    let unused = settings.maps.iter().filter(|declared| maps.iter().all(|state| state.name != declared.name));
    let mut found: Vec<Diagnostic> = unused
        .map(|declared| Diagnostic::warning(declared.place, format!("`{}` is declared and never used", declared.name)))
        .collect();
    for state in maps {
        if let (true, MapValue::Aggregation(Aggregation::Series(_), place)) = (state.looked_into, &state.value) {
            let message = format!("only user space knows the keys of `{}`, which is a `tseries()`", state.name);
            let error = Diagnostic::error(*place, message).label("a `tseries()` from here on");
            found.push(error.help("it can be printed, cleared and zeroed"));
        }
        if let (Some(declared), MapValue::Aggregation(Aggregation::Series(_), place)) =
            (settings.declared(&state.name).filter(|declared| declared.drops_oldest), &state.value)
        {
            let error =
                Diagnostic::error(declared.place, format!("a `tseries()` cannot drop keys of `{}`", state.name));
            found.push(error.label("expected `percpuhash`").also(*place, "a `tseries()` from here on"));
            continue;
        }
        let Some(declared) = settings.declared(&state.name).filter(|declared| declared.drops_oldest) else { continue };
        let (fits, place, what, right) = match state.value {
            MapValue::Plain(_, place) => (!declared.of_aggregations, place, "plain values", "lruhash"),
            MapValue::Aggregation(_, place) => (declared.of_aggregations, place, "an aggregation", "percpulruhash"),
            MapValue::Unknown => continue,
        };
        if !fits {
            let error = Diagnostic::error(declared.place, format!("`{}` is of another kind", state.name));
            found.push(error.label(format!("expected `{right}`")).also(place, format!("it holds {what}")));
        }
    }
    found
}

/// Whether what is left in the map is printed at the end.
pub fn printed_at_end(map: &Map) -> bool {
    map.storage != Storage::TaskStorage
}

fn plain(state: &MapState, size: u32, keys: u32, target: &Target) -> Storage {
    let own_thread = |used: &Use| match used.kind {
        UseKind::Entry | UseKind::Delete => used.domain == Domain::Tid && used.in_task,
        UseKind::Clear => used.at_end,
        UseKind::Whole => false,
    };
    let cleared = state.uses.iter().any(|used| used.kind == UseKind::Clear && used.at_end);
    let by_thread = matches!(state.key, Some((Ty::Int { .. }, _)));
    if target.task_storage && by_thread && cleared && state.uses.iter().all(own_thread) {
        return Storage::TaskStorage;
    }
    let in_turn = |used: &Use| match used.kind {
        UseKind::Entry | UseKind::Delete => used.domain == Domain::Tid && used.in_turn,
        UseKind::Clear | UseKind::Whole => false,
    };
    let deleted = state.uses.iter().any(|used| used.kind == UseKind::Delete);
    if by_thread && deleted && size <= Threads::LARGEST && keys >= Threads::SLOTS && state.uses.iter().all(in_turn) {
        Storage::HashByThread
    } else {
        Storage::Hash
    }
}

fn aggregated(state: &MapState, aggregation: Aggregation, keys: u32, probes: usize, target: &Target) -> Storage {
    let small = if matches!(aggregation, Aggregation::Series(_)) { None } else { small_keys(state, probes, target) };
    if let Some((first, entries)) = small {
        let bytes = u64::from(aggregation.size()) * 2 * u64::from(entries) * u64::from(target.possible_cpus);
        if bytes <= ARRAY_BUDGET && (entries <= keys || state.key.is_none()) {
            return Storage::PerCpuArray { first, entries };
        }
    }
    if aggregation.size() <= PER_CPU_VALUE { Storage::PerCpuHash } else { Storage::HashByCpu }
}

/// The least key and how many there can be, where all uses agree that they are few.
fn small_keys(state: &MapState, probes: usize, target: &Target) -> Option<(i32, u32)> {
    if state.key.is_none() {
        return Some((0, 1));
    }
    let entries = state.uses.iter().filter(|used| used.kind == UseKind::Entry);
    entries.map(|used| range(used.domain, probes, target)).reduce(|a, b| {
        let ((a_first, a_entries), (b_first, b_entries)) = (a?, b?);
        let first = a_first.min(b_first);
        let end = (a_first + a_entries as i32).max(b_first + b_entries as i32);
        Some((first, (end - first) as u32))
    })?
}

fn range(domain: Domain, probes: usize, target: &Target) -> Option<(i32, u32)> {
    match domain {
        Domain::Cpu => Some((0, target.possible_cpus)),
        Domain::Probe => Some((0, probes as u32)),
        Domain::Syscall(greatest) => Some((-1, greatest + 2)),
        Domain::Tid | Domain::Any => None,
    }
}
