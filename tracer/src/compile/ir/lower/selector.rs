//! Which system calls a clause is for.

use std::collections::BTreeSet;

use super::{Lowering, Probe};
use crate::compile::ir::{BinaryOp, CompareOp, Target, Terminator, Value};
use crate::compile::sema::typed::{Clause, Context, Selector};

/// How many system calls are worth looking for before the scope check.
const FEW: usize = 4;

impl Lowering<'_> {
    /// Ends the program for system calls that none of its clauses is for, if those are few. At an entry the number is at
    /// hand, while it takes a call to find out whose it is: so the calls that nobody asks for, which are most of them and
    /// everybody's, cost the least that a program can cost.
    pub(super) fn leave_other_calls(&mut self) {
        if self.program.context != Context::SysEnter {
            return;
        }
        let mut wanted = BTreeSet::new();
        for clause in &self.program.clauses {
            let Selector::Syscalls(numbers) = &clause.selector else { return };
            wanted.extend(numbers);
        }
        if wanted.is_empty() || wanted.len() > FEW {
            return;
        }
        let number = self.syscall_number();
        let (inside, outside) = (self.b.new_block(), self.b.new_block());
        let target = |block| Target { block, arguments: Vec::new() };
        let cases = wanted.iter().map(|&&number| (number.into(), target(inside))).collect();
        self.b.terminate(Terminator::Switch { value: number, cases, default: target(outside) });
        self.b.fill(outside);
        self.b.ret();
        self.b.fill(inside);
        if let [only] = Vec::from_iter(wanted)[..] {
            self.only_call = Some(*only);
        }
    }

    /// Goes on where the event is one of the clause's, and to the clause's end where not.
    pub(super) fn select(&mut self, clause: &Clause) {
        match &clause.selector {
            Selector::Always => self.probe = Probe::Fixed(clause.probes[0]),
            Selector::Cookie => self.probe = Probe::Computed(self.cookie()),
            Selector::Syscalls(numbers) => {
                let number = self.syscall_number();
                match numbers[..] {
                    [only] if self.only_call == Some(only) => self.probe = Probe::Fixed(clause.probes[0]),
                    [only] => {
                        let (selected, only) = (self.b.new_block(), self.b.constant(only.into()));
                        self.b.branch(CompareOp::Eq, number, only, selected, self.end);
                        self.b.fill(selected);
                        self.probe = Probe::Fixed(clause.probes[0]);
                    }
                    _ => self.select_among(number, numbers, clause),
                }
                self.skip_foreign_calls();
            }
        }
    }

    /// To one block for all numbers. The probe is told by what its index differs from the number by: a wildcard's
    /// probes have consecutive indices, so few differences serve hundreds of system calls.
    fn select_among(&mut self, number: Value, numbers: &[u32], clause: &Clause) {
        let selected = self.b.new_block();
        let to_probe = self.b.parameter(selected);
        let mut cases = Vec::with_capacity(numbers.len());
        for (&case, probe) in numbers.iter().zip(&clause.probes) {
            let difference = self.b.constant(i64::from(probe.0) - i64::from(case));
            cases.push((case.into(), Target { block: selected, arguments: vec![difference] }));
        }
        let default = Target { block: self.end, arguments: Vec::new() };
        self.b.terminate(Terminator::Switch { value: number, cases, default });
        self.b.fill(selected);
        self.probe = Probe::Computed(self.b.binary(BinaryOp::Add, number, to_probe));
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
            Probe::Shared => self.shared_probe(),
        }
    }
}
