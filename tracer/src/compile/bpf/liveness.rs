//! Which values are live where, how far away their next use is, and which of them must outlive a call.
//!
//! Distances are instructions along the nearest path; a way into a block that is not expected to run counts as very long.
//! Values that are made again where they are used ([`super::mir::Remat`]) are live nowhere.

use std::collections::BTreeMap;

use super::mir::{Function, Op, Val};

/// Live values and the distance to the next use of each.
pub type Live = BTreeMap<Val, u32>;

/// What a step into a block that is not expected to run adds to a distance.
const COLD: u32 = 1 << 16;

/// The liveness of a program's values.
pub struct Liveness {
    /// At the beginning of each block, parameters included.
    pub at_entry: Vec<Live>,
    /// At the end of each block, the arguments of its edges not included.
    pub at_exit: Vec<Live>,
    /// For each value, whether it is live across a call that is expected to run.
    pub outlives_call: Vec<bool>,
}

/// Computes the liveness of all values. `order` lists the blocks that can be reached, each behind one it is reached from.
pub fn liveness(function: &Function, order: &[usize]) -> Liveness {
    let mut liveness = Liveness {
        at_entry: vec![Live::new(); function.blocks.len()],
        at_exit: vec![Live::new(); function.blocks.len()],
        outlives_call: vec![false; function.remat.len()],
    };
    // One pass settles programs without loops.
    loop {
        let mut settled = true;
        for &block in order.iter().rev() {
            let exit = at_exit(function, &liveness, block);
            let entry = at_entry(function, block, &exit, &mut liveness.outlives_call);
            settled &= entry == liveness.at_entry[block];
            liveness.at_exit[block] = exit;
            liveness.at_entry[block] = entry;
        }
        if settled {
            return liveness;
        }
    }
}

fn at_exit(function: &Function, liveness: &Liveness, block: usize) -> Live {
    let mut live = Live::new();
    for edge in function.blocks[block].exit.edges() {
        let target = &function.blocks[edge.to];
        let penalty = if target.cold && !function.blocks[block].cold { COLD } else { 0 };
        for (&value, &distance) in &liveness.at_entry[edge.to] {
            if !target.parameters.contains(&value) {
                nearer(&mut live, value, distance.saturating_add(penalty));
            }
        }
    }
    live
}

fn at_entry(function: &Function, block: usize, exit: &Live, outlives_call: &mut [bool]) -> Live {
    let data = &function.blocks[block];
    let is_kept = |value: &Val| function.remat[value.index()].is_none();
    let end = data.insts.len() as u32;
    let mut live: Live = exit.iter().map(|(&value, &distance)| (value, end.saturating_add(distance + 1))).collect();
    let arguments = data.exit.edges().flat_map(|edge| edge.arguments.iter().copied());
    for value in data.exit.uses().into_iter().chain(arguments).filter(is_kept) {
        live.insert(value, end);
    }
    for (at, inst) in data.insts.iter().enumerate().rev() {
        if let Some(dst) = inst.op.dst() {
            live.remove(&dst);
        }
        if matches!(inst.op, Op::Call { .. }) && !data.cold {
            live.keys().for_each(|value| outlives_call[value.index()] = true);
        }
        for value in inst.op.uses().into_iter().filter(is_kept) {
            live.insert(value, at as u32);
        }
    }
    live
}

fn nearer(live: &mut Live, value: Val, distance: u32) {
    live.entry(value).and_modify(|known| *known = distance.min(*known)).or_insert(distance);
}
