//! Goes around blocks that do nothing but jump on, and joins blocks that nothing comes between.

use super::super::{Block, Function, Target, Terminator, Value};
use super::order;

/// Both, and what they leave unreachable.
pub(super) fn run(function: &mut Function) {
    let first_return = function.block_ids().find(|&block| is_empty_return(function, block));
    for block in function.reverse_postorder() {
        go_around(function, block, first_return);
    }
    order::drop_unreachable(function);
    join(function);
    order::drop_unreachable(function);
}

/// Makes the edges out of `block` lead behind the empty blocks that they lead to; those to an end, to the first.
fn go_around(function: &mut Function, block: Block, first_return: Option<Block>) {
    let mut terminator = function.block(block).terminator.clone();
    let is_jump = matches!(terminator, Terminator::Jump(_));
    for target in terminator.targets_mut() {
        // A chain of empty blocks may close a circle.
        for _ in 0..function.blocks.len() {
            let next = function.block(target.block);
            match &next.terminator {
                // Only a jump takes arguments over: on a branch they would need a block to be moved in.
                Terminator::Jump(on)
                    if next.insts.is_empty() && next.parameters.is_empty() && (is_jump || on.arguments.is_empty()) =>
                {
                    *target = on.clone();
                }
                Terminator::Return if is_empty_return(function, target.block) => {
                    target.block = first_return.unwrap_or(target.block);
                    break;
                }
                _ => break,
            }
        }
    }
    terminator = match terminator {
        Terminator::Jump(target) if is_empty_return(function, target.block) => Terminator::Return,
        Terminator::Branch { then, otherwise, .. } if then == otherwise => Terminator::Jump(then),
        other => other,
    };
    function.blocks[block.0 as usize].terminator = terminator;
}

fn is_empty_return(function: &Function, block: Block) -> bool {
    let data = function.block(block);
    data.insts.is_empty() && data.parameters.is_empty() && data.terminator == Terminator::Return
}

/// Appends to each block the one that it jumps to, if nothing else leads there.
fn join(function: &mut Function) {
    let predecessors = function.predecessors();
    let mut same: Vec<Value> = (0..function.values.len() as u32).map(Value).collect();
    for block in function.reverse_postorder() {
        while let Terminator::Jump(Target { block: next, arguments }) = &function.block(block).terminator {
            let (next, arguments) = (*next, arguments.clone());
            // One that has been joined to another is unreachable, and has its own jump still.
            if predecessors[next.0 as usize].len() != 1 || next == block {
                break;
            }
            for (parameter, argument) in function.block(next).parameters.iter().zip(arguments) {
                same[parameter.0 as usize] = argument;
            }
            let data = &mut function.blocks[next.0 as usize];
            data.parameters.clear();
            let insts = std::mem::take(&mut data.insts);
            let terminator = std::mem::replace(&mut data.terminator, Terminator::Return);
            let data = &mut function.blocks[block.0 as usize];
            data.insts.extend(insts);
            data.terminator = terminator;
        }
    }
    let resolve = |mut value: Value| {
        while same[value.0 as usize] != value {
            value = same[value.0 as usize];
        }
        value
    };
    for inst in function.values.iter_mut().filter_map(|data| data.inst.as_mut()) {
        inst.operands_mut().into_iter().for_each(|operand| *operand = resolve(*operand));
    }
    for block in &mut function.blocks {
        block.terminator.operands_mut().into_iter().for_each(|operand| *operand = resolve(*operand));
    }
}
