//! Which system calls a clause is for.

use std::collections::{BTreeSet, HashSet};

use super::{Lowering, Probe};
use crate::compile::ir::{BinaryOp, Block, CompareOp, Target, Terminator, Value};
use crate::compile::sema::typed::{Clause, Context, Selector};
use crate::plan::ProbeId;

/// How many of the first clauses are for system calls of which each is only one clause's.
pub(super) fn exclusive(clauses: &[Clause]) -> usize {
    let mut taken = HashSet::new();
    let others = |clause: &&Clause| match &clause.selector {
        Selector::Syscalls(numbers) => !clause.of_current && numbers.iter().all(|&number| taken.insert(number)),
        Selector::Always | Selector::Cookie => false,
    };
    clauses.iter().take_while(others).count()
}

impl Lowering<'_> {
    /// Ends the program for all system calls but one, if its clauses are for that one. At an entry the number is at hand,
    /// while it takes a call to find out whose it is: so the calls that nobody asks for, which are most of them and
    /// everybody's, cost the least that a program can cost.
    pub(super) fn leave_other_calls(&mut self) {
        if self.program.context != Context::SysEnter {
            return;
        }
        let number = |clause: &Clause| match &clause.selector {
            Selector::Syscalls(numbers) if numbers.len() == 1 => Some(numbers[0]),
            _ => None,
        };
        let Some(numbers) = self.program.clauses.iter().map(number).collect::<Option<BTreeSet<u32>>>() else { return };
        let [only] = Vec::from_iter(numbers)[..] else { return };
        let (number, wanted) = (self.syscall_number(), self.b.constant(only.into()));
        self.go_on_where(CompareOp::Eq, number, wanted);
        self.only_call = Some(only);
    }

    /// Runs the one clause that is for the system call at hand, if there is one. A choice among all of them takes a few
    /// comparisons where hundreds would, one by one, and the verifier has one way to look at for each.
    pub(super) fn one_of(&mut self, clauses: &[Clause]) {
        self.b.span = clauses[0].span;
        let behind = self.b.new_block();
        self.end = behind;
        let number = self.syscall_number();
        let mut cases = Vec::new();
        let mut entries = Vec::with_capacity(clauses.len());
        for clause in clauses {
            let Selector::Syscalls(numbers) = &clause.selector else { unreachable!("they are for system calls") };
            let entry = self.b.new_block();
            let to_probe = (numbers.len() > 1).then(|| self.b.parameter(entry));
            cases.extend(self.cases(numbers, clause, entry, to_probe.is_some()));
            entries.push((entry, to_probe));
        }
        cases.sort_unstable_by_key(|(number, _)| *number);
        let default = Target { block: behind, arguments: Vec::new() };
        self.b.terminate(Terminator::Switch { value: number, cases, default });
        for (clause, (entry, to_probe)) in clauses.iter().zip(entries) {
            self.b.span = clause.span;
            self.b.fill(entry);
            self.probe = match to_probe {
                None => Probe::Fixed(clause.probes[0]),
                Some(to_probe) => Probe::Computed(self.b.binary(BinaryOp::Add, number, to_probe)),
            };
            let done = self.b.new_block();
            self.end = done;
            self.skip_foreign_calls();
            self.selected(clause, done);
            if self.b.reachable() {
                self.b.jump(behind, &[]);
            }
        }
        self.b.fill(behind);
        self.forget_facts();
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
        let cases = self.cases(numbers, clause, selected, true);
        let default = Target { block: self.end, arguments: Vec::new() };
        self.b.terminate(Terminator::Switch { value: number, cases, default });
        self.b.fill(selected);
        self.probe = Probe::Computed(self.b.binary(BinaryOp::Add, number, to_probe));
    }

    /// To a block for each of the numbers, with what the index of its probe differs by if that is asked for.
    fn cases(&mut self, numbers: &[u32], clause: &Clause, block: Block, difference: bool) -> Vec<(i64, Target)> {
        let case = |(&number, probe): (&u32, &ProbeId)| {
            let difference = difference.then(|| self.b.constant(i64::from(probe.0) - i64::from(number)));
            (number.into(), Target { block, arguments: difference.into_iter().collect() })
        };
        numbers.iter().zip(&clause.probes).map(case).collect()
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
