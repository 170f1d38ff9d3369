//! Looking for a key in the table before an aggregation's hash (`plan::Front`).

use super::{Lowering, aggregation::Refusal};
use crate::compile::ir::build::Variable;
use crate::compile::ir::{BinaryOp, Block, CompareOp, Helper, Runtime, Value, Width};
use crate::plan::{Front, MapId};

/// 2^64 by the golden ratio: the upper bits of its odd multiples' products with small numbers are far apart.
pub(super) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Lowering<'_> {
    /// Goes to `found`, with the address of the value in `value`, where the key that `key` points to has a slot or can have
    /// one; else goes on. A key that the map does not take is refused.
    pub(super) fn front_value(
        &mut self,
        map: MapId,
        front: Front,
        key: Value,
        value: Variable,
        found: Block,
        refusal: &Refusal,
    ) {
        let elsewhere = self.b.new_block();
        let slot = self.front_slot(map, front, key, elsewhere);
        self.b.write(value, slot);
        let (held, free) = (self.b.new_block(), self.b.new_cold_block());
        let state = self.b.load(slot, front.state() as i32, Width::B8);
        let is_held = self.b.constant(Front::HELD as i64);
        self.b.branch(CompareOp::Eq, state, is_held, held, free);

        self.b.fill(held);
        let mut difference = self.b.constant(0);
        for word in 0..front.words {
            let ours = self.key_word(key, word);
            let theirs = self.b.load(slot, (front.key() + word * 8) as i32, Width::B8);
            let differs = self.b.binary(BinaryOp::Xor, ours, theirs);
            difference = self.b.binary(BinaryOp::Or, difference, differs);
        }
        self.b.branch_if(difference, elsewhere, found);

        // Whoever comes between while the key is written finds the slot taken, by no key yet, and goes to the hash.
        self.b.fill(free);
        self.admit(map, key, refusal);
        let (unheld, nobodys) = (self.b.constant(0), self.b.constant(-1));
        let state = self.b.binary_with(BinaryOp::Add, slot, front.state().into());
        let taken = self.b.runtime(Runtime::TakeWord, &[state, unheld, nobodys]);
        let ours = self.b.new_cold_block();
        self.b.branch_if(taken, ours, elsewhere);
        self.b.fill(ours);
        for word in 0..front.words {
            let part = self.key_word(key, word);
            self.b.store(slot, (front.key() + word * 8) as i32, Width::B8, part);
        }
        self.b.store(slot, front.state() as i32, Width::B8, is_held);
        self.b.jump(found, &[]);
        self.b.fill(elsewhere);
    }

    /// The address of the slot where a key is if it is in the table; to `elsewhere` if it cannot be.
    fn front_slot(&mut self, map: MapId, front: Front, key: Value, elsewhere: Block) -> Value {
        let mut hash = self.b.constant(0);
        for word in 0..front.words {
            let part = self.key_word(key, word);
            if front.beginning && word + 1 == front.words {
                let short = self.b.new_block();
                let last = self.b.binary_with(BinaryOp::Shr, part, 56);
                self.b.branch_if(last, elsewhere, short);
                self.b.fill(short);
            }
            let multiplier = MULTIPLIER.wrapping_mul(u64::from(2 * word + 1));
            let product = self.b.binary_with(BinaryOp::Mul, part, multiplier as i64);
            hash = self.b.binary(BinaryOp::Add, hash, product);
        }
        let bits = front.slots.trailing_zeros();
        let index = self.b.binary_with(BinaryOp::Shr, hash, (64 - bits).into());
        let generation = self.b.generation(map);
        let half = self.b.binary_with(BinaryOp::And, generation, 1);
        let start = self.b.binary_with(BinaryOp::Shl, half, bits.into());
        let index = self.b.binary(BinaryOp::Or, index, start);
        self.slot_at(map, index, elsewhere)
    }

    /// The address of a slot of the table before a map, by its number, which is in bounds; `elsewhere` is
    /// there for the verifier, which wants to see the address tested.
    pub(super) fn slot_at(&mut self, map: MapId, index: Value, elsewhere: Block) -> Value {
        let place = self.temporary(4);
        self.b.store(place.pointer, place.offset, Width::B4, index);
        let (table, at) = (self.b.front(map), self.address(place));
        let slot = self.b.helper(Helper::MapLookupElem, &[table, at]);
        let there = self.b.new_block();
        self.b.branch_if(slot, there, elsewhere);
        self.b.fill(there);
        slot
    }

    fn key_word(&mut self, key: Value, word: u32) -> Value {
        self.b.load(key, (Front::IN_KEY + word * 8) as i32, Width::B8)
    }
}
