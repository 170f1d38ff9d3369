//! The table of the threads' own entries before a hash (`plan::Threads`).
//!
//! Only the thread itself reads or writes what it has in its slot, in programs that do not interrupt one another. That a
//! slot becomes another thread's is one atomic step, which succeeds only where the slot holds nothing and nobody else is
//! taking it.

use super::{Lowering, front::MULTIPLIER, memory::Place};
use crate::compile::ir::{BinaryOp, Block, CompareOp, Runtime, Value, Width};
use crate::compile::sema::typed::Expr;
use crate::plan::{MapId, Threads};

/// The slot where the current thread's entry is, unless another has it.
pub(super) struct ThreadSlot {
    slot: Value,
    /// What its word was.
    word: Value,
    /// What its word is where it is this thread's and holds nothing.
    own: Value,
}

impl ThreadSlot {
    /// Where the value is.
    pub(super) fn value(&self) -> Place {
        Place { pointer: self.slot, offset: Threads::VALUE as i32 }
    }
}

impl Lowering<'_> {
    /// Finds the slot for a key; to `elsewhere` where there is none.
    pub(super) fn thread_slot(&mut self, map: MapId, key: Option<&Expr>, elsewhere: Block) -> ThreadSlot {
        let tid = self.value(key.expect("such a map has a key"));
        // Threads that the scope's pid namespace does not number are all 0.
        let numbered = self.b.new_block();
        self.b.branch_if(tid, numbered, elsewhere);
        self.b.fill(numbered);
        let product = self.b.binary_with(BinaryOp::Mul, tid, MULTIPLIER as i64);
        let index = self.b.binary_with(BinaryOp::Shr, product, (64 - Threads::SLOTS.trailing_zeros()).into());
        let slot = self.slot_at(map, index, elsewhere);
        let word = self.b.load(slot, 0, Width::B8);
        let own = self.b.binary_with(BinaryOp::Shl, tid, Threads::SHIFT.into());
        ThreadSlot { slot, word, own }
    }

    /// To `holds` where the slot holds this thread's entry, to `nothing` where it is this thread's and holds none; else goes on.
    pub(super) fn branch_thread_slot(&mut self, slot: &ThreadSlot, holds: Block, nothing: Block) {
        let holding = self.b.binary_with(BinaryOp::Or, slot.own, Threads::HOLDS as i64);
        let other = self.b.new_block();
        self.b.branch(CompareOp::Eq, slot.word, holding, holds, other);
        self.b.fill(other);
        let foreign = self.b.new_block();
        self.b.branch(CompareOp::Eq, slot.word, slot.own, nothing, foreign);
        self.b.fill(foreign);
    }

    /// Changes the thread's entry in its slot and goes to `done`; goes on where it has to be in the hash. `begin` writes what
    /// an entry is before it is changed for the first time.
    pub(super) fn write_thread_slot(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        done: Block,
        begin: impl Fn(&mut Self, Place),
        change: impl Fn(&mut Self, Place),
    ) {
        let (elsewhere, holds, nothing) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        let (take, taken) = (self.b.new_block(), self.b.new_block());
        let slot = self.thread_slot(map, key, elsewhere);
        self.branch_thread_slot(&slot, holds, nothing);

        // Another's, or nobody's: this thread's entry may be in the hash.
        let busy = self.b.binary_with(BinaryOp::And, slot.word, (Threads::HOLDS | Threads::TAKEN) as i64);
        let idle = self.b.new_block();
        self.b.branch_if(busy, elsewhere, idle);
        self.b.fill(idle);
        let in_hash = self.key(map, key);
        let in_hash = self.lookup(map, in_hash);
        self.b.branch_if(in_hash, elsewhere, take);

        self.b.fill(nothing);
        self.b.jump(take, &[]);
        self.b.fill(take);
        let mark = self.b.binary_with(BinaryOp::Or, slot.own, Threads::TAKEN as i64);
        let result = self.b.runtime(Runtime::TakeWord, &[slot.slot, slot.word, mark]);
        self.b.branch_if(result, taken, elsewhere);
        self.b.fill(taken);
        begin(self, slot.value());
        let holding = self.b.binary_with(BinaryOp::Or, slot.own, Threads::HOLDS as i64);
        self.b.store(slot.slot, 0, Width::B8, holding);
        self.b.jump(holds, &[]);

        self.b.fill(holds);
        change(self, slot.value());
        self.b.jump(done, &[]);
        self.b.fill(elsewhere);
    }

    /// Deletes the thread's entry if it has a slot, which stays the thread's, and goes to `done`; goes on where it is in the hash.
    pub(super) fn forget_thread_slot(&mut self, map: MapId, key: Option<&Expr>, done: Block) {
        let (elsewhere, holds) = (self.b.new_block(), self.b.new_block());
        let slot = self.thread_slot(map, key, elsewhere);
        self.branch_thread_slot(&slot, holds, done);
        self.b.jump(elsewhere, &[]);
        self.b.fill(holds);
        self.b.store(slot.slot, 0, Width::B8, slot.own);
        self.b.jump(done, &[]);
        self.b.fill(elsewhere);
    }
}
