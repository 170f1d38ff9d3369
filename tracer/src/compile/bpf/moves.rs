//! Parallel moves: several values change their places at once, as if each was read before any is written.

use super::insn::Reg;
use super::mir::Remat;

/// Where a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a register.
    Reg(Reg),
    /// In the frame, in this spill slot.
    Spill(usize),
}

/// Where a moved value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is kept somewhere.
    Place(Place),
    /// It is made.
    Remat(Remat),
}

/// A single move; one side at least is a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where the value goes.
    pub to: Place,
    /// Where it comes from.
    pub from: Source,
}

/// Moves one after the other that do what `moves` do at once. No place is moved to twice.
///
/// `free` are registers that hold nothing and that nothing is moved to. Where they do not suffice, registers are put aside
/// in spill slots that `spare` gives.
pub fn sequence(mut moves: Vec<Move>, free: &[Reg], mut spare: impl FnMut() -> usize) -> Vec<Move> {
    let mut done = Vec::new();
    let mut free = free.to_vec();
    moves.retain(|step| step.from != Source::Place(step.to));
    while !moves.is_empty() {
        let ready = moves.iter().position(|step| !is_read(&moves, step.to));
        let step = match ready {
            Some(ready) => moves.remove(ready),
            None => {
                // All that is left goes in circles. Putting one value aside opens its circle.
                let aside = free.pop().map_or_else(|| Place::Spill(spare()), Place::Reg);
                let from = moves[0].from;
                moves.iter_mut().filter(|step| step.from == from).for_each(|step| step.from = Source::Place(aside));
                Move { to: aside, from }
            }
        };
        let in_memory = matches!(step.from, Source::Place(Place::Spill(_)) | Source::Remat(_));
        if matches!(step.to, Place::Reg(_)) || !in_memory {
            done.push(step);
            continue;
        }
        // From memory to memory by way of a register: one that is free, or yet to be moved to, or else borrowed.
        let waiting = moves.iter().filter(|other| !is_read(&moves, other.to)).find_map(|other| match other.to {
            Place::Reg(reg) => Some(reg),
            Place::Spill(_) => None,
        });
        let by_way_of = |reg| {
            let reg = Place::Reg(reg);
            [Move { to: reg, from: step.from }, Move { to: step.to, from: Source::Place(reg) }]
        };
        match free.last().copied().or(waiting) {
            Some(reg) => done.extend(by_way_of(reg)),
            None => {
                let (borrowed, aside) = (Place::Reg(Reg::R0), Place::Spill(spare()));
                done.push(Move { to: aside, from: Source::Place(borrowed) });
                done.extend(by_way_of(Reg::R0));
                done.push(Move { to: borrowed, from: Source::Place(aside) });
            }
        }
    }
    done
}

fn is_read(moves: &[Move], place: Place) -> bool {
    moves.iter().any(|step| step.from == Source::Place(place))
}
