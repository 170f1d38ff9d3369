//! Spill slots: 8 bytes of the frame each, shared by values that are never live together.

use std::collections::BTreeMap;

use super::liveness::Liveness;
use super::mir::{Function, Val};

/// The spill slots of a program.
pub struct SpillSlots {
    slot_of: BTreeMap<Val, usize>,
    /// Slots that hold a value for the length of one parallel move only.
    spare: Vec<usize>,
    count: usize,
    /// Where each value is defined.
    definitions: Vec<Option<Position>>,
}

/// A place in the program: behind an instruction, or before the first one.
#[derive(Clone, Copy)]
struct Position {
    block: usize,
    done: usize,
}

impl SpillSlots {
    /// No slots yet.
    pub fn new(function: &Function) -> Self {
        let mut definitions = vec![None; function.remat.len()];
        for (block, data) in function.blocks.iter().enumerate() {
            for parameter in &data.parameters {
                definitions[parameter.index()] = Some(Position { block, done: 0 });
            }
            for (index, inst) in data.insts.iter().enumerate() {
                if let Some(dst) = inst.op.dst() {
                    definitions[dst.index()] = Some(Position { block, done: index + 1 });
                }
            }
        }
        Self { slot_of: BTreeMap::new(), spare: Vec::new(), count: 0, definitions }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The slot of a value: always the same, and of no value that is live together with it.
    pub fn of(&mut self, value: Val, function: &Function, liveness: &Liveness) -> usize {
        if let Some(&slot) = self.slot_of.get(&value) {
            return slot;
        }
        let taken: Vec<usize> = self
            .slot_of
            .iter()
            .filter(|(other, _)| self.overlap(value, **other, function, liveness))
            .map(|(_, slot)| *slot)
            .chain(self.spare.iter().copied())
            .collect();
        let slot = (0..).find(|slot| !taken.contains(slot)).expect("numbers do not end");
        self.count = self.count.max(slot + 1);
        self.slot_of.insert(value, slot);
        slot
    }

    /// The slot of a value that has been given one.
    pub fn known(&self, value: Val) -> usize {
        self.slot_of[&value]
    }

    /// The spare slot number `index`.
    pub fn spare(&mut self, index: usize) -> usize {
        while self.spare.len() <= index {
            self.spare.push(self.count);
            self.count += 1;
        }
        self.spare[index]
    }

    /// In SSA form two values are live together if and only if one is live where the other is defined.
    fn overlap(&self, a: Val, b: Val, function: &Function, liveness: &Liveness) -> bool {
        let live_where_defined = |value: Val, other: Val| {
            self.definitions[other.index()].is_some_and(|at| self.is_live(value, at, function, liveness))
        };
        live_where_defined(a, b) || live_where_defined(b, a)
    }

    fn is_live(&self, value: Val, at: Position, function: &Function, liveness: &Liveness) -> bool {
        let block = &function.blocks[at.block];
        let defined = liveness.at_entry[at.block].contains_key(&value)
            || self.definitions[value.index()].is_some_and(|own| own.block == at.block && own.done <= at.done);
        defined
            && (liveness.at_exit[at.block].contains_key(&value)
                || block.insts[at.done..].iter().any(|inst| inst.op.uses().contains(&value))
                || block.exit.uses().contains(&value)
                || block.exit.edges().any(|edge| edge.arguments.contains(&value)))
    }
}
