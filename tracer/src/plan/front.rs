//! The front of an aggregation in a hash: a table of each CPU's that is looked into first.
//!
//! A lookup in a hash of the kernel hashes and compares the whole key behind a call, which takes as long as all else that a
//! simple probe does. In a front, a key has one slot where it can be, told by a few multiplications, and the address of the
//! slot is computed in place. The first key that comes to a slot keeps it until user space has taken the generation out:
//! since no key ever makes room for another, there is nothing to get wrong when programs come between one another. All
//! others go to the hash, as all would without a front.

use serde::Serialize;
use tracer_common::agg::GENERATION_SIZE;

use super::{Map, Shape, Storage};

/// What a front may take of the kernel's memory for each CPU, both generations together.
const BUDGET: u32 = 64 << 10;

/// Most slots of one generation, a power of two.
const MOST_SLOTS: u32 = 256;

/// With fewer slots, too many keys would go to the hash.
const FEWEST_SLOTS: u32 = 16;

/// A front is made for maps that take so many times as many keys as it has slots: for a few keys it would be large.
const SHARE: u32 = 8;

/// Bytes of the longest key. Of a longer text, so many are looked at: those that have no more have a slot.
const LONGEST: u32 = 64;

/// A table that is looked into before an aggregation's hash: an array for each CPU, the index being
/// `(generation & 1) * slots + slot`. A slot is a value, a word that says whether a key has it, and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Front {
    /// How many keys of a generation have one: a power of two.
    pub slots: u32,
    /// The key's 8-byte words.
    pub words: u32,
    /// Keys are texts that may be longer than that; only those whose last byte here is 0 have a slot.
    pub beginning: bool,
    /// Bytes of a value.
    value: u32,
}

impl Front {
    /// What stands in a slot that has a key; in one that has none stands 0.
    pub const HELD: u64 = 1;

    /// The front of a map, if it has one. A series has none: each of its keys has another value in each interval.
    pub fn of(map: &Map) -> Option<Self> {
        if !matches!(map.storage, Storage::PerCpuHash | Storage::HashByCpu) || map.series().is_some() {
            return None;
        }
        let size = map.own_key_size();
        let beginning = size > LONGEST;
        if size == 0 || beginning && !matches!(map.key, Some(Shape::Str { .. })) {
            return None;
        }
        let front = Self { slots: 0, words: size.min(LONGEST) / 8, beginning, value: map.value_size() };
        let slots = (BUDGET / 2 / front.slot_size()).min(MOST_SLOTS);
        let slots = if slots.is_power_of_two() { slots } else { slots.next_power_of_two() / 2 };
        (slots >= FEWEST_SLOTS && map.max_keys / SHARE >= slots).then_some(Self { slots, ..front })
    }

    /// Bytes of a slot, a multiple of 8.
    pub fn slot_size(&self) -> u32 {
        self.value + 8 + self.words * 8
    }

    /// Where in a slot it stands whether a key has it.
    pub fn state(&self) -> u32 {
        self.value
    }

    /// Where in a slot the key begins.
    pub fn key(&self) -> u32 {
        self.value + 8
    }

    /// Where in the hash's key those words begin that are looked at.
    pub const IN_KEY: u32 = GENERATION_SIZE as u32;
}
