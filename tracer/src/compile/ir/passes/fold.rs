//! Folds constants and identities, along the ways of control: a decided branch becomes a jump, a parameter that all ways
//! agree on becomes its value.

use std::collections::HashSet;

use super::super::fold::{Folded, compare, fold};
use super::super::{Block, CompareOp, Function, Inst, Target, Terminator, Value};
use super::order;

/// Until nothing changes any more: a branch that is gone may leave a parameter with one argument.
pub(super) fn run(function: &mut Function) {
    // What cannot be reached is no predecessor.
    order::drop_unreachable(function);
    loop {
        let values = fold_values(function);
        let branches = fold_branches(function);
        if !values && !branches {
            break;
        }
        order::drop_unreachable(function);
    }
}

/// Replaces values by what they come down to. Whether there were such.
fn fold_values(function: &mut Function) -> bool {
    let mut same: Vec<Option<Value>> = vec![None; function.values.len()];
    let predecessors = function.predecessors();
    let mut changed = false;
    for block in function.reverse_postorder() {
        changed |= fold_parameters(function, block, &predecessors[block.0 as usize], &mut same);
        for index in 0..function.block(block).insts.len() {
            let value = function.block(block).insts[index];
            let mut inst = inst(function, value).clone();
            inst.operands_mut().into_iter().for_each(|operand| *operand = resolve(&same, *operand));
            match fold(&inst, |value| function.values[value.0 as usize].inst.as_ref()) {
                Some(Folded::Const(number)) if inst != Inst::Const(number) => {
                    inst = Inst::Const(number);
                    changed = true;
                }
                Some(Folded::Same(known)) => {
                    same[value.0 as usize] = Some(known);
                    changed = true;
                }
                _ => {}
            }
            function.values[value.0 as usize].inst = Some(inst);
        }
        let terminator = &mut function.blocks[block.0 as usize].terminator;
        terminator.operands_mut().into_iter().for_each(|operand| *operand = resolve(&same, *operand));
    }
    // Arguments of jumps back, and instructions that are now copies of others.
    for block in &mut function.blocks {
        block.insts.retain(|value| same[value.0 as usize].is_none());
        block.terminator.operands_mut().into_iter().for_each(|operand| *operand = resolve(&same, *operand));
    }
    changed
}

/// Drops the parameters of a block that every way gives the same argument.
fn fold_parameters(function: &mut Function, block: Block, predecessors: &[Block], same: &mut [Option<Value>]) -> bool {
    let parameters = function.block(block).parameters.clone();
    let mut dropped = Vec::new();
    for (index, &parameter) in parameters.iter().enumerate() {
        if block == Block(0) {
            break;
        }
        let arguments: Vec<Value> = predecessors
            .iter()
            .flat_map(|&from| function.block(from).terminator.targets())
            .filter(|target| target.block == block)
            .map(|target| resolve(same, target.arguments[index]))
            .filter(|&argument| argument != parameter)
            .collect();
        let Some(&first) = arguments.first() else { continue };
        let number = |value: Value| match function.values[value.0 as usize].inst {
            Some(Inst::Const(number)) => Some(number),
            _ => None,
        };
        if arguments.iter().all(|&argument| argument == first) {
            same[parameter.0 as usize] = Some(first);
            dropped.push(index);
        } else if let Some(constant) = number(first)
            && arguments.iter().all(|&argument| number(argument) == Some(constant))
        {
            // Each way has a constant of its own, none of which dominates the block: it gets one too.
            function.values[parameter.0 as usize].inst = Some(Inst::Const(constant));
            function.blocks[block.0 as usize].insts.insert(0, parameter);
            dropped.push(index);
        }
    }
    drop_parameters(function, block, predecessors, &dropped);
    !dropped.is_empty()
}

/// Takes the parameters with these (ascending) positions away, and the arguments for them. A block may be a predecessor
/// more than once.
pub(super) fn drop_parameters(function: &mut Function, block: Block, predecessors: &[Block], positions: &[usize]) {
    if positions.is_empty() {
        return;
    }
    for &position in positions.iter().rev() {
        function.blocks[block.0 as usize].parameters.remove(position);
    }
    let mut done = HashSet::new();
    for from in predecessors.iter().filter(|from| done.insert(**from)) {
        let targets = function.blocks[from.0 as usize].terminator.targets_mut();
        for target in targets.into_iter().filter(|target| target.block == block) {
            for &position in positions.iter().rev() {
                target.arguments.remove(position);
            }
        }
    }
}

/// Turns branches that are decided into jumps, and tests of a relation's value into branches on the relation.
fn fold_branches(function: &mut Function) -> bool {
    let mut changed = false;
    for block in function.reverse_postorder() {
        if let Some(folded) = fold_terminator(function, &function.block(block).terminator) {
            function.blocks[block.0 as usize].terminator = folded;
            changed = true;
        }
    }
    changed
}

fn fold_terminator(function: &Function, terminator: &Terminator) -> Option<Terminator> {
    let definition = |value: Value| function.values[value.0 as usize].inst.as_ref();
    let number = |value: Value| match definition(value) {
        Some(Inst::Const(number)) => Some(*number),
        _ => None,
    };
    match terminator {
        Terminator::Branch { op, a, b, then, otherwise } => {
            if then == otherwise {
                return Some(Terminator::Jump(then.clone()));
            }
            let decided = match (number(*a), number(*b)) {
                (Some(a), Some(b)) => Some(compare(*op, a, b)),
                _ if a == b => Some(compare(*op, 0, 0)),
                _ => None,
            };
            if let Some(holds) = decided {
                return Some(Terminator::Jump(if holds { then.clone() } else { otherwise.clone() }));
            }
            match (op, number(*b), definition(*a)) {
                (CompareOp::Ne, Some(0), Some(Inst::Compare { op, a, b })) => {
                    Some(branch(*op, *a, *b, then, otherwise))
                }
                (CompareOp::Eq, Some(0), Some(Inst::Compare { op, a, b })) => {
                    Some(branch(*op, *a, *b, otherwise, then))
                }
                _ => None,
            }
        }
        Terminator::Switch { value, cases, default } => {
            let number = number(*value)?;
            let target = cases.iter().find(|(case, _)| *case == number).map_or(default, |(_, target)| target);
            Some(Terminator::Jump(target.clone()))
        }
        Terminator::Jump(_) | Terminator::Return | Terminator::Stop => None,
    }
}

fn branch(op: CompareOp, a: Value, b: Value, then: &Target, otherwise: &Target) -> Terminator {
    Terminator::Branch { op, a, b, then: then.clone(), otherwise: otherwise.clone() }
}

fn inst(function: &Function, value: Value) -> &Inst {
    function.values[value.0 as usize].inst.as_ref().expect("a block lists instructions")
}

/// Follows the chain of replacements.
fn resolve(same: &[Option<Value>], mut value: Value) -> Value {
    while let Some(next) = same[value.0 as usize] {
        value = next;
    }
    value
}
