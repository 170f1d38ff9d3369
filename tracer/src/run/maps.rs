//! The script's maps in the kernel, read and changed as bytes.
//!
//! Aggregations are delta buffers: [`Maps::drain`] moves a map on to its other generation, waits until no program can still
//! be writing to the old one, and takes everything out of that (see `tracer_common::agg`). Those that the script itself looks
//! into are whole in the kernel: [`Maps::read`] leaves them as they are, and to drain them is to empty them. Keys go out as the
//! plan lays them out, without generation; the key of a map without a key is empty.

use std::io;

use aya::Ebpf;
use aya::maps::{Map as AyaMap, MapData};
use tracer_common::agg::{GENERATION_SIZE, MAX_MAPS, PERIOD_SHIFT, key_count};
use tracer_common::failure::Failed;
use tracer_common::loss::LOSS_KINDS;

use super::Error;
use super::records::Source;
use super::sys::{Batch, Grace, Next, Notes, RawMap};
use crate::plan::{Bound, Front, MapId, Plan, Storage, Threads};

/// How much memory a batch may take, in bytes, unless one bucket of a hash map needs more.
const BATCH_BYTES: usize = 1 << 20;

/// Most entries in a batch.
const BATCH_ENTRIES: usize = 1024;

/// How often a record that is being written is looked at before it is left for later.
const BUSY_LOOKS: u32 = 10_000;

/// The maps of a session.
#[derive(Debug)]
pub struct Maps {
    /// By `MapId`.
    maps: Vec<Script>,
    losses: RawMap,
    /// The frames of stacks, if the script names any.
    stacks: Option<Source>,
    /// What the kernel notes of processes, if the script names stacks and the kernel lets us.
    notes: Option<Notes>,
    /// There if a program can fail.
    failures: Option<RawMap>,
    /// There if keys are counted: how many each map has.
    keys: Option<RawMap>,
    /// The runtime's `.data`, which begins with the generations; what else is there is always 0.
    generations: Option<RawMap>,
    /// Each map's generation, with its period: of the eight bytes that programs read, only one ever changes.
    generation: [u64; MAX_MAPS],
    /// There while programs are attached: the way to wait for those that are running.
    grace: Option<Grace>,
}

/// One of the script's maps.
#[derive(Debug)]
struct Script {
    /// `None` for task storage, which is never read.
    map: Option<RawMap>,
    storage: Storage,
    has_key: bool,
    /// The table before the map, if it has one.
    front: Option<(RawMap, Front)>,
    /// The table of the threads' own entries before it, if it has one.
    threads: Option<RawMap>,
    /// The most keys, if they are counted, and the list of them, if there is one.
    bound: Option<(u32, Option<RawMap>)>,
}

impl Maps {
    /// The maps of a loaded object.
    pub(super) fn new(ebpf: &Ebpf, plan: &Plan) -> Result<Self, Error> {
        let cpus = aya::util::nr_cpus().map_err(|(path, error)| Error::Cpus { path, error })?;
        let open = |name: &str| -> Result<Option<RawMap>, Error> {
            let Some(data) = ebpf.map(name).and_then(data) else { return Ok(None) };
            RawMap::new(data, cpus).map(Some).map_err(|error| Error::Map { name: name.to_owned(), error })
        };
        let needed = |symbol: &str, name: &str| open(symbol)?.ok_or_else(|| Error::missing(name));
        let maps = plan
            .maps
            .iter()
            .enumerate()
            .map(|(index, map)| {
                let raw = match map.storage {
                    Storage::TaskStorage => None,
                    _ => Some(needed(&format!("map_{index}"), &map.name)?),
                };
                let table = || needed(&format!("front_{index}"), &map.name);
                let front = match Front::of(map) {
                    Some(front) => Some((table()?, front)),
                    None => None,
                };
                let threads = Threads::of(map).map(|_| table()).transpose()?;
                let bound = match Bound::of(map) {
                    Some(Bound::Listed) => Some((map.max_keys, Some(needed(&format!("keys_{index}"), &map.name)?))),
                    Some(Bound::Counted) => Some((map.max_keys, None)),
                    None => None,
                };
                Ok(Script { map: raw, storage: map.storage, has_key: map.key.is_some(), front, threads, bound })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            maps,
            stacks: None,
            notes: None,
            losses: needed("LOSSES", "LOSSES")?,
            failures: open("FAILURES")?,
            keys: open("KEYS")?,
            generations: open(".data")?,
            generation: [0; MAX_MAPS],
            grace: None,
        })
    }

    /// Programs are about to be attached, so that from now on they may write at any time.
    pub(super) fn attached(&mut self) -> io::Result<()> {
        self.grace = Some(Grace::new()?);
        Ok(())
    }

    /// All programs have been detached; returns when none is running any more.
    pub(super) fn detached(&mut self) -> io::Result<()> {
        self.grace.take().map_or(Ok(()), |grace| grace.wait())
    }

    /// Moves an aggregation on to its next generation and hands over what the old one held: each key with its partial
    /// values. An array hands over all its keys, a hash by CPU a key as often as there are CPUs that saw it. If it is
    /// `emptied` by that, it may have as many other keys from now on.
    pub fn drain(&mut self, id: MapId, emptied: bool, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let old = self.advance(id, emptied)?;
        let Script { map, storage, has_key, front, .. } = &self.maps[id.0 as usize];
        let Some(map) = map else { return Ok(()) };
        if let Some((table, front)) = front {
            drain_front(table, front, old & 1, map.key_size() - GENERATION_SIZE, merge)?;
        }
        match *storage {
            Storage::PerCpuArray { first, entries } => drain_array(map, old & 1, first, entries, *has_key, merge)?,
            Storage::PerCpuHash | Storage::HashByCpu | Storage::LiveHash { .. } => drain_hash(map, old, merge)?,
            Storage::Hash | Storage::HashByThread | Storage::LruHash | Storage::TaskStorage => {}
        }
        if emptied { self.forget_keys(id, old) } else { Ok(()) }
    }

    /// Nobody makes keys in the period of a generation any more: it is made ready for its next turn.
    fn forget_keys(&self, id: MapId, generation: u64) -> io::Result<()> {
        let (Script { bound: Some((_, list)), .. }, Some(counts)) = (&self.maps[id.0 as usize], &self.keys) else {
            return Ok(());
        };
        let period = period(list.is_some(), generation);
        if let Some(list) = list {
            let mut listed = Vec::new();
            for_each_of(list, (period as u32).to_ne_bytes(), &mut |key, _| listed.extend_from_slice(key))?;
            list.delete_batch(&listed)?;
        }
        let count = key_count(id.0, period);
        [count, count + 1].iter().try_for_each(|count| counts.update(&count.to_ne_bytes(), &[0; 8]))
    }

    /// Hands over what an aggregation holds that is whole in the kernel, and leaves it there.
    pub fn read(&mut self, id: MapId, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let Script { map: Some(map), .. } = &self.maps[id.0 as usize] else { return Ok(()) };
        let generation = (self.generation[id.0 as usize] as u32).to_ne_bytes();
        for_each_of(map, generation, &mut |key, values| merge(&key[GENERATION_SIZE..], values))
    }

    /// Gives an aggregation that has been emptied keys whose values are zero, unless it has them: in the kernel if it is
    /// whole there, else user space knows the values, and the kernel counts the keys. Hands back those that there is no room for,
    /// as others have come meanwhile.
    pub fn restore(&mut self, id: MapId, keys: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        let generation = self.generation[id.0 as usize];
        let Script { map: Some(map), bound, .. } = &self.maps[id.0 as usize] else { return Ok(Vec::new()) };
        let insert = |map: &RawMap, head: u64, key: &[u8]| {
            let whole = [&head.to_ne_bytes(), key].concat();
            map.insert(&whole, &vec![0; map.value_size()])
        };
        let (Some((limit, list)), Some(counts)) = (bound, &self.keys) else {
            keys.iter().try_for_each(|key| insert(map, generation, key).map(drop))?;
            return Ok(Vec::new());
        };
        let period = period(list.is_some(), generation);
        let count = key_count(id.0, period);
        let number = |index: u32| -> io::Result<u64> {
            let mut value = [0; 8];
            counts.lookup(&index.to_ne_bytes(), &mut value)?;
            Ok(u64::from_ne_bytes(value))
        };
        let set = |given: u64| counts.update(&(count + 1).to_ne_bytes(), &given.to_ne_bytes());
        // Taken as given first: from there on programs make no key too many, and what they have made does not grow.
        let before = number(count + 1)?;
        set(before + keys.len() as u64)?;
        let mut room = u64::from(*limit).saturating_sub(before + number(count)?);
        let (mut given, mut refused) = (before, Vec::new());
        for key in keys {
            if room == 0 {
                refused.push(key.clone());
            } else if insert(list.as_ref().unwrap_or(map), if list.is_some() { period } else { generation }, key)? {
                (given, room) = (given + 1, room - 1);
            }
        }
        set(given)?;
        Ok(refused)
    }

    /// Hands over the stacks that have been sent since the last call: a `tracer_common::stack::StackHead` each, and its
    /// frames. Whatever has been read of maps and records so far names no others.
    pub fn take_stacks(&mut self, mut to: impl FnMut(&[u8])) {
        let Some(Source { ring, .. }) = &mut self.stacks else { return };
        let (mut released, mut patience) = (false, BUSY_LOOKS);
        loop {
            match ring.peek() {
                Next::Record(record) => {
                    let length = record.len();
                    to(record);
                    ring.advance(length);
                    released = false;
                }
                // Being copied, which takes no time unless the program has been pre-empted; what is behind it may have been
                // named already.
                Next::Busy if patience > 0 => {
                    patience -= 1;
                    std::thread::yield_now();
                }
                Next::Busy | Next::Nothing if released => return,
                Next::Busy | Next::Nothing => {
                    ring.release();
                    released = true;
                }
            }
        }
    }

    /// From here on stacks are handed over, if the script names any. To be called where there is an event loop.
    pub(super) fn listen(&mut self, ebpf: &mut Ebpf) -> Result<(), Error> {
        self.stacks = Source::new(ebpf, "STACKS")?;
        if self.stacks.is_some() {
            // Without them, a process that ends within a moment leaves addresses, which is said then.
            self.notes = Notes::new().ok();
        }
        Ok(())
    }

    /// Hands over what the kernel has noted of processes since the last call (perf_event_open(2)). What concerns a stack
    /// has been noted before that was taken.
    pub fn take_notes(&mut self, to: impl FnMut(&[u8])) {
        if let Some(notes) = &mut self.notes {
            notes.take(to);
        }
    }

    /// Returns when stacks have been sent or many notes been taken; never, if the script names none.
    pub(super) async fn stacks_sent(&self) -> Result<(), Error> {
        match (&self.stacks, &self.notes) {
            (Some(stacks), None) => stacks.written().await,
            (Some(stacks), Some(notes)) => tokio::select! {
                written = stacks.written() => written,
                ready = notes.ready() => ready.map_err(Error::io("cannot wait for notes of processes")),
            },
            (None, _) => std::future::pending().await,
        }
    }

    /// Begins a generation; returns the one before, which nobody writes to any more.
    fn advance(&mut self, id: MapId, emptied: bool) -> io::Result<u64> {
        let listed = matches!(self.maps[id.0 as usize].bound, Some((_, Some(_))));
        let cell = &mut self.generation[id.0 as usize];
        let old = *cell;
        if let Some(grace) = &self.grace {
            *cell = old ^ 1 ^ if listed && emptied { 1 << PERIOD_SHIFT } else { 0 };
            let generations = self.generations.as_ref().ok_or(io::ErrorKind::NotFound)?;
            // Behind the generations may lie a zero that the verifier is not to know: symbols are in the order of their names.
            let data = padded(self.generation.map(u64::to_ne_bytes).as_flattened(), generations.value_size());
            generations.update(&[0; 4], &data)?;
            grace.wait()?;
        }
        Ok(old)
    }

    /// All keys and values of a map that is not an aggregation.
    pub fn entries(&self, id: MapId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Script { map: Some(map), has_key, threads, .. } = &self.maps[id.0 as usize] else { return Ok(Vec::new()) };
        let mut entries = threads.as_ref().map_or(Ok(Vec::new()), thread_entries)?;
        for_each_batch(map, &mut |keys, values| {
            let pairs = keys.chunks_exact(map.key_size()).zip(values.chunks_exact(map.value_size()));
            entries
                .extend(pairs.map(|(key, value)| (if *has_key { key.to_vec() } else { Vec::new() }, value.to_vec())));
        })?;
        Ok(entries)
    }

    /// The value of one key of a map that is not an aggregation.
    pub fn lookup(&self, id: MapId, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Script { map: Some(map), threads, .. } = &self.maps[id.0 as usize] else { return Ok(None) };
        if let Some(table) = threads
            && let Some((_, value)) = thread_entries(table)?.into_iter().find(|(thread, _)| thread == key)
        {
            return Ok(Some(value));
        }
        let mut value = vec![0; map.value_size()];
        let found = map.lookup(&padded(key, map.key_size()), &mut value)?;
        Ok(found.then_some(value))
    }

    /// Deletes all keys of a map that is not an aggregation.
    pub fn clear(&self, id: MapId) -> io::Result<()> {
        self.for_each_key(id, |map, key| map.delete(key).map(drop))
    }

    /// Overwrites all values of a map that is not an aggregation with zeros.
    pub fn zero(&self, id: MapId) -> io::Result<()> {
        self.for_each_key(id, |map, key| map.update(key, &vec![0; map.value_size()]))
    }

    fn for_each_key(&self, id: MapId, action: impl Fn(&RawMap, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let Script { map: Some(map), .. } = &self.maps[id.0 as usize] else { return Ok(()) };
        let mut all = Vec::new();
        for_each_batch(map, &mut |keys, _| {
            all.extend_from_slice(keys);
        })?;
        all.chunks_exact(map.key_size()).try_for_each(|key| action(map, key))
    }

    /// What has failed where, and how often, in the order of the script.
    pub fn failures(&self) -> io::Result<Vec<(Failed, u64)>> {
        let mut failures = Vec::new();
        if let Some(map) = &self.failures {
            for_each_batch(map, &mut |keys, values| {
                let failed = keys.chunks_exact(Failed::SIZE).filter_map(Failed::from_bytes);
                failures.extend(failed.zip(words(values)));
            })?;
        }
        failures.sort_by_key(|(failed, _)| (failed.start, *failed));
        Ok(failures)
    }

    /// How often each kind of loss has occurred so far, indexed by `tracer_common::loss::Loss`.
    pub fn losses(&self) -> io::Result<[u64; LOSS_KINDS]> {
        let mut losses = [0; LOSS_KINDS];
        let mut values = vec![0; self.losses.value_size()];
        for (kind, sum) in (0u32..).zip(&mut losses) {
            self.losses.lookup(&kind.to_ne_bytes(), &mut values)?;
            *sum = words(&values).sum();
        }
        Ok(losses)
    }
}

/// What aya knows of a map that can be read.
fn data(map: &AyaMap) -> Option<&MapData> {
    match map {
        AyaMap::Array(data)
        | AyaMap::HashMap(data)
        | AyaMap::LruHashMap(data)
        | AyaMap::PerCpuArray(data)
        | AyaMap::PerCpuHashMap(data) => Some(data),
        _ => None,
    }
}

/// The period of a generation: its bit, where keys are listed; what is whole in the kernel is emptied with each generation.
fn period(listed: bool, generation: u64) -> u64 {
    (if listed { generation >> PERIOD_SHIFT } else { generation }) & 1
}

fn padded(key: &[u8], size: usize) -> Vec<u8> {
    let mut key = key.to_vec();
    key.resize(size, 0);
    key
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks().0.iter().map(|&word| u64::from_ne_bytes(word))
}

/// Hands over one half of an array and empties it.
fn drain_array(
    map: &RawMap,
    generation: u64,
    first: i32,
    entries: u32,
    has_key: bool,
    merge: &mut dyn FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    let zeros = vec![0; map.value_size()];
    let mut values = zeros.clone();
    for key in 0..entries {
        let index = (generation as u32 * entries + key).to_ne_bytes();
        map.lookup(&index, &mut values)?;
        if values != zeros {
            let key = (i64::from(first) + i64::from(key)).to_ne_bytes();
            merge(if has_key { &key } else { &[] }, &values);
            map.update(&index, &zeros)?;
        }
    }
    Ok(())
}

/// What threads have in their slots.
fn thread_entries(table: &RawMap) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut entries = Vec::new();
    for_each_batch(table, &mut |_, slots| {
        let held = slots.chunks_exact(table.value_size()).filter_map(Threads::entry);
        entries.extend(held.map(|(thread, value)| (thread.to_ne_bytes().to_vec(), value.to_vec())));
    })?;
    Ok(entries)
}

/// Hands over what one half of a front holds, with keys of so many bytes, and empties it.
fn drain_front(
    table: &RawMap,
    front: &Front,
    generation: u64,
    key_size: usize,
    merge: &mut dyn FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    let held = Front::HELD.to_ne_bytes();
    let own = generation as u32 * front.slots..(generation as u32 + 1) * front.slots;
    let mut full = Vec::new();
    for_each_batch(table, &mut |indices, slots| {
        let indices = indices.as_chunks().0.iter().map(|&index| u32::from_ne_bytes(index));
        for (index, slots) in
            indices.zip(slots.chunks_exact(table.value_size())).filter(|(index, _)| own.contains(index))
        {
            let of_cpus =
                slots.chunks_exact(front.slot_size() as usize).map(|slot| slot.split_at(front.state() as usize));
            let mut entries = of_cpus.filter_map(|(value, rest)| Some((rest.strip_prefix(&held)?, value))).peekable();
            full.extend(entries.peek().map(|_| index));
            entries.for_each(|(key, value)| merge(&padded(key, key_size), value));
        }
    })?;
    let zeros = vec![0; table.value_size()];
    full.iter().try_for_each(|index| table.update(&index.to_ne_bytes(), &zeros))
}

/// Hands over the entries of one generation of a hash map and deletes them.
fn drain_hash(map: &RawMap, generation: u64, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
    let mut old = Vec::new();
    for_each_of(map, (generation as u32).to_ne_bytes(), &mut |key, values| {
        merge(&key[GENERATION_SIZE..], values);
        old.extend_from_slice(key);
    })?;
    map.delete_batch(&old)
}

/// Hands over the entries of one generation of a hash map, with their keys in the kernel.
fn for_each_of(map: &RawMap, generation: [u8; 4], action: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
    for_each_batch(map, &mut |keys, values| {
        for (key, values) in keys.chunks_exact(map.key_size()).zip(values.chunks_exact(map.value_size())) {
            if key.starts_with(&generation) {
                action(key, values);
            }
        }
    })
}

/// Hands over all entries of a hash map, some at a time: their keys one behind the other, and so their values.
fn for_each_batch(map: &RawMap, action: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
    let entry = map.key_size() + map.value_size();
    let mut room = (BATCH_BYTES / entry).clamp(1, BATCH_ENTRIES);
    let mut keys = vec![0; room * map.key_size()];
    let mut values = vec![0; room * map.value_size()];
    let mut from = None;
    loop {
        let (count, next) = match map.lookup_batch(from, &mut keys, &mut values)? {
            Batch::More(count, cursor) => (count, Some(cursor)),
            Batch::Last(count) => (count, None),
            Batch::TooSmall => {
                room *= 2;
                keys.resize(room * map.key_size(), 0);
                values.resize(room * map.value_size(), 0);
                continue;
            }
        };
        action(&keys[..count * map.key_size()], &values[..count * map.value_size()]);
        if next.is_none() {
            return Ok(());
        }
        from = next;
    }
}
