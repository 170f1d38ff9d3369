//! Functions made up from random numbers: branches, switches, loops, calls, memory, and many values live at once.

use super::build::{Builder, target};
use crate::compile::ir::{BinaryOp, CompareOp, Function, Helper, Runtime, SlotId, Value, Width};

/// Bytes of the memory that a function reads and writes.
pub const MEMORY: usize = 512;

/// Where a function is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// In `rbpf`: its memory is the context. It compares with a negative number as if that was unsigned, and cannot add
    /// atomically.
    Interpreter,
    /// In the kernel: its memory is the value of map 0 at key 0.
    Kernel,
}

/// A function made of these choices.
pub fn function(symbol: &str, choices: &[u32], flavour: Flavour) -> Function {
    let mut builder = Builder::new(symbol);
    let key = builder.slot(8);
    let memory = match flavour {
        Flavour::Interpreter => Builder::CONTEXT,
        Flavour::Kernel => {
            let zero = builder.number(0);
            let address = builder.address(key);
            builder.store(address, 0, Width::B8, zero);
            let map = builder.map(0);
            let memory = builder.helper(Helper::MapLookupElem, &[map, address]);
            let (missing, found) = (builder.cold_block(), builder.block());
            builder.branch(CompareOp::Eq, memory, zero, target(missing, &[]), target(found, &[]));
            builder.enter(found);
            memory
        }
    };
    let slot = builder.slot(SLOT as u32);
    let address = builder.address(slot);
    for offset in (0..SLOT).step_by(8) {
        let number = builder.number(offset.into());
        builder.store(address, offset, Width::B8, number);
    }
    let scope = (0..4).map(|index| builder.load(memory, 8 * index, Width::B8)).collect();
    let mut maker = Maker { builder, choices: choices.iter(), flavour, memory, slot, scope };
    maker.statements(3, 24);
    maker.keep_all();
    maker.builder.finish()
}

const SLOT: i16 = 32;

const WIDTHS: [Width; 4] = [Width::B1, Width::B2, Width::B4, Width::B8];

const OPS: [BinaryOp; 11] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::UDiv,
    BinaryOp::UMod,
    BinaryOp::And,
    BinaryOp::Or,
    BinaryOp::Xor,
    BinaryOp::Shl,
    BinaryOp::Shr,
    BinaryOp::Sar,
];

const RELATIONS: [CompareOp; 10] = [
    CompareOp::Eq,
    CompareOp::Ne,
    CompareOp::ULt,
    CompareOp::ULe,
    CompareOp::UGt,
    CompareOp::UGe,
    CompareOp::SLt,
    CompareOp::SLe,
    CompareOp::SGt,
    CompareOp::SGe,
];

const NUMBERS: [i64; 16] = [
    0,
    1,
    2,
    7,
    31,
    63,
    100,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x0123_4567_89ab_cdef,
    -1,
    -1000,
    -0x8000_0000,
];

/// How many of [`NUMBERS`] are not negative.
const UNSIGNED: u32 = 13;

struct Maker<'a> {
    builder: Builder,
    choices: std::slice::Iter<'a, u32>,
    flavour: Flavour,
    memory: Value,
    slot: SlotId,
    /// Numbers that may be used here.
    scope: Vec<Value>,
}

impl Maker<'_> {
    /// A number below `end`; 0 when the choices have run out.
    fn pick(&mut self, end: u32) -> u32 {
        self.choices.next().map_or(0, |choice| choice % end)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len() as u32) as usize]
    }

    fn value(&mut self) -> Value {
        // Recent values are likelier, so that chains arise.
        let count = self.scope.len() as u32;
        let recent = self.pick(3) > 0;
        let back = self.pick(if recent { count.min(4) } else { count });
        self.scope[(count - 1 - back) as usize]
    }

    fn number(&mut self) -> Value {
        let number = self.of(&NUMBERS);
        self.builder.number(number)
    }

    fn operand(&mut self) -> Value {
        if self.pick(3) == 0 { self.number() } else { self.value() }
    }

    fn compared(&mut self) -> Value {
        match (self.pick(3), self.flavour) {
            (0, Flavour::Kernel) => self.number(),
            (0, Flavour::Interpreter) => {
                let index = self.pick(UNSIGNED) as usize;
                self.builder.number(NUMBERS[index])
            }
            _ => self.value(),
        }
    }

    fn statements(&mut self, depth: u32, most: u32) {
        for _ in 0..=self.pick(most) {
            if self.choices.as_slice().is_empty() {
                return;
            }
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: u32) {
        let value = match self.pick(if depth > 0 { 18 } else { 12 }) {
            0..=3 => {
                let (op, a, b) = (self.of(&OPS), self.operand(), self.operand());
                // `rbpf` cannot negate the smallest number.
                let op = if op == BinaryOp::Sub && self.flavour == Flavour::Interpreter { BinaryOp::Add } else { op };
                self.builder.binary(op, a, b)
            }
            4 => {
                let (op, a, b) = (self.of(&RELATIONS), self.value(), self.compared());
                self.builder.compare(op, a, b)
            }
            5 => {
                let (value, width, signed) = (self.value(), self.of(&WIDTHS), self.pick(2) == 0);
                self.builder.extend(value, width, signed)
            }
            6 => {
                let (width, place) = (self.of(&WIDTHS), self.pick(32) as i16);
                self.builder.load(self.memory, 8 * place, width)
            }
            7 => {
                let (width, offset, value) = (self.of(&WIDTHS), self.pick(4) as i16, self.operand());
                let address = self.builder.address(self.slot);
                self.builder.store(address, 8 * offset, width, value);
                return;
            }
            8 => {
                let (width, offset) = (self.of(&WIDTHS), self.pick(4) as i16);
                let address = self.builder.address(self.slot);
                let address = self.builder.add(address, 8);
                self.builder.load(address, 8 * offset - 8, width)
            }
            9 => return self.masked_access(),
            10 => self.call(),
            11 => {
                let (offset, value) = (256 + 8 * self.pick(8) as i16, self.operand());
                match (self.flavour, self.pick(2)) {
                    (Flavour::Kernel, 0) => {
                        let width = self.of(&[Width::B4, Width::B8]);
                        self.builder.atomic_add(self.memory, offset, width, value);
                    }
                    _ => self.builder.store(self.memory, offset, Width::B8, value),
                }
                return;
            }
            12 | 13 => return self.diamond(depth),
            14 => return self.choose(depth),
            15 => return self.repeat(depth),
            _ => self.remember(depth),
        };
        self.scope.push(value);
    }

    fn call(&mut self) -> Value {
        match self.pick(4) {
            0 => {
                let value = self.value();
                let bits = self.pick(6).into();
                let bits = self.builder.number(bits);
                self.builder.runtime(Runtime::Log2Index, &[value, bits])
            }
            1 => {
                let value = self.value();
                let range = [0, 1000, 10].map(|number| self.builder.number(number));
                self.builder.runtime(Runtime::LinearIndex, &[value, range[0], range[1], range[2]])
            }
            _ if self.flavour == Flavour::Kernel => {
                let to = self.builder.address(self.slot);
                let size = self.pick(4) + 1;
                let size = self.builder.number((8 * size).into());
                let from = self.pick(16);
                let from = self.builder.add(self.memory, (8 * from).into());
                self.builder.helper(Helper::ProbeReadKernel, &[to, size, from])
            }
            2 => {
                let arguments = [self.value(), self.operand(), self.value(), self.value()];
                self.builder.helper(Helper::MapUpdateElem, &arguments)
            }
            _ => {
                let arguments = [self.value(), self.value()];
                self.builder.helper(Helper::MapDeleteElem, &arguments)
            }
        }
    }

    /// `memory[index & 31]`
    fn masked_access(&mut self) {
        let index = self.value();
        let mask = self.builder.number(31);
        let index = self.builder.binary(BinaryOp::And, index, mask);
        let value = self.access(index);
        self.scope.push(value);
    }

    fn access(&mut self, index: Value) -> Value {
        let shift = self.builder.number(3);
        let distance = self.builder.binary(BinaryOp::Shl, index, shift);
        let address = self.builder.binary(BinaryOp::Add, self.memory, distance);
        self.builder.load(address, 0, Width::B8)
    }

    /// Two ways that meet again; the first may read `memory[index]`, which it is guarded for.
    fn diamond(&mut self, depth: u32) {
        let (then, otherwise, after) = (self.builder.block(), self.builder.block(), self.builder.block());
        let (a, guards) = (self.value(), self.pick(3) == 0);
        if guards {
            let bound = self.builder.number(32);
            self.builder.branch(CompareOp::ULt, a, bound, target(then, &[]), target(otherwise, &[]));
        } else {
            let (op, b) = (self.of(&RELATIONS), self.compared());
            self.builder.branch(op, a, b, target(then, &[]), target(otherwise, &[]));
        }
        let outer = self.scope.clone();
        let passed: Vec<Value> = (0..self.pick(4)).map(|_| self.builder.parameter(after)).collect();
        for block in [then, otherwise] {
            self.builder.enter(block);
            self.statements(depth - 1, 5);
            if guards && block == then {
                let value = self.access(a);
                self.scope.push(value);
            }
            let arguments: Vec<Value> = passed.iter().map(|_| self.operand()).collect();
            self.builder.jump(after, &arguments);
            self.scope.clone_from(&outer);
        }
        self.builder.enter(after);
        self.scope.extend(passed);
    }

    /// Several ways that meet again.
    fn choose(&mut self, depth: u32) {
        let value = self.value();
        let mask = self.builder.number(15);
        let value = self.builder.binary(BinaryOp::And, value, mask);
        let ways: Vec<_> = (0..=self.pick(4)).map(|_| self.builder.block()).collect();
        let after = self.builder.block();
        let passed = self.builder.parameter(after);
        let mut case = 0;
        let cases: Vec<_> = (0..self.pick(8))
            .map(|_| {
                case += 1 + i64::from(self.pick(3));
                (case, target(self.of(&ways), &[]))
            })
            .collect();
        let argument = self.operand();
        self.builder.switch(value, &cases, target(after, &[argument]));
        let outer = self.scope.clone();
        for way in ways {
            self.builder.enter(way);
            self.statements(depth - 1, 3);
            let argument = self.operand();
            self.builder.jump(after, &[argument]);
            self.scope.clone_from(&outer);
        }
        self.builder.enter(after);
        self.scope.push(passed);
    }

    /// A loop that runs up to four times and hands two values on.
    fn repeat(&mut self, depth: u32) {
        let (head, body, after) = (self.builder.block(), self.builder.block(), self.builder.block());
        let counter = self.builder.parameter(head);
        let carried = [self.builder.parameter(head), self.builder.parameter(head)];
        let zero = self.builder.number(0);
        let (first, second) = (self.value(), self.value());
        self.builder.jump(head, &[zero, first, second]);
        self.builder.enter(head);
        let times = self.pick(4) + 1;
        let end = self.builder.number(times.into());
        self.builder.branch(CompareOp::ULt, counter, end, target(body, &[]), target(after, &[]));
        self.builder.enter(body);
        self.scope.extend(carried);
        let outer = self.scope.clone();
        self.statements(depth - 1, 3);
        let next = self.builder.add(counter, 1);
        let (first, second) = (self.value(), self.value());
        self.builder.jump(head, &[next, first, second]);
        self.scope = outer;
        self.builder.enter(after);
    }

    /// A value that waits in a slot of its own while other things happen.
    fn remember(&mut self, depth: u32) -> Value {
        let slot = self.builder.slot(16);
        let value = self.value();
        let address = self.builder.address(slot);
        self.builder.store(address, 8, Width::B8, value);
        self.statements(depth - 1, 3);
        let index = self.value();
        let zero = self.builder.number(0);
        // Not a distance that selection could fold: the address stays a value.
        let nothing = self.builder.binary(BinaryOp::And, index, zero);
        let address = self.builder.binary(BinaryOp::Add, address, nothing);
        self.builder.load(address, 8, Width::B8)
    }

    /// Writes all that is in scope to memory, so that all of it is live up to here.
    fn keep_all(&mut self) {
        let address = self.builder.address(self.slot);
        for offset in (0..SLOT).step_by(8) {
            let value = self.builder.load(address, offset, Width::B8);
            self.builder.store(self.memory, 448 + offset, Width::B8, value);
        }
        let last = self.scope.iter().rev().take(30).rev();
        let mut sum = None;
        for (&value, offset) in last.zip((320..448).step_by(8).cycle()) {
            let folded = match sum {
                Some(sum) => self.builder.binary(BinaryOp::Xor, sum, value),
                None => value,
            };
            self.builder.store(self.memory, offset, Width::B8, folded);
            sum = Some(folded);
        }
    }
}
