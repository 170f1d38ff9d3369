//! Removes what selection has left over: pure instructions and block parameters that nobody uses.

use super::mir::{Exit, Function, Val};

/// Keeps what has an effect, what decides, and what these need.
pub fn eliminate(function: &mut Function) {
    let live = live_values(function);
    let kept: Vec<Vec<bool>> = function
        .blocks
        .iter()
        .map(|block| block.parameters.iter().map(|parameter| live[parameter.index()]).collect())
        .collect();
    for block in &mut function.blocks {
        block.insts.retain(|inst| !inst.op.is_pure() || inst.op.dst().is_some_and(|dst| live[dst.index()]));
        for inst in &mut block.insts {
            inst.op.forget_result_unless(&live);
        }
        match &mut block.exit {
            Exit::Jump(edge) => retain(&mut edge.arguments, &kept[edge.to]),
            Exit::Branch { then, otherwise, .. } => {
                retain(&mut then.arguments, &kept[then.to]);
                retain(&mut otherwise.arguments, &kept[otherwise.to]);
            }
            Exit::Return | Exit::Stop => {}
        }
    }
    // The context arrives whether it is used or not.
    for (block, kept) in function.blocks.iter_mut().zip(&kept).skip(1) {
        retain(&mut block.parameters, kept);
    }
}

fn retain(values: &mut Vec<Val>, kept: &[bool]) {
    let mut kept = kept.iter();
    values.retain(|_| *kept.next().expect("an edge gives a value for each parameter"));
}

/// What defines a value, for finding what it needs.
#[derive(Clone, Copy)]
enum Definition {
    Nothing,
    Inst { block: usize, index: usize },
    Parameter { block: usize, index: usize },
}

fn live_values(function: &Function) -> Vec<bool> {
    let mut definitions = vec![Definition::Nothing; function.remat.len()];
    let mut edges_to = vec![Vec::new(); function.blocks.len()];
    let mut needed = Vec::new();
    for (block, data) in function.blocks.iter().enumerate() {
        for (index, parameter) in data.parameters.iter().enumerate() {
            definitions[parameter.index()] = Definition::Parameter { block, index };
        }
        for (index, inst) in data.insts.iter().enumerate() {
            if let Some(dst) = inst.op.dst() {
                definitions[dst.index()] = Definition::Inst { block, index };
            }
            if !inst.op.is_pure() {
                needed.extend(inst.op.uses());
            }
        }
        needed.extend(data.exit.uses());
        for edge in data.exit.edges() {
            edges_to[edge.to].push(edge);
        }
    }
    let mut live = vec![false; function.remat.len()];
    while let Some(value) = needed.pop() {
        if std::mem::replace(&mut live[value.index()], true) {
            continue;
        }
        match definitions[value.index()] {
            Definition::Nothing => {}
            Definition::Inst { block, index } => needed.extend(function.blocks[block].insts[index].op.uses()),
            Definition::Parameter { block, index } => {
                needed.extend(edges_to[block].iter().map(|edge| edge.arguments[index]));
            }
        }
    }
    live
}
