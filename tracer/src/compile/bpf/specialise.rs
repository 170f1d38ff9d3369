//! Partial evaluation of the runtime library: its functions for the one scope that a script is compiled for.
//!
//! In: functions that read the variable `SCOPE`. Out: the same functions for one value of it: what was read are numbers, what
//! follows from them is computed, and what cannot be reached or is not needed is gone. The functions stay written once, in
//! Rust and for every scope, and a program pays for its own scope alone.
//!
//! The rules are those of the instruction set: 32-bit operations clear the upper half, a shift takes the low bits of its
//! count (`Documentation/bpf/standardization/instruction-set.rst`).

use std::collections::{BTreeMap, BTreeSet};

use super::raw::{self, ADD, ALU32, ALU64, AND, ARSH, CALL, LDX, LSH, MOV, MUL, OR, REGISTERS, RSH, SUB, XOR};
use super::runtime::{self, Library, Reference};
use tracer_common::scope::Scope;

type Function = raw::Function<String>;
type Insn = raw::Insn<String>;

/// The runtime's configuration.
const SCOPE: &str = "SCOPE";

/// The library for one scope.
///
/// # Panics
/// If the library has no `SCOPE`: it and the compiler are built together.
pub fn for_scope(library: &Library, scope: &Scope) -> Library {
    let mut library = library.clone();
    let bytes = scope.to_bytes().to_vec();
    library.data.get_mut(SCOPE).expect("the runtime library is configured by SCOPE").bytes.clone_from(&bytes);
    for function in library.functions.values_mut() {
        if function.references.iter().any(|reference| reference.symbol == SCOPE) {
            *function = from_raw(&specialise(to_raw(function), &bytes));
        }
    }
    library
}

fn to_raw(function: &runtime::Function) -> Function {
    let references: Vec<(usize, String)> =
        function.references.iter().map(|reference| (reference.instruction, reference.symbol.clone())).collect();
    raw::decode(&function.code, &references)
}

fn from_raw(function: &Function) -> runtime::Function {
    let (code, references) = function.encode();
    let references = references.into_iter().map(|(instruction, symbol)| Reference { instruction, symbol }).collect();
    runtime::Function { code, references }
}

/// Evaluates what follows from the scope, until there is nothing more to do.
fn specialise(mut function: Function, scope: &[u8]) -> Function {
    loop {
        let before = function.clone();
        evaluate(&mut function, scope);
        function.keep(&reachable(&function));
        fold_offsets(&mut function);
        let needed = needed(&function);
        function.keep(&needed);
        if function == before {
            return function;
        }
    }
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Number(i64),
    /// So many bytes into the scope.
    Scope(i64),
}

type State = [Known; REGISTERS];

/// Replaces what is known by numbers.
fn evaluate(function: &mut Function, scope: &[u8]) {
    let before = states(function, scope);
    for (at, (insn, state)) in function.insns.iter_mut().zip(before).enumerate() {
        let Some(state) = state else { continue };
        let number = |register: u8| match state[usize::from(register)] {
            Known::Number(number) => Some(number),
            Known::Nothing | Known::Scope(_) => None,
        };
        if insn.is_branch() {
            if insn.takes_register() && number(insn.dst).is_some() && number(insn.src).is_none() {
                insn.swap();
            }
            insn.take_number(number(insn.src));
            if let (Some(a), false) = (number(insn.dst), insn.takes_register()) {
                insn.decide(insn.holds(a, insn.imm.into()), at);
            }
        } else if let Known::Number(result) = result(insn, &state, scope) {
            *insn = Insn::number(insn.dst, result);
        } else if insn.is_arithmetic() {
            insn.take_number(number(insn.src));
        }
    }
}

/// What is known before each instruction; `None` where it cannot be reached.
fn states(function: &Function, scope: &[u8]) -> Vec<Option<State>> {
    let mut before = vec![None; function.insns.len()];
    let mut waiting = vec![(0, [Known::Nothing; REGISTERS])];
    while let Some((at, state)) = waiting.pop() {
        let joined = match before[at] {
            None => state,
            Some(known) => join(known, state),
        };
        if before[at] == Some(joined) {
            continue;
        }
        before[at] = Some(joined);
        let insn = &function.insns[at];
        let mut after = joined;
        if insn.code == CALL {
            after[..=5].fill(Known::Nothing);
        } else if insn.is_atomic() {
            // What was in memory comes back in one of them.
            after[usize::from(insn.src)] = Known::Nothing;
            after[0] = Known::Nothing;
        } else if let Some(dst) = insn.defines() {
            after[usize::from(dst)] = result(insn, &joined, scope);
        }
        waiting.extend(function.next(at).into_iter().map(|next| (next, after)));
    }
    before
}

fn join(a: State, b: State) -> State {
    std::array::from_fn(|register| if a[register] == b[register] { a[register] } else { Known::Nothing })
}

/// What is known of the register that an instruction defines, if it defines one.
fn result(insn: &Insn, state: &State, scope: &[u8]) -> Known {
    let dst = state[usize::from(insn.dst)];
    let src = match insn.takes_register() {
        true => state[usize::from(insn.src)],
        false => Known::Number(insn.imm.into()),
    };
    match (insn.class(), insn.operation()) {
        _ if insn.is_wide() => match &insn.symbol {
            None => Known::Number(insn.wide()),
            Some(symbol) if symbol == SCOPE => Known::Scope(insn.imm.into()),
            Some(_) => Known::Nothing,
        },
        (LDX, _) => match state[usize::from(insn.src)] {
            Known::Scope(start) => read(scope, start + i64::from(insn.offset), insn.width()),
            Known::Nothing | Known::Number(_) => Known::Nothing,
        },
        (ALU64, MOV) => src,
        (ALU32, MOV) => match src {
            Known::Number(number) => Known::Number(i64::from(number as u32)),
            Known::Nothing | Known::Scope(_) => Known::Nothing,
        },
        (ALU64, ADD) if let (Known::Scope(start), Known::Number(number)) = (dst, src) => {
            Known::Scope(start.wrapping_add(number))
        }
        (class @ (ALU32 | ALU64), op) => match (dst, src) {
            (Known::Number(a), Known::Number(b)) => compute(class, op, a, b).map_or(Known::Nothing, Known::Number),
            _ => Known::Nothing,
        },
        _ => Known::Nothing,
    }
}

fn read(scope: &[u8], start: i64, width: usize) -> Known {
    let start = usize::try_from(start).ok();
    let Some(bytes) = start.and_then(|start| scope.get(start..start + width)) else { return Known::Nothing };
    Known::Number(bytes.iter().rev().fold(0, |number, &byte| number << 8 | i64::from(byte)))
}

/// `a op b`, if it is one of those that occur.
fn compute(class: u8, op: u8, a: i64, b: i64) -> Option<i64> {
    let bits = if class == ALU32 { 31 } else { 63 };
    let count = b as u32 & bits;
    let number = match (op, class) {
        (ADD, _) => a.wrapping_add(b),
        (SUB, _) => a.wrapping_sub(b),
        (MUL, _) => a.wrapping_mul(b),
        (OR, _) => a | b,
        (AND, _) => a & b,
        (XOR, _) => a ^ b,
        (LSH, _) => a << count,
        (RSH, ALU32) => i64::from(a as u32 >> count),
        (RSH, _) => (a as u64 >> count) as i64,
        (ARSH, ALU32) => i64::from(a as i32 >> count),
        (ARSH, _) => a >> count,
        _ => return None,
    };
    Some(if class == ALU32 { i64::from(number as u32) } else { number })
}

fn reachable(function: &Function) -> Vec<bool> {
    let mut reached = vec![false; function.insns.len()];
    let mut waiting = vec![0];
    while let Some(at) = waiting.pop() {
        if !std::mem::replace(&mut reached[at], true) {
            waiting.extend(function.next(at));
        }
    }
    // A jump to what comes next anyway goes nowhere.
    let goes_nowhere = |at: usize| function.insns[at].is_jump() && function.next(at) == [at + 1];
    (0..reached.len()).map(|at| reached[at] && !goes_nowhere(at)).collect()
}

/// Registers by number, a bit each, that are read after each instruction before they are written.
fn live_after(function: &Function) -> Vec<u16> {
    let mut before = vec![0; function.insns.len()];
    let mut settled = false;
    let mut after = vec![0; function.insns.len()];
    while !settled {
        settled = true;
        for (at, insn) in function.insns.iter().enumerate().rev() {
            after[at] = function.next(at).into_iter().fold(0, |live, next| live | before[next]);
            let live = after[at] & !insn.overwrites() | insn.reads();
            settled &= std::mem::replace(&mut before[at], live) == live;
        }
    }
    after
}

/// Which instructions do something or give what another one needs.
fn needed(function: &Function) -> Vec<bool> {
    let after = live_after(function);
    let needed = |(insn, live): (&Insn, u16)| !insn.is_pure() || insn.defines().is_none_or(|dst| live >> dst & 1 == 1);
    function.insns.iter().zip(after).map(needed).collect()
}

/// `r += number; x = *(r + offset)` → `x = *(r + offset + number)`, where nobody else wants the sum.
fn fold_offsets(function: &mut Function) {
    let targets: BTreeSet<usize> = function.insns.iter().filter_map(|insn| insn.to).collect();
    let after = live_after(function);
    let mut folded = BTreeMap::new();
    for (at, pair) in function.insns.windows(2).enumerate() {
        let [add, load] = pair else { continue };
        let is_sum = add.code == (ALU64 | ADD) && load.class() == LDX && load.src == add.dst;
        let is_last = load.dst == load.src || after[at + 1] >> load.src & 1 == 0;
        let offset = i32::from(load.offset).checked_add(add.imm).and_then(|offset| i16::try_from(offset).ok());
        if let Some(offset) = offset.filter(|_| is_sum && is_last && !targets.contains(&(at + 1))) {
            folded.insert(at, offset);
        }
    }
    for (at, offset) in &folded {
        function.insns[at + 1].offset = *offset;
    }
    let keep: Vec<bool> = (0..function.insns.len()).map(|at| !folded.contains_key(&at)).collect();
    function.keep(&keep);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_common::scope::{KernelOffsets, ProcessFilter, ScopeKind};

    fn in_scope(scope: Scope) -> runtime::Function {
        for_scope(&Library::quiet(), &scope).functions.remove("ct_in_scope").unwrap()
    }

    fn symbols(function: &runtime::Function) -> Vec<&str> {
        function.references.iter().map(|reference| reference.symbol.as_str()).collect()
    }

    #[test]
    fn on_the_whole_machine_everything_is_in_scope() {
        let function = in_scope(Scope::default());
        let (yes, exit) = ([0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(function.code, [yes, exit].concat());
        assert_eq!(function.references, []);
    }

    #[test]
    fn a_cgroup_is_compared_by_numbers_in_the_code() {
        let offsets = KernelOffsets { task_cgroups: 3000, css_set_dfl_cgrp: 136, ..KernelOffsets::default() };
        let scope =
            Scope { kind: ScopeKind::Cgroup as u32, cgroup_id: 77, cgroup_level: 2, offsets, ..Scope::default() };
        let function = to_raw(&in_scope(scope));
        assert!(function.insns.len() < 30, "{function:#?}");
        assert!(function.insns.iter().all(|insn| insn.symbol.is_none()));
        let loads: Vec<i16> =
            function.insns.iter().filter(|insn| insn.class() == LDX).map(|insn| insn.offset).collect();
        assert_eq!(loads[..2], [3000, 136]);
        let compared: Vec<i32> = function.insns.iter().filter(|insn| insn.is_branch()).map(|insn| insn.imm).collect();
        assert!(compared.contains(&77) && compared.contains(&2), "{compared:?}");
    }

    #[test]
    fn what_a_scope_does_not_ask_for_is_not_linked() {
        let process = Scope { filter: ProcessFilter::Process as u32, tgid: 5, pidns_level: 1, ..Scope::default() };
        assert_eq!(symbols(&in_scope(process)), ["ct_pid_tgid"]);
        let namespace = Scope { kind: ScopeKind::PidNamespace as u32, pidns_level: 1, ..Scope::default() };
        assert_eq!(symbols(&in_scope(namespace)), ["SHOWN_NAMESPACE", "SHOWN_NAMESPACE"]);
    }

    /// An exchange gives back what was in memory, whatever was put there.
    #[test]
    fn what_an_atomic_operation_gives_back_is_not_known() {
        let insn = |code: u8, registers: u8, imm: i32| {
            let [a, b, c, d] = imm.to_le_bytes();
            [code, registers, 0, 0, a, b, c, d]
        };
        // r2 = 1; r2 = xchg(*r1, r2); r0 = r2; exit
        let code = [insn(0xb7, 2, 1), insn(0xdb, 0x21, 0xe1), insn(0xbf, 0x20, 0), insn(0x95, 0, 0)].concat();
        let function = to_raw(&runtime::Function { code: code.clone(), references: Vec::new() });
        let scope = Scope::default().to_bytes();
        assert_eq!(from_raw(&specialise(function, &scope)).code, code);
    }

    #[test]
    fn arithmetic_is_that_of_the_instruction_set() {
        assert_eq!(compute(ALU64, ADD, i64::MAX, 1), Some(i64::MIN));
        assert_eq!(compute(ALU32, ADD, u32::MAX.into(), 2), Some(1));
        assert_eq!(compute(ALU32, SUB, 0, 1), Some(u32::MAX.into()));
        assert_eq!(compute(ALU64, LSH, 1, 65), Some(2));
        assert_eq!(compute(ALU32, LSH, 1, 33), Some(2));
        assert_eq!(compute(ALU64, RSH, -1, 60), Some(15));
        assert_eq!(compute(ALU32, RSH, -1, 28), Some(15));
        assert_eq!(compute(ALU32, ARSH, -16, 2), Some(i64::from(-4_i32 as u32)));
        assert_eq!(compute(ALU64, ARSH, -16, 2), Some(-4));
        assert_eq!(compute(ALU64, 0x30, 6, 2), None, "division does not occur");
    }
}
