//! A jump to a block that only branches on what the jump passes goes straight to where the branch would.
//!
//! `/@start[tid]/` reads a value, or zero where there is none, and then asks whether it is zero: the way of the missing
//! key need not ask.

use super::super::cfg::Dominators;
use super::super::fold::compare;
use super::super::{Block, Function, Inst, Target, Terminator, Value};
use super::order;

/// Every such jump.
pub(super) fn run(function: &mut Function) {
    for block in function.reverse_postorder() {
        while let Some((from, target)) = find(function, block) {
            function.blocks[from.0 as usize].terminator = Terminator::Jump(target);
        }
    }
    order::drop_unreachable(function);
}

/// A block that jumps to `block`, and where that leads.
fn find(function: &Function, block: Block) -> Option<(Block, Target)> {
    let data = function.block(block);
    let Terminator::Branch { op, a, b, then, otherwise } = &data.terminator else { return None };
    let only_constants = data.insts.iter().all(|&value| number(function, value).is_some());
    if data.parameters.is_empty() || !only_constants {
        return None;
    }
    let predecessors = function.predecessors();
    let dominators = Dominators::compute(function);
    predecessors[block.0 as usize].iter().find_map(|&from| {
        let Terminator::Jump(jump) = &function.block(from).terminator else { return None };
        // What a value of the block is on this way.
        let on_way = |value: Value| match data.parameters.iter().position(|&parameter| parameter == value) {
            Some(position) => jump.arguments[position],
            None => value,
        };
        let (a, b) = (number(function, on_way(*a))?, number(function, on_way(*b))?);
        let (taken, other) = if compare(*op, a, b) { (then, otherwise) } else { (otherwise, then) };
        // A constant of the block does not dominate the jump.
        let passes_own = taken.arguments.iter().any(|argument| data.insts.contains(argument));
        if taken.block == block || passes_own || !used_behind_only(function, &dominators, &predecessors, block, other) {
            return None;
        }
        let arguments = taken.arguments.iter().map(|&argument| on_way(argument)).collect();
        Some((from, Target { block: taken.block, arguments }))
    })
}

/// Whether all that a block defines is used only where the block will still have been passed: in itself, and behind
/// its edge to `other`.
fn used_behind_only(
    function: &Function,
    dominators: &Dominators,
    predecessors: &[Vec<Block>],
    block: Block,
    other: &Target,
) -> bool {
    let data = function.block(block);
    let is_own = |value: &Value| data.parameters.contains(value) || data.insts.contains(value);
    let only_way = predecessors[other.block.0 as usize] == [block];
    function.block_ids().filter(|&user| user != block).all(|user| {
        if only_way && dominators.dominates(other.block, user) {
            return true;
        }
        let user = function.block(user);
        let insts = user.insts.iter().filter_map(|value| function.values[value.0 as usize].inst.as_ref());
        !insts.flat_map(Inst::operands).chain(user.terminator.operands()).any(|operand| is_own(&operand))
    })
}

fn number(function: &Function, value: Value) -> Option<i64> {
    match function.values[value.0 as usize].inst {
        Some(Inst::Const(number)) => Some(number),
        _ => None,
    }
}
