//! Instructions as they are encoded, all of the set, with jumps that name an instruction: for changing functions that another
//! compiler has made. What ours makes is [`super::insn`]'s.
//!
//! Opcodes: `Documentation/bpf/standardization/instruction-set.rst`.

use super::insn::SLOT;

/// The operand is a register, not a number.
pub const REG: u8 = 0x08;

/// Classes, the low three bits of an opcode.
pub const LDX: u8 = 0x01;
pub const ST: u8 = 0x02;
pub const STX: u8 = 0x03;
pub const ALU32: u8 = 0x04;
pub const JMP: u8 = 0x05;
pub const JMP32: u8 = 0x06;
pub const ALU64: u8 = 0x07;

/// Arithmetic, the high four bits.
pub const ADD: u8 = 0x00;
pub const SUB: u8 = 0x10;
pub const MUL: u8 = 0x20;
pub const OR: u8 = 0x40;
pub const AND: u8 = 0x50;
pub const LSH: u8 = 0x60;
pub const RSH: u8 = 0x70;
pub const NEG: u8 = 0x80;
pub const XOR: u8 = 0xa0;
pub const MOV: u8 = 0xb0;
pub const ARSH: u8 = 0xc0;
const END: u8 = 0xd0;

/// Whole opcodes: a 64-bit number in two slots, and jumps without a condition.
const WIDE: u8 = 0x18;
const JUMP: u8 = 0x05;
pub const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// How many registers there are; the last is the frame pointer.
pub const REGISTERS: usize = 11;
/// The frame pointer.
pub const FRAME: u8 = 10;

/// A function, whose instructions refer to symbols of the type `S`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function<S> {
    /// Its instructions.
    pub insns: Vec<Insn<S>>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insn<S> {
    /// The opcode.
    pub code: u8,
    /// Number of the first register.
    pub dst: u8,
    /// Number of the second.
    pub src: u8,
    /// Of a memory access.
    pub offset: i16,
    /// The number, or its lower half.
    pub imm: i32,
    /// The upper half of a 64-bit number.
    pub high: i32,
    /// What the number refers to.
    pub symbol: Option<S>,
    /// Where a jump goes: an index among the function's instructions.
    pub to: Option<usize>,
}

/// Takes a function apart; `references` are slots and what the number there refers to.
pub fn decode<S: Clone>(code: &[u8], references: &[(usize, S)]) -> Function<S> {
    let slots: Vec<&[u8]> = code.chunks_exact(SLOT).collect();
    // For each slot, the instruction that it belongs to.
    let mut owners = Vec::with_capacity(slots.len());
    let mut starts = Vec::new();
    while owners.len() < slots.len() {
        let length = if slots[owners.len()][0] == WIDE { 2 } else { 1 };
        owners.extend(std::iter::repeat_n(starts.len(), length));
        starts.push(owners.len() - length);
    }
    let number = |slot: usize| i32::from_le_bytes(slots[slot][4..].try_into().expect("half of a slot"));
    let insns = starts.iter().map(|&at| {
        let &[code, registers, o0, o1, ..] = slots[at] else { unreachable!("slots have eight bytes") };
        let offset = i16::from_le_bytes([o0, o1]);
        let symbol = references.iter().find(|(slot, _)| *slot == at);
        let mut insn = Insn {
            code,
            dst: registers & 15,
            src: registers >> 4,
            offset,
            imm: number(at),
            high: if code == WIDE { number(at + 1) } else { 0 },
            symbol: symbol.map(|(_, symbol)| symbol.clone()),
            to: None,
        };
        if insn.is_jump() || insn.is_branch() {
            insn.to = Some(owners[(at as i64 + 1 + i64::from(offset)) as usize]);
            insn.offset = 0;
        }
        insn
    });
    Function { insns: insns.collect() }
}

impl<S: Clone> Function<S> {
    /// The function's bytes, and the slots that refer to symbols.
    ///
    /// # Panics
    /// If a jump has become longer than 16 bits say.
    pub fn encode(&self) -> (Vec<u8>, Vec<(usize, S)>) {
        let starts: Vec<usize> = self
            .insns
            .iter()
            .scan(0, |next, insn| {
                let start = *next;
                *next += insn.slots();
                Some(start)
            })
            .collect();
        let (mut code, mut references) = (Vec::new(), Vec::new());
        for (insn, &start) in self.insns.iter().zip(&starts) {
            let distance = insn.to.map(|to| starts[to] as i64 - (start as i64 + 1));
            let offset = distance.map_or(insn.offset, |distance| distance.try_into().expect("a jump in a function"));
            if let Some(symbol) = &insn.symbol {
                references.push((start, symbol.clone()));
            }
            code.extend([insn.code, insn.dst | insn.src << 4]);
            code.extend(offset.to_le_bytes());
            code.extend(insn.imm.to_le_bytes());
            if insn.is_wide() {
                code.extend([0; 4]);
                code.extend(insn.high.to_le_bytes());
            }
        }
        (code, references)
    }

    /// The instructions that may come after one.
    pub fn next(&self, at: usize) -> Vec<usize> {
        let insn = &self.insns[at];
        let falls_through = !insn.is_jump() && insn.code != EXIT;
        insn.to.into_iter().chain(falls_through.then_some(at + 1)).collect()
    }

    /// Puts another function in place of an instruction; where it returns, it goes on behind.
    pub fn replace(&mut self, at: usize, mut body: Function<S>) {
        let length = body.insns.len();
        for insn in &mut body.insns {
            insn.to = if insn.is_exit() { Some(at + length) } else { insn.to.map(|to| at + to) };
            if insn.is_exit() {
                insn.code = JUMP;
            }
        }
        for insn in &mut self.insns {
            insn.to = insn.to.map(|to| if to > at { to + length - 1 } else { to });
        }
        self.insns.splice(at..=at, body.insns);
        let goes_nowhere = |(at, insn): (usize, &Insn<S>)| insn.is_jump() && insn.to == Some(at + 1);
        let keep: Vec<bool> = self.insns.iter().enumerate().map(|insn| !goes_nowhere(insn)).collect();
        self.keep(&keep);
    }

    /// Drops the instructions that are not to be kept. Jumps to them go to what comes next.
    pub fn keep(&mut self, keep: &[bool]) {
        let places: Vec<usize> = keep
            .iter()
            .scan(0, |next, &kept| {
                let place = *next;
                *next += usize::from(kept);
                Some(place)
            })
            .collect();
        let mut kept = keep.iter();
        self.insns.retain(|_| kept.next() == Some(&true));
        for insn in &mut self.insns {
            insn.to = insn.to.map(|to| places[to]);
        }
    }
}

impl<S> Insn<S> {
    /// `dst = number`.
    pub fn number(dst: u8, number: i64) -> Self {
        let plain = Self { code: 0, dst, src: 0, offset: 0, imm: number as i32, high: 0, symbol: None, to: None };
        if i32::try_from(number).is_ok() {
            Self { code: ALU64 | MOV, ..plain }
        } else if u32::try_from(number).is_ok() {
            Self { code: ALU32 | MOV, ..plain }
        } else {
            Self { code: WIDE, high: (number >> 32) as i32, ..plain }
        }
    }

    /// The low bits of the opcode.
    pub fn class(&self) -> u8 {
        self.code & 7
    }

    /// The high bits of the opcode.
    pub fn operation(&self) -> u8 {
        self.code & 0xf0
    }

    /// Whether it has two slots.
    pub fn is_wide(&self) -> bool {
        self.code == WIDE
    }

    /// Whether it is arithmetic.
    pub fn is_arithmetic(&self) -> bool {
        matches!(self.class(), ALU32 | ALU64)
    }

    /// Whether it jumps whatever holds.
    pub fn is_jump(&self) -> bool {
        self.code == JUMP
    }

    /// Whether it jumps if something holds.
    pub fn is_branch(&self) -> bool {
        matches!(self.class(), JMP | JMP32) && !matches!(self.code, JUMP | CALL | EXIT)
    }

    /// Whether the second operand is a register.
    pub fn takes_register(&self) -> bool {
        self.code & REG != 0
    }

    /// Whether the second register is one: calls keep other things there.
    pub fn src_is_register(&self) -> bool {
        matches!(self.class(), LDX | STX) || (self.takes_register() && !self.is_wide())
    }

    /// Bytes of a memory access.
    pub fn width(&self) -> usize {
        [4, 2, 1, 8][usize::from(self.code >> 3 & 3)]
    }

    /// The 64-bit number.
    pub fn wide(&self) -> i64 {
        i64::from(self.high) << 32 | i64::from(self.imm as u32)
    }

    fn slots(&self) -> usize {
        if self.is_wide() { 2 } else { 1 }
    }

    /// Whether it changes memory atomically.
    pub fn is_atomic(&self) -> bool {
        const ATOMIC: u8 = 0xc0;
        self.class() == STX && self.code & 0xe0 == ATOMIC
    }

    /// Whether it does nothing but give a value.
    pub fn is_pure(&self) -> bool {
        self.is_wide() || self.is_arithmetic() || self.class() == LDX
    }

    /// The register that it gives a value to, calls and atomic operations apart.
    pub fn defines(&self) -> Option<u8> {
        self.is_pure().then_some(self.dst)
    }

    /// The registers, a bit each, whose former values nobody can read any more.
    pub fn overwrites(&self) -> u16 {
        if self.code == CALL { 0b11_1111 } else { self.defines().map_or(0, |dst| 1 << dst) }
    }

    /// The registers that it reads, a bit each. Of those that only some of its kind read, all.
    pub fn reads(&self) -> u16 {
        let (dst, src) = (1 << self.dst, 1 << self.src);
        match self.class() {
            _ if self.is_wide() || self.is_jump() => 0,
            LDX => src,
            ST => dst,
            // Comparing exchanges take r0 too.
            STX => dst | src | 1,
            ALU32 | ALU64 => match (self.operation(), self.takes_register()) {
                (MOV, true) => src,
                (MOV, false) => 0,
                (NEG | END, _) | (_, false) => dst,
                (_, true) => dst | src,
            },
            _ if self.code == CALL => match self.imm {
                GET_CURRENT_TASK_BTF if self.symbol.is_none() => 0,
                _ => 0b11_1110,
            },
            _ if self.code == EXIT => 1,
            _ if self.takes_register() => dst | src,
            _ => dst,
        }
    }

    /// Whether it is the end of the function.
    fn is_exit(&self) -> bool {
        self.code == EXIT
    }

    /// The second operand becomes a number, if it is one that the instruction has room for.
    pub fn take_number(&mut self, number: Option<i64>) {
        let Some(number) = number.filter(|_| self.takes_register()) else { return };
        let narrow = matches!(self.class(), ALU32 | JMP32);
        let Some(imm) = (if narrow { Some(number as i32) } else { i32::try_from(number).ok() }) else { return };
        (self.code, self.src, self.imm) = (self.code & !REG, 0, imm);
    }

    /// A branch on two registers asks the same of them in the other order.
    pub fn swap(&mut self) {
        let swapped = match self.operation() {
            GT => LT,
            GE => LE,
            LT => GT,
            LE => GE,
            SGT => SLT,
            SGE => SLE,
            SLT => SGT,
            SLE => SGE,
            same => same,
        };
        self.code = self.code & 0x0f | swapped;
        std::mem::swap(&mut self.dst, &mut self.src);
    }

    /// A branch becomes a jump, or one to what comes next at `at + 1`.
    pub fn decide(&mut self, holds: bool, at: usize) {
        let to = if holds { self.to } else { Some(at + 1) };
        *self = Self { code: JUMP, dst: 0, src: 0, offset: 0, imm: 0, high: 0, symbol: None, to };
    }

    /// Whether a branch is taken with these operands.
    pub fn holds(&self, a: i64, b: i64) -> bool {
        let (a, b) = match self.class() {
            JMP32 => (i64::from(a as i32), i64::from(b as i32)),
            _ => (a, b),
        };
        // Extended with their signs, numbers of 32 bits keep their order as unsigned ones too.
        let (ua, ub) = (a as u64, b as u64);
        match self.operation() {
            EQ => a == b,
            NE => a != b,
            SET => a & b != 0,
            GT => ua > ub,
            GE => ua >= ub,
            LT => ua < ub,
            LE => ua <= ub,
            SGT => a > b,
            SGE => a >= b,
            SLT => a < b,
            SLE => a <= b,
            operation => unreachable!("{operation:#x} is no relation"),
        }
    }
}

/// Relations, the high four bits.
const EQ: u8 = 0x10;
const GT: u8 = 0x20;
const GE: u8 = 0x30;
const SET: u8 = 0x40;
const NE: u8 = 0x50;
const SGT: u8 = 0x60;
const SGE: u8 = 0x70;
const LT: u8 = 0xa0;
const LE: u8 = 0xb0;
const SLT: u8 = 0xc0;
const SLE: u8 = 0xd0;

/// A helper without arguments.
const GET_CURRENT_TASK_BTF: i32 = 158;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::bpf::runtime::Library;

    #[test]
    fn what_is_taken_apart_goes_together_again() {
        for function in Library::verbose().functions.values() {
            assert_eq!(decode::<()>(&function.code, &[]).encode().0, function.code);
        }
    }

    #[test]
    fn relations_are_those_of_the_instruction_set() {
        let branch = |code| Insn::<()> { code, to: Some(0), ..Insn::number(1, 0) };
        assert!(branch(JMP | GT).holds(-1, 1) && !branch(JMP | SGT).holds(-1, 1));
        assert!(branch(JMP32 | EQ).holds(1 << 32, 0) && !branch(JMP | EQ).holds(1 << 32, 0));
        assert!(branch(JMP32 | LT).holds(1, i64::from(u32::MAX)) && branch(JMP32 | SLT).holds(i64::from(u32::MAX), 1));
        assert!(branch(JMP | SET).holds(6, 2) && !branch(JMP | SET).holds(4, 2));
    }

    #[test]
    fn numbers_take_the_shortest_instruction() {
        let codes = [1, -1, i64::from(u32::MAX), 1 << 40].map(|number| Insn::<()>::number(3, number).code);
        assert_eq!(codes, [ALU64 | MOV, ALU64 | MOV, ALU32 | MOV, WIDE]);
        assert_eq!(Insn::<()>::number(3, -1 << 40).wide(), -1 << 40);
    }
}
