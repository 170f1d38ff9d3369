//! Which system calls a clause is for.
//!
//! A wildcard is some 350 numbers with few gaps, whose probes have consecutive indices too: a handful of segments, told
//! apart by a tree of comparisons. The probe's index is then the number plus a constant of the segment.

use super::{Lowering, Probe};
use crate::compile::ir::{BinaryOp, Block, CompareOp, Value};
use crate::compile::sema::typed::{Clause, Selector};
use crate::plan::ProbeId;

/// Consecutive system calls with consecutive probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    first: u32,
    last: u32,
    /// What a number must be increased by to give its probe's index.
    to_probe: i64,
}

/// Numbers are sorted; each has its probe.
fn segments(numbers: &[u32], probes: &[ProbeId]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (&number, probe) in numbers.iter().zip(probes) {
        let to_probe = i64::from(probe.0) - i64::from(number);
        match segments.last_mut() {
            Some(segment) if segment.last + 1 == number && segment.to_probe == to_probe => segment.last = number,
            _ => segments.push(Segment { first: number, last: number, to_probe }),
        }
    }
    segments
}

impl Lowering<'_> {
    /// Goes on where the event is one of the clause's, and to the clause's end where not.
    pub(super) fn select(&mut self, clause: &Clause) {
        let numbers = match &clause.selector {
            Selector::Always => {
                self.probe = Probe::Fixed(clause.probes[0]);
                return;
            }
            Selector::Syscalls(numbers) => numbers,
        };
        let number = self.syscall_number();
        let segments = segments(numbers, &clause.probes);
        let selected = self.b.new_block();
        match segments[..] {
            [Segment { first, last, .. }] if first == last => {
                let first = self.b.constant(first.into());
                self.b.branch(CompareOp::Eq, number, first, selected, self.end);
                self.b.fill(selected);
                self.probe = Probe::Fixed(clause.probes[0]);
            }
            _ => {
                let to_probe = self.b.parameter(selected);
                self.search(number, &segments, selected);
                self.b.fill(selected);
                self.probe = Probe::Computed(self.b.binary(BinaryOp::Add, number, to_probe));
            }
        }
        self.skip_foreign_calls();
    }

    /// To `selected` with the segment's difference if `number` is in one, else to the clause's end.
    fn search(&mut self, number: Value, segments: &[Segment], selected: Block) {
        if let [Segment { first, last, to_probe }] = *segments {
            let found = self.b.new_block();
            if first == last {
                let first = self.b.constant(first.into());
                self.b.branch(CompareOp::Eq, number, first, found, self.end);
            } else {
                // One comparison for both bounds: what is below the first wraps to above the last.
                let position = self.b.binary_with(BinaryOp::Sub, number, first.into());
                let length = self.b.constant((last - first).into());
                self.b.branch(CompareOp::ULe, position, length, found, self.end);
            }
            self.b.fill(found);
            let to_probe = self.b.constant(to_probe);
            self.b.jump(selected, &[to_probe]);
            return;
        }
        let (below, above) = segments.split_at(segments.len() / 2);
        let (left, right) = (self.b.new_block(), self.b.new_block());
        let middle = self.b.constant(above[0].first.into());
        self.b.branch(CompareOp::ULt, number, middle, left, right);
        self.b.fill(left);
        self.search(number, below, selected);
        self.b.fill(right);
        self.search(number, above, selected);
    }

    /// To the clause's end for a 32-bit program's system calls, whose numbers mean other calls.
    fn skip_foreign_calls(&mut self) {
        let foreign = self.foreign_call();
        let native = self.b.new_block();
        self.b.branch_if(foreign, self.end, native);
        self.b.fill(native);
    }

    /// The index of the clause's probe.
    pub(super) fn probe(&mut self) -> Value {
        match self.probe {
            Probe::Fixed(probe) => self.b.constant(probe.0.into()),
            Probe::Computed(value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_numbers_with_consecutive_probes_are_one_segment() {
        let probes: Vec<ProbeId> = (10..15).map(ProbeId).collect();
        assert_eq!(
            segments(&[0, 1, 2, 5, 6], &probes),
            [Segment { first: 0, last: 2, to_probe: 10 }, Segment { first: 5, last: 6, to_probe: 8 }]
        );
        let shuffled = [ProbeId(0), ProbeId(2), ProbeId(1)];
        assert_eq!(segments(&[3, 4, 5], &shuffled).len(), 3);
    }
}
