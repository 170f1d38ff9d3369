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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = Place> {
        prop_oneof![(0..10usize).prop_map(|reg| Place::Reg(Reg::ALL[reg])), (0..4usize).prop_map(Place::Spill)]
    }

    fn source() -> impl Strategy<Value = Source> {
        prop_oneof![6 => place().prop_map(Source::Place), 1 => any::<i64>().prop_map(|n| Source::Remat(Remat::Number(n)))]
    }

    /// What each place holds after moves one after the other; at first, a register or slot holds itself.
    fn perform(steps: &[Move]) -> BTreeMap<Place, Source> {
        let mut holds = BTreeMap::new();
        for Move { to, from } in steps {
            let value = match from {
                Source::Place(place) => *holds.get(place).unwrap_or(from),
                Source::Remat(_) => *from,
            };
            holds.insert(*to, value);
        }
        holds
    }

    proptest! {
        #[test]
        fn moves_in_sequence_do_what_they_do_at_once(
            moves in prop::collection::btree_map(place(), source(), 0..14),
            spare_registers in any::<bool>(),
        ) {
            let moves: Vec<Move> = moves.into_iter().map(|(to, from)| Move { to, from }).collect();
            let is_used = |reg: &Reg| {
                let place = Place::Reg(*reg);
                moves.iter().any(|step| step.to == place || step.from == Source::Place(place))
            };
            let free: Vec<Reg> = Reg::ALL.into_iter().filter(|reg| spare_registers && !is_used(reg)).collect();
            let mut spares = 100..;
            let steps = sequence(moves.clone(), &free, || spares.next().expect("numbers do not end"));
            for step in &steps {
                let through_a_register = matches!(step.to, Place::Reg(_)) || matches!(step.from, Source::Place(Place::Reg(_)));
                prop_assert!(through_a_register, "{step:?}");
            }
            let holds = perform(&steps);
            for Move { to, from } in &moves {
                prop_assert_eq!(holds.get(to).copied().unwrap_or(Source::Place(*to)), *from);
            }
            // Nothing else has changed but what was free and spare.
            for (place, value) in holds {
                let moved = moves.iter().any(|step| step.to == place);
                let free = matches!(place, Place::Reg(reg) if free.contains(&reg));
                let spare = matches!(place, Place::Spill(slot) if slot >= 100);
                prop_assert!(moved || free || spare || value == Source::Place(place), "{place:?}");
            }
        }
    }
}
