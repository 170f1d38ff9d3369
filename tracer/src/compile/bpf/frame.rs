//! The frame of a program: where its slots and spilled values lie below the frame pointer.
//!
//! The kernel gives 512 bytes to a whole chain of calls and counts each frame in units of 32 (`check_max_stack_depth` in
//! `kernel/bpf/verifier.c`), so a program has what the deepest of its callees leaves.

use crate::compile::ir::{self, SlotId};

/// What a chain of calls may take together, in bytes.
pub const STACK: u32 = 512;

/// What the kernel rounds each frame up to, in bytes.
pub const UNIT: u32 = 32;

/// Where everything lies.
#[derive(Debug)]
pub struct Frame {
    /// For each slot, its lowest byte below the frame pointer.
    slots: Vec<u32>,
    /// Bytes of all slots.
    slots_size: u32,
}

impl Frame {
    /// Lays out the slots of a program.
    pub fn new(function: &ir::Function) -> Self {
        let mut end = 0;
        let slots = function
            .slots
            .iter()
            .map(|slot| {
                end += slot.size;
                end
            })
            .collect();
        Self { slots, slots_size: end }
    }

    /// A slot's address relative to the frame pointer.
    pub fn slot(&self, slot: SlotId) -> i32 {
        -(self.slots[slot.0 as usize] as i32)
    }

    /// A spilled value's address relative to the frame pointer.
    pub fn spill(&self, index: usize) -> i32 {
        -(self.size(index + 1) as i32)
    }

    /// Bytes of the frame with so many spilled values.
    pub fn size(&self, spills: usize) -> u32 {
        self.slots_size + 8 * spills as u32
    }
}
