//! How an aggregation is kept from having more keys than the script allows.
//!
//! An aggregation in a hash is a delta buffer of each CPU's, with a front before it: no map of the kernel knows how many keys
//! the user sees. So those of a period (`tracer_common::agg::key_count`) are listed in a hash of their own, which programs
//! look into only where they would make an entry. Once so many are listed, others are refused, as by a map that is full,
//! until the map is emptied. Of an aggregation that is whole in the kernel the entries themselves are counted.

use tracer_common::agg::GENERATION_SIZE;

use super::{Map, Storage};

/// What bounds the keys of an aggregation to [`Map::max_keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A list of them.
    Listed,
    /// The count of its entries.
    Counted,
}

impl Bound {
    /// That of a map; `None` where the kernel's map takes no more anyway.
    pub fn of(map: &Map) -> Option<Self> {
        if map.own_key_size() == 0 {
            return None;
        }
        match map.storage {
            Storage::PerCpuHash | Storage::HashByCpu => Some(Self::Listed),
            Storage::LiveHash { drops_oldest: false } => Some(Self::Counted),
            _ => None,
        }
    }

    /// Bytes of a key in the list: the period, and the key itself.
    pub fn listed_key_size(map: &Map) -> u32 {
        GENERATION_SIZE as u32 + map.own_key_size()
    }
}
