//! The table before a hash of the threads' own entries: what begins in a thread and ends in it, as `@start[tid]`.
//!
//! An entry of a hash is taken from a list and given back whenever something begins and ends, behind calls and locks. In
//! the table a thread finds a slot by one multiplication, and whose it is and whether it holds anything is one word. A slot
//! stays its thread's until another needs it and it holds nothing; whose slot is taken has its entries in the hash. An entry is
//! in one of them only: a thread takes a slot only when it has nothing in the hash.

use serde::Serialize;

use super::{Map, Storage};

/// The table before a [`Storage::HashByThread`], an array. A slot is a word, whose it is and whether it holds something,
/// and then a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Threads {
    /// Bytes of a value.
    value: u32,
}

impl Threads {
    /// How many slots there are, a power of two.
    pub const SLOTS: u32 = 4096;

    /// Bytes of the largest value that such a table is made of.
    pub const LARGEST: u32 = 64;

    /// What is added to the shifted number of the thread whose slot it is: it holds something.
    pub const HOLDS: u64 = 1;

    /// The same: it is being taken.
    pub const TAKEN: u64 = 2;

    /// How far a thread's number is shifted in a slot's word.
    pub const SHIFT: u32 = 2;

    /// Where in a slot the value begins.
    pub const VALUE: u32 = 8;

    /// The table of a map, if it has one.
    pub fn of(map: &Map) -> Option<Self> {
        (map.storage == Storage::HashByThread).then(|| Self { value: map.value_size() })
    }

    /// Bytes of a slot, a multiple of 8.
    pub fn slot_size(&self) -> u32 {
        Self::VALUE + self.value
    }

    /// The thread and the value of a slot that holds something.
    pub fn entry(slot: &[u8]) -> Option<(u64, &[u8])> {
        let (word, value) = slot.split_first_chunk()?;
        let word = u64::from_ne_bytes(*word);
        (word & Self::HOLDS != 0).then_some((word >> Self::SHIFT, value))
    }
}
