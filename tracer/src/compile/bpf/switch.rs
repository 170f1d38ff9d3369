//! A switch as a tree of comparisons.
//!
//! Neighbouring cases with the same target become a range. A few ranges are asked one after the other; more of them are
//! halved, so that n cases take log2(n) jumps.

use super::insn::{Bits, Condition, JumpOp};
use super::mir::{Edge, Exit, Val};
use super::select::Selector;

/// How many single numbers are asked for one after the other.
const CHAIN: usize = 3;

/// Numbers from `first` to `last` go to one place.
struct Range<'a> {
    first: i64,
    last: i64,
    edge: &'a Edge,
}

/// The exit of a block that ends in a switch on `value`, which is not less than `smallest`. Cases are sorted and distinct.
pub fn expand(
    selector: &mut Selector<'_>,
    value: Val,
    smallest: i64,
    cases: &[(i64, Edge)],
    default: &Edge,
    cold: bool,
) -> Exit {
    let mut ranges: Vec<Range<'_>> = Vec::new();
    for (number, edge) in cases {
        match ranges.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(*number) && range.edge == edge => range.last = *number,
            _ => ranges.push(Range { first: *number, last: *number, edge }),
        }
    }
    Tree { selector, value, default, cold }.decide(&ranges, smallest, i64::MAX)
}

struct Tree<'a, 'b> {
    selector: &'a mut Selector<'b>,
    value: Val,
    default: &'a Edge,
    cold: bool,
}

impl Tree<'_, '_> {
    /// Decides between the ranges for a value from `smallest` to `largest`.
    fn decide(&mut self, ranges: &[Range<'_>], smallest: i64, largest: i64) -> Exit {
        match ranges {
            [] => Exit::Jump(self.default.clone()),
            [range] if range.first <= smallest && range.last >= largest => Exit::Jump(range.edge.clone()),
            [range] if range.first == range.last => {
                self.branch(JumpOp::Eq, range.first, range.edge.clone(), self.default.clone())
            }
            [range] if range.first <= smallest => {
                self.branch(JumpOp::Sle, range.last, range.edge.clone(), self.default.clone())
            }
            [range] => {
                let above = if range.last >= largest {
                    range.edge.clone()
                } else {
                    let exit = self.branch(JumpOp::Sle, range.last, range.edge.clone(), self.default.clone());
                    self.block(exit)
                };
                self.branch(JumpOp::Sge, range.first, above, self.default.clone())
            }
            [range, rest @ ..] if ranges.len() <= CHAIN && ranges.iter().all(|range| range.first == range.last) => {
                let exit = self.decide(rest, smallest, largest);
                let rest = self.block(exit);
                self.branch(JumpOp::Eq, range.first, range.edge.clone(), rest)
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let pivot = high[0].first;
                let exit = self.decide(low, smallest, pivot - 1);
                let low = self.block(exit);
                let exit = self.decide(high, pivot, largest);
                let high = self.block(exit);
                self.branch(JumpOp::Slt, pivot, low, high)
            }
        }
    }

    fn branch(&mut self, op: JumpOp, number: i64, then: Edge, otherwise: Edge) -> Exit {
        let b = self.selector.number_operand(number);
        Exit::Branch { condition: Condition { bits: Bits::B64, op, a: self.value, b }, then, otherwise }
    }

    /// A block of its own for a decision, unless it is none.
    fn block(&mut self, exit: Exit) -> Edge {
        match exit {
            Exit::Jump(edge) => edge,
            exit => Edge { to: self.selector.decision(exit, self.cold), arguments: Vec::new() },
        }
    }
}
