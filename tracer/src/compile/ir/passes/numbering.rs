//! Global value numbering: an instruction without effect that a dominating one has computed already is dropped.

use std::collections::HashMap;

use super::super::cfg::Dominators;
use super::super::{Block, Function, Inst, Value};

/// How many equal values of other ways are looked at.
const CANDIDATES: usize = 64;

/// One walk; operands are replaced on the way, so that what equal values are made into is equal too.
pub(super) fn run(function: &mut Function) {
    let dominators = Dominators::compute(function);
    let mut known: HashMap<Inst, Vec<(Value, Block)>> = HashMap::new();
    let mut same: Vec<Value> = (0..function.values.len() as u32).map(Value).collect();
    for block in function.reverse_postorder() {
        let insts = std::mem::take(&mut function.blocks[block.0 as usize].insts);
        let mut kept = Vec::with_capacity(insts.len());
        for value in insts {
            let inst = function.values[value.0 as usize].inst.as_mut().expect("a block lists instructions");
            inst.operands_mut().into_iter().for_each(|operand| *operand = same[operand.0 as usize]);
            if !is_pure(inst) {
                kept.push(value);
                continue;
            }
            let candidates = known.entry(inst.clone()).or_default();
            // Of those, no two dominate one another. The nearest came last; far away there is little to be had.
            let mut nearest = candidates.iter().rev().take(CANDIDATES);
            match nearest.find(|(_, defined)| dominators.dominates(*defined, block)) {
                Some((earlier, _)) => same[value.0 as usize] = *earlier,
                None => {
                    candidates.push((value, block));
                    kept.push(value);
                }
            }
        }
        function.blocks[block.0 as usize].insts = kept;
    }
    for block in function.block_ids() {
        let terminator = &mut function.blocks[block.0 as usize].terminator;
        terminator.operands_mut().into_iter().for_each(|operand| *operand = same[operand.0 as usize]);
    }
}

/// Whether an instruction gives the same wherever it stands: not so what it loads, but from the context.
fn is_pure(inst: &Inst) -> bool {
    match inst {
        Inst::Load { pointer, .. } => *pointer == Value(0),
        // The verifier knows it after a branch on it, or on what it was added to, and with it all that it is added to
        // later: a number that a loop counts up would no longer be any number, but one after the other.
        Inst::UnknownZero => false,
        _ => !inst.has_effect(),
    }
}
