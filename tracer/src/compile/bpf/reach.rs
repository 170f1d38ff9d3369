//! Jumps that are longer than their 16 bits say: they go by way of *islands*, jumps that stand between instructions.
//!
//! In: the lines of a function, whatever its length. Out: the same, with islands where it is long. (`gotol` would say 32 bits,
//! but kernels know it from 6.6 on only, and no branch has it.)
//!
//! There is a place for an island every [`INTERVAL`] slots. A jump further than [`REACH`] goes to the farthest island within
//! it, which jumps on in the same way; all jumps to one line share what an island holds for it. What comes from above jumps
//! over an island.

use std::collections::BTreeMap;

use super::insn::Insn;
use super::layout::Line;

/// Slots between islands.
const INTERVAL: usize = 4096;

/// How far a jump may go before there are islands, in slots: what stands in them comes on top of it.
const REACH: usize = 4 * INTERVAL;

/// Functions of so many slots need no islands.
const SHORT: usize = i16::MAX as usize;

/// Where a jump goes.
#[derive(Clone, Copy)]
enum Hop {
    /// To a line, by its number before there were islands.
    Line(usize),
    /// To an island, to what that one holds for the line.
    Island { island: usize, line: usize },
}

/// What each island holds: lines, and how it goes there.
type Islands = Vec<BTreeMap<usize, Hop>>;

/// Lets all jumps of a function reach their lines.
pub fn reach(lines: Vec<Line>) -> Vec<Line> {
    // Where each line begins, in slots, and where the last one ends.
    let mut starts = vec![0];
    for (insn, _) in &lines {
        starts.push(starts[starts.len() - 1] + insn.slots());
    }
    let end = starts[lines.len()];
    if end <= SHORT {
        return lines;
    }
    // The line that each island stands before.
    let places: Vec<usize> =
        (INTERVAL..end).step_by(INTERVAL).map(|slot| starts.partition_point(|&start| start < slot)).collect();
    let mut islands = vec![BTreeMap::new(); places.len()];
    let mut hops = Vec::new();
    for (line, (insn, _)) in lines.iter().enumerate() {
        hops.push(insn.target().map(|to| route(line, to, &starts, &places, &mut islands)));
    }
    assemble(&lines, &hops, &places, &islands)
}

/// The first hop from one line to another; those that follow are in the islands then.
fn route(from: usize, to: usize, starts: &[usize], places: &[usize], islands: &mut Islands) -> Hop {
    let (here, there) = (starts[from], starts[to]);
    if here.abs_diff(there) <= REACH {
        return Hop::Line(to);
    }
    let island = if there > here {
        places.partition_point(|&place| starts[place] <= here + REACH) - 1
    } else {
        places.partition_point(|&place| starts[place] < here - REACH)
    };
    if !islands[island].contains_key(&to) {
        let next = route(places[island], to, starts, places, islands);
        islands[island].insert(to, next);
    }
    Hop::Island { island, line: to }
}

/// Lines and islands in order, and jumps by their final numbers.
fn assemble(lines: &[Line], hops: &[Option<Hop>], places: &[usize], islands: &Islands) -> Vec<Line> {
    let mut all: Vec<(Line, Option<Hop>)> = Vec::new();
    let (mut of_lines, mut of_islands) = (Vec::new(), Vec::new());
    let mut next_island = 0;
    for (at, (line, hop)) in lines.iter().zip(hops).enumerate() {
        while places.get(next_island) == Some(&at) {
            let island = &islands[next_island];
            let span = line.1;
            // What nobody comes to is not taken by the verifier.
            let from_above = all.last().is_none_or(|((insn, _), _)| insn.falls_through());
            if from_above && !island.is_empty() {
                all.push(((Insn::Jump { to: 0 }, span), Some(Hop::Line(at))));
            }
            of_islands.push(all.len());
            all.extend(island.values().map(|&hop| ((Insn::Jump { to: 0 }, span), Some(hop))));
            next_island += 1;
        }
        of_lines.push(all.len());
        all.push((*line, *hop));
    }
    let number = |hop: Hop| match hop {
        Hop::Line(line) => of_lines[line],
        Hop::Island { island, line } => of_islands[island] + islands[island].range(..line).count(),
    };
    all.into_iter()
        .map(|((mut insn, span), hop)| {
            if let Some(hop) = hop {
                insn.set_target(number(hop));
            }
            (insn, span)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::bpf::insn::{AluOp, Bits, Operand, Reg, encode};
    use crate::compile::source::Span;

    fn line(insn: Insn) -> Line {
        (insn, Span::default())
    }

    fn nothing() -> Line {
        line(Insn::Alu { bits: Bits::B64, op: AluOp::Mov, dst: Reg::R0, src: Operand::Imm(0) })
    }

    /// Follows jumps from a line to one that is none; how many there were.
    fn follow(lines: &[Line], mut at: usize) -> (usize, usize) {
        let mut jumps = 0;
        while let Insn::Jump { to } = lines[at].0 {
            (at, jumps) = (to, jumps + 1);
        }
        (at, jumps)
    }

    #[test]
    fn what_is_short_is_left_as_it_is() {
        let mut lines = vec![nothing(); SHORT];
        lines[0] = line(Insn::Jump { to: SHORT - 1 });
        assert_eq!(reach(lines.clone()), lines);
    }

    #[test]
    fn jumps_of_any_length_arrive_and_each_of_them_is_short() {
        const LENGTH: usize = 300_000;
        let mut lines = vec![nothing(); LENGTH];
        lines[LENGTH - 1] = line(Insn::Exit);
        // Three to the end, and from there one to the beginning.
        for at in [10, 11, 100_000] {
            lines[at] = line(Insn::Jump { to: LENGTH - 2 });
        }
        lines[LENGTH - 2] = line(Insn::Jump { to: 5 });
        let reached = reach(lines);
        assert!(encode(reached.iter().map(|(insn, _)| insn)).is_ok());
        for at in [10, 11] {
            let (end, jumps) = follow(&reached, at);
            assert_eq!(end, 5);
            assert!((30..50).contains(&jumps), "{jumps} jumps");
        }
        assert!(matches!(reached[reached.len() - 1].0, Insn::Exit));
        // The way back has a place of its own in each island; the ways there have one in common.
        let islands = reached.iter().filter(|(insn, _)| matches!(insn, Insn::Jump { .. })).count();
        assert!(islands < 4 + 3 * LENGTH / INTERVAL, "{islands} jumps in all");
    }

    #[test]
    fn every_line_can_still_be_come_to() {
        let mut lines = vec![nothing(); 40_000];
        lines[0] = line(Insn::Jump { to: 39_999 });
        // An island has its place behind this.
        let island = 4 * INTERVAL;
        lines[island - 1] = line(Insn::Exit);
        lines[1] = line(Insn::Jump { to: island });
        let reached = reach(lines);
        assert_eq!(reached[island - 1].0, Insn::Exit);
        assert!(matches!(reached[island].0, Insn::Jump { to } if to > 30_000), "the island itself, not a jump over it");
    }
}
