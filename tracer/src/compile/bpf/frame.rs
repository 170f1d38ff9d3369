//! The frame of a program: where its slots and spilled values lie below the frame pointer.
//!
//! The kernel gives 512 bytes to a whole chain of calls and counts each frame in units of 32 (`check_max_stack_depth` in
//! `kernel/bpf/verifier.c`), so a program has what the deepest of its callees leaves. Slots that are never in use together
//! share their bytes: a program with an action for each of many events needs the frame of the largest.

use std::collections::BTreeSet;

use super::mir::{Base, Edge, Function, Op, Remat, Val};
use crate::compile::ir::{Slot, SlotId};

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
    pub fn new(slots: &[Slot], function: &Function) -> Self {
        let overlaps = overlaps(slots.len(), function);
        let size = |slot: usize| slots[slot].size;
        // Large ones first: what is small finds room between them.
        let mut order: Vec<usize> = (0..slots.len()).filter(|&slot| overlaps[slot].contains(&slot)).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(size(slot)));
        let mut ends = vec![0; slots.len()];
        let mut placed: Vec<usize> = Vec::new();
        for slot in order {
            let mut taken: Vec<(u32, u32)> = placed
                .iter()
                .filter(|other| overlaps[slot].contains(other))
                .map(|&other| (ends[other] - size(other), ends[other]))
                .collect();
            taken.sort();
            let mut start = 0;
            for (first, end) in taken {
                if start + size(slot) <= first {
                    break;
                }
                start = start.max(end);
            }
            ends[slot] = start + size(slot);
            placed.push(slot);
        }
        let slots_size = ends.iter().copied().max().unwrap_or(0);
        Self { slots: ends, slots_size }
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

/// Slots, by their indices.
type Slots = BTreeSet<usize>;

/// For each slot, which are in use together with it; itself among them, if it is used at all.
///
/// A slot is in use from the first access on any path here to the last on any path from here.
fn overlaps(count: usize, function: &Function) -> Vec<Slots> {
    let accesses = Accesses::new(function);
    let blocks = function.blocks.len();
    let accessed: Vec<Vec<Slots>> = (0..blocks).map(|block| accesses.in_block(block)).collect();
    let all: Vec<Slots> = accessed.iter().map(|block| block.iter().flatten().copied().collect()).collect();
    let (mut before, mut after) = (vec![Slots::new(); blocks], vec![Slots::new(); blocks]);
    let mut settled = false;
    while !settled {
        settled = true;
        for block in 0..blocks {
            for edge in function.blocks[block].exit.edges() {
                let here: Vec<usize> = before[block].union(&all[block]).copied().collect();
                settled &= !extend(&mut before[edge.to], here);
            }
        }
        for block in (0..blocks).rev() {
            for edge in function.blocks[block].exit.edges() {
                let there: Vec<usize> = after[edge.to].union(&all[edge.to]).copied().collect();
                settled &= !extend(&mut after[block], there);
            }
        }
    }

    let mut overlaps = vec![Slots::new(); count];
    for block in 0..blocks {
        let in_use = all[block].iter().chain(before[block].intersection(&after[block])).copied().collect::<Slots>();
        let end = accessed[block].len();
        let range = |slot: usize| {
            let mut places = accessed[block].iter().enumerate().filter(|(_, slots)| slots.contains(&slot));
            let first = places.next().map_or(0, |(place, _)| place);
            let last = places.next_back().map_or(first, |(place, _)| place);
            let from = if before[block].contains(&slot) { 0 } else { first };
            let to = if after[block].contains(&slot) { end } else { last };
            (from, to)
        };
        for &slot in &in_use {
            let (from, to) = range(slot);
            let together = |other: &usize| {
                let (other_from, other_to) = range(*other);
                from <= other_to && other_from <= to
            };
            overlaps[slot].extend(in_use.iter().copied().filter(together));
        }
    }
    overlaps
}

/// Adds to a set; whether that has changed it.
fn extend(slots: &mut Slots, more: Vec<usize>) -> bool {
    let size = slots.len();
    slots.extend(more);
    slots.len() != size
}

/// Which slots each value may point to.
struct Accesses<'a> {
    function: &'a Function,
    points_to: Vec<Slots>,
}

impl<'a> Accesses<'a> {
    fn new(function: &'a Function) -> Self {
        let points_to = function
            .remat
            .iter()
            .map(|remat| match remat {
                Some(Remat::Slot(slot, _)) => Slots::from([slot.0 as usize]),
                _ => Slots::new(),
            })
            .collect();
        let mut accesses = Self { function, points_to };
        while accesses.follow() {}
        accesses
    }

    /// Addresses computed from addresses, and those that edges pass on; whether there was any news.
    fn follow(&mut self) -> bool {
        let function = self.function;
        let mut news = false;
        for block in &function.blocks {
            for inst in &block.insts {
                if let Op::Alu { dst, .. } | Op::Neg { dst, .. } | Op::ZeroExtend { dst, .. } = inst.op {
                    let from = self.of(inst.op.uses());
                    news |= extend(&mut self.points_to[dst.index()], from);
                }
            }
            for Edge { to, arguments } in block.exit.edges() {
                for (parameter, argument) in function.blocks[*to].parameters.iter().zip(arguments) {
                    let from = self.of(vec![*argument]);
                    news |= extend(&mut self.points_to[parameter.index()], from);
                }
            }
        }
        news
    }

    fn of(&self, values: Vec<Val>) -> Vec<usize> {
        values.into_iter().flat_map(|value| self.points_to[value.index()].iter().copied()).collect()
    }

    /// What each instruction of a block accesses or hands on, and what its exit does.
    fn in_block(&self, block: usize) -> Vec<Slots> {
        let data = &self.function.blocks[block];
        let insts = data.insts.iter().map(|inst| {
            let base = match inst.op {
                Op::Load { base: Base::Slot(slot), .. }
                | Op::Store { base: Base::Slot(slot), .. }
                | Op::AtomicAdd { base: Base::Slot(slot), .. } => Some(slot.0 as usize),
                _ => None,
            };
            self.of(inst.op.uses()).into_iter().chain(base).collect()
        });
        let passed = data.exit.edges().flat_map(|edge| edge.arguments.iter().copied());
        let exit = self.of(data.exit.uses().into_iter().chain(passed).collect());
        insts.chain([exit.into_iter().collect()]).collect()
    }
}
