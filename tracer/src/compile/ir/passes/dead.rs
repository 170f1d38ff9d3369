//! Drops instructions and parameters that nobody uses.

use super::super::{Block, Function, Inst, Value};
use super::fold::drop_parameters;
use super::order;

/// Everything that neither has an effect nor leads to one.
pub(super) fn run(function: &mut Function) {
    order::drop_unreachable(function);
    let live = live_values(function);
    let predecessors = function.predecessors();
    for block in function.block_ids() {
        function.blocks[block.0 as usize].insts.retain(|value| live[value.0 as usize]);
        if block == Block(0) {
            continue;
        }
        let parameters = function.block(block).parameters.iter().enumerate();
        let dead: Vec<usize> =
            parameters.filter(|(_, value)| !live[value.0 as usize]).map(|(index, _)| index).collect();
        drop_parameters(function, block, &predecessors[block.0 as usize], &dead);
    }
}

fn live_values(function: &Function) -> Vec<bool> {
    let arguments = arguments(function);
    let mut live = vec![false; function.values.len()];
    let mut work: Vec<Value> = Vec::new();
    for block in &function.blocks {
        let effects = block.insts.iter().filter(|value| inst(function, **value).is_some_and(Inst::has_effect));
        work.extend(effects);
        work.extend(block.terminator.own_operands());
    }
    while let Some(value) = work.pop() {
        if std::mem::replace(&mut live[value.0 as usize], true) {
            continue;
        }
        match inst(function, value) {
            Some(inst) => work.extend(inst.operands()),
            None => work.extend(&arguments[value.0 as usize]),
        }
    }
    live
}

fn inst(function: &Function, value: Value) -> Option<&Inst> {
    function.values[value.0 as usize].inst.as_ref()
}

/// For each parameter, what jumps pass for it.
fn arguments(function: &Function) -> Vec<Vec<Value>> {
    let mut arguments = vec![Vec::new(); function.values.len()];
    for target in function.blocks.iter().flat_map(|block| block.terminator.targets()) {
        for (parameter, argument) in function.block(target.block).parameters.iter().zip(&target.arguments) {
            arguments[parameter.0 as usize].push(*argument);
        }
    }
    arguments
}
