//! How the script's maps are made in the kernel.

use tracer_common::scratch::{AREAS, HEAD_SIZE};

use super::runtime::Data;
use crate::plan::{Bound, Front, Map, MapId, Storage, Threads};

/// A map of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDefinition {
    /// Its symbol.
    pub name: String,
    /// Its type.
    pub kind: MapKind,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Most keys that the kernel takes; 0 where it has no such limit.
    pub max_entries: u32,
    /// Room is made for each entry when it is added, not for all of them at the start (`BPF_F_NO_PREALLOC`).
    pub on_demand: bool,
}

/// Types of maps, by their numbers in `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`
    Array = 2,
    /// `BPF_MAP_TYPE_PERCPU_HASH`
    PerCpuHash = 5,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash = 9,
    /// `BPF_MAP_TYPE_TASK_STORAGE`: the kernel wants BTF for it.
    TaskStorage = 29,
}

/// The most that a hash may take at the start, in bytes (of each CPU, if each has its own values).
///
/// Making room for an entry when it is added is slower, and before Linux 6.1 may fail where the allocator cannot be
/// entered; but 4096 histograms of 8 KB on 64 CPUs would take 2 GB.
const PREALLOCATED: u64 = 4 << 20;

impl MapDefinition {
    /// The kernel's map for the script's map number `index`.
    pub fn new(index: usize, map: &Map) -> Self {
        let (kind, max_entries) = match map.storage {
            Storage::Hash | Storage::HashByThread => (MapKind::Hash, map.max_entries),
            // While user space reads the entries of one generation, programs add those of the next.
            Storage::PerCpuHash => (MapKind::PerCpuHash, map.max_entries.saturating_mul(2)),
            Storage::LruHash => (MapKind::LruHash, map.max_entries),
            Storage::HashByCpu | Storage::LiveHash { drops_oldest: false } => {
                (MapKind::Hash, map.max_entries.saturating_mul(2))
            }
            Storage::LiveHash { drops_oldest: true } => (MapKind::LruHash, map.max_entries),
            Storage::PerCpuArray { entries, .. } => (MapKind::PerCpuArray, entries * 2),
            Storage::TaskStorage => (MapKind::TaskStorage, 0),
        };
        let size = u64::from(map.key_size() + map.value_size()) * u64::from(max_entries);
        let on_demand = match kind {
            MapKind::Hash | MapKind::PerCpuHash => size > PREALLOCATED,
            // The kernel keeps an order among entries that are all there from the start.
            MapKind::Array | MapKind::PerCpuArray | MapKind::LruHash => false,
            MapKind::TaskStorage => true,
        };
        Self {
            name: symbol(MapId(index as u32)),
            kind,
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries,
            on_demand,
        }
    }
}

/// The definitions of the script's maps, each as its number says, and behind them those of their fronts and lists of keys.
pub fn definitions(maps: &[Map]) -> Vec<MapDefinition> {
    let own = maps.iter().enumerate().map(|(index, map)| MapDefinition::new(index, map));
    let fronts = maps.iter().enumerate().filter_map(|(index, map)| {
        let (kind, value_size, max_entries) = match (Front::of(map), Threads::of(map)) {
            (Some(front), _) => (MapKind::PerCpuArray, front.slot_size(), front.slots * 2),
            (None, Some(threads)) => (MapKind::Array, threads.slot_size(), Threads::SLOTS),
            (None, None) => return None,
        };
        let name = front_symbol(MapId(index as u32));
        Some(MapDefinition { name, kind, key_size: 4, value_size, max_entries, on_demand: false })
    });
    let listed = maps.iter().enumerate().filter(|(_, map)| Bound::of(map) == Some(Bound::Listed));
    let lists = listed.map(|(index, map)| {
        // While user space takes away the keys of one period, programs list those of the next.
        let (key_size, value_size, max_entries) = (Bound::listed_key_size(map), 8, map.max_keys.saturating_mul(2));
        let on_demand = u64::from(key_size + value_size) * u64::from(max_entries) > PREALLOCATED;
        let name = keys_symbol(MapId(index as u32));
        MapDefinition { name, kind: MapKind::Hash, key_size, value_size, max_entries, on_demand }
    });
    own.chain(fronts).chain(lists).collect()
}

/// Defines the runtime's scratch memory: so many bytes in each area.
pub fn size_scratch(areas: &mut Data, bytes: u32, cpus: u32) {
    // Two CPUs have no cache line in common.
    let value_size = (HEAD_SIZE as u32 + bytes).next_multiple_of(64);
    areas.bytes[VALUE_SIZE..][..4].copy_from_slice(&value_size.to_le_bytes());
    areas.bytes[MAX_ENTRIES..][..4].copy_from_slice(&(cpus * AREAS).to_le_bytes());
}

/// Where a `bpf_map_def` says how large a map's values are, and how many entries it has.
const VALUE_SIZE: usize = 8;
const MAX_ENTRIES: usize = 12;

/// The symbol of a script's map.
pub fn symbol(map: MapId) -> String {
    format!("map_{}", map.0)
}

/// The symbol of the table before a script's map.
pub fn front_symbol(map: MapId) -> String {
    format!("front_{}", map.0)
}

/// The symbol of the list of a map's keys.
pub fn keys_symbol(map: MapId) -> String {
    format!("keys_{}", map.0)
}
