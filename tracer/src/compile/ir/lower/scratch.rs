//! Memory for what is being worked on: in the frame while it is small, else in scratch memory.
//!
//! The kernel gives a program 512 bytes of stack. What does not fit lies in an area that the clause claims from the runtime
//! (`tracer_common::scratch` says what keeps others away from it) and gives back at its end; nobody else on this CPU has
//! it meanwhile, whoever interrupts. A clause that finds none free is left out, and the loss is counted.
//!
//! Claiming costs some nanoseconds, so it is done behind the predicate, unless the predicate needs the memory too, and
//! not at all where all fits the frame. That is known when the clause has been lowered: until then the claim is there on trial.

use tracer_common::loss::Loss;
use tracer_common::scratch::HEAD_SIZE;

use super::memory::Place;
use super::{Lowering, number, shape};
use crate::compile::ir::{BinaryOp, Block, Runtime, SlotId, Value, Width};
use crate::compile::sema::typed::{Clause, Expr};

/// How much of what is being worked on the frames hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// As much as usually fits.
    Roomy,
    /// As little as can be, for programs with so many values to keep that they fill the frame.
    Tight,
}

impl Frames {
    /// The largest piece that may lie in a frame, in bytes.
    fn largest(self) -> u32 {
        match self {
            Self::Roomy => 64,
            Self::Tight => 0,
        }
    }

    /// Bytes that all pieces in a frame may take: those of a program, of one that calls back, of a callback.
    fn budget(self, calls_back: bool, in_callback: bool) -> u32 {
        match (self, calls_back, in_callback) {
            (Self::Tight, ..) => 0,
            (Self::Roomy, _, true) => 64,
            (Self::Roomy, true, false) => 128,
            (Self::Roomy, false, false) => 256,
        }
    }
}

/// A piece of memory, its address a multiple of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// In the frame of the function at hand.
    Slot(SlotId),
    /// In the clause's area.
    Scratch(Span),
}

/// Bytes of the area, behind its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    size: u32,
}

/// The area of the clause at hand.
#[derive(Debug, Default)]
pub(super) struct Area {
    /// Its address, where it is known.
    pub(super) base: Option<Value>,
    /// The claim on trial, and where the clause goes if there is no area.
    claim: Option<Claim>,
    /// Whether a callback uses it.
    pub(super) called_back: bool,
    /// Bytes that have been in use at one time.
    end: u32,
    /// What has been released of them.
    free: Vec<Span>,
    /// The same as `end`, the most of all clauses so far.
    pub(super) most: u32,
}

#[derive(Debug)]
struct Claim {
    value: Value,
    /// The block that ends with it.
    block: Block,
    /// Where it has succeeded.
    claimed: Block,
    /// Where it has not.
    none: Block,
}

impl Area {
    /// A piece of so many bytes, which others have released or nobody has used.
    fn allocate(&mut self, size: u32) -> Span {
        let fitting = (0..self.free.len()).filter(|&index| self.free[index].size >= size);
        if let Some(index) = fitting.min_by_key(|&index| self.free[index].size) {
            return self.free.swap_remove(index);
        }
        let span = Span { start: self.end, size };
        self.end += size;
        span
    }
}

impl Lowering<'_> {
    /// Memory for so many bytes, until it is released.
    pub(super) fn allocate(&mut self, size: u32) -> Memory {
        let size = size.next_multiple_of(8).max(8);
        let small = size <= self.frames.largest() && {
            let budget = self.frames.budget(self.calls_back, self.in_callback());
            self.b.has_free_slot(size) || self.b.slots_size() + size <= budget
        };
        // What is evaluated before there is an area is small.
        if small || self.area.base.is_none() {
            return Memory::Slot(self.b.slot(size));
        }
        self.allocate_scratch(size)
    }

    /// The same in the area, which must be claimed before it is used.
    pub(super) fn allocate_scratch(&mut self, size: u32) -> Memory {
        Memory::Scratch(self.area.allocate(size.next_multiple_of(8)))
    }

    /// Whether a piece of so many bytes is too large for any frame.
    pub(super) fn is_large(&self, size: u32) -> bool {
        size > self.frames.largest()
    }

    /// What lies there is not needed any more.
    pub(super) fn release(&mut self, memory: Memory) {
        match memory {
            Memory::Slot(slot) => self.b.release(slot),
            Memory::Scratch(span) => self.area.free.push(span),
        }
    }

    /// Where it is.
    pub(super) fn memory_place(&mut self, memory: Memory) -> Place {
        let pointer = match memory {
            Memory::Slot(slot) => self.b.slot_address(slot),
            Memory::Scratch(span) => {
                let base = self.area.base.expect("the area is claimed before it is used");
                self.area.called_back |= self.in_callback();
                self.b.binary_with(BinaryOp::Add, base, (HEAD_SIZE as u32 + span.start).into())
            }
        };
        Place { pointer, offset: 0 }
    }

    /// Whether the predicate of a clause works with what is too large for the frame.
    pub(super) fn predicate_is_large(&self, clause: &Clause) -> bool {
        let large = |expr: &Expr| number(shape(&expr.ty)).is_none() && self.is_large(shape(&expr.ty).size());
        let tight = self.frames == Frames::Tight;
        clause.predicate.as_ref().is_some_and(|predicate| tight || predicate.any(&mut |expr| large(expr)))
    }

    /// Claims an area, on trial. From here on the clause ends where it is given back.
    pub(super) fn begin_claim(&mut self) {
        self.end = self.b.new_block();
        let (claimed, none) = (self.b.new_block(), self.b.new_cold_block());
        let value = self.b.runtime(Runtime::Claim, &[]);
        let block = self.b.current();
        self.b.branch_if(value, claimed, none);
        self.b.fill(claimed);
        self.area.base = Some(value);
        self.area.claim = Some(Claim { value, block, claimed, none });
    }

    /// Gives the area back and goes on to `end`; or takes the claim back, if nothing has used the area.
    pub(super) fn end_claim(&mut self, end: Block) {
        let Some(Claim { value, block, claimed, none }) = self.area.claim.take() else {
            unreachable!("what ends here has begun");
        };
        let used = self.area.end > 0;
        if self.b.reachable() {
            if used {
                let zero = self.b.constant(0);
                self.b.store(value, 0, Width::B8, zero);
            }
            self.b.jump(end, &[]);
        }
        if used {
            self.b.fill(none);
            self.lost(Loss::ScratchBusy);
            self.b.jump(end, &[]);
        } else {
            self.b.undo_branch(block, value, claimed, none);
        }
        let most = self.area.most.max(self.area.end);
        self.area = Area { most, ..Area::default() };
    }
}
