//! The order of blocks, and the numbers of blocks, values and slots.

use super::super::{Block, Function, Inst, SlotId, Value};

/// Blocks in order of execution, those that are cold behind the others; everything numbered anew, without gaps.
pub(super) fn run(function: &mut Function) {
    let (cold, warm): (Vec<Block>, Vec<Block>) =
        function.reverse_postorder().into_iter().partition(|&block| function.block(block).cold);
    arrange(function, &warm.into_iter().chain(cold).collect::<Vec<_>>());
    number_values(function);
    number_slots(function);
}

/// Drops the blocks that cannot be reached; the others stay in the order of execution.
pub(super) fn drop_unreachable(function: &mut Function) {
    let order = function.reverse_postorder();
    arrange(function, &order);
}

fn arrange(function: &mut Function, order: &[Block]) {
    let mut number = vec![Block(0); function.blocks.len()];
    for (index, block) in order.iter().enumerate() {
        number[block.0 as usize] = Block(index as u32);
    }
    let mut blocks: Vec<_> = std::mem::take(&mut function.blocks).into_iter().map(Some).collect();
    function.blocks = order.iter().filter_map(|block| blocks[block.0 as usize].take()).collect();
    for target in function.blocks.iter_mut().flat_map(|block| block.terminator.targets_mut()) {
        target.block = number[target.block.0 as usize];
    }
}

fn number_values(function: &mut Function) {
    let mut number = vec![Value(0); function.values.len()];
    let mut values = Vec::new();
    for block in &mut function.blocks {
        for value in block.parameters.iter_mut().chain(&mut block.insts) {
            number[value.0 as usize] = Value(values.len() as u32);
            values.push(function.values[value.0 as usize].clone());
            *value = number[value.0 as usize];
        }
    }
    for inst in values.iter_mut().filter_map(|data| data.inst.as_mut()) {
        inst.operands_mut().into_iter().for_each(|operand| *operand = number[operand.0 as usize]);
    }
    for block in &mut function.blocks {
        block.terminator.operands_mut().into_iter().for_each(|operand| *operand = number[operand.0 as usize]);
    }
    function.values = values;
}

fn number_slots(function: &mut Function) {
    let mut number: Vec<Option<SlotId>> = vec![None; function.slots.len()];
    let mut slots = Vec::new();
    for inst in function.values.iter_mut().filter_map(|data| data.inst.as_mut()) {
        if let Inst::SlotAddress(slot) = inst {
            let old = slot.0 as usize;
            *slot = *number[old].get_or_insert_with(|| {
                slots.push(function.slots[old]);
                SlotId(slots.len() as u32 - 1)
            });
        }
    }
    function.slots = slots;
}
