//! What the IR means, executed directly: the measure for generated code.

use std::collections::BTreeMap;

use tracer_common::bucket;

use crate::compile::ir::{
    BinaryOp, Block, CompareOp, Function, Helper, Inst, Runtime, SlotId, Target, Terminator, Value, Width,
};

/// Where the memory lies that a program is given.
pub const MEMORY: u64 = 1 << 40;

/// Where a slot lies.
fn slot_address(slot: SlotId) -> u64 {
    (2 << 40) + (u64::from(slot.0) << 32)
}

/// Runs a program whose context is [`MEMORY`], and which changes `memory`.
pub fn run(function: &Function, memory: &mut [u8]) {
    let slots = function.slots.iter().map(|slot| vec![0xa5; slot.size as usize]).collect();
    let mut machine = Machine { function, memory, slots, values: BTreeMap::new() };
    machine.run();
}

/// What the helper without a meaning of its own returns.
pub fn mix(helper: Helper, arguments: &[u64]) -> u64 {
    let start = (helper as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    arguments.iter().fold(start, |hash, argument| (hash ^ argument).rotate_left(23).wrapping_mul(0x2545_f491_4f6c_dd1d))
}

struct Machine<'a> {
    function: &'a Function,
    memory: &'a mut [u8],
    slots: Vec<Vec<u8>>,
    values: BTreeMap<Value, u64>,
}

impl Machine<'_> {
    fn run(&mut self) {
        self.values.insert(Value(0), MEMORY);
        let mut block = Block(0);
        loop {
            let data = &self.function.blocks[block.0 as usize];
            for &value in &data.insts {
                let inst = self.function.values[value.0 as usize].inst.as_ref().expect("an instruction");
                let result = self.inst(inst);
                self.values.insert(value, result);
            }
            let target = match &data.terminator {
                Terminator::Jump(target) => target,
                Terminator::Branch { op, a, b, then, otherwise } => {
                    if compare(*op, self.get(*a), self.get(*b)) {
                        then
                    } else {
                        otherwise
                    }
                }
                Terminator::Switch { value, cases, default } => {
                    let value = self.get(*value) as i64;
                    cases.iter().find(|(case, _)| *case == value).map_or(default, |(_, target)| target)
                }
                Terminator::Return | Terminator::Stop => return,
            };
            self.pass(target);
            block = target.block;
        }
    }

    fn pass(&mut self, target: &Target) {
        let parameters = &self.function.blocks[target.block.0 as usize].parameters;
        let arguments: Vec<u64> = target.arguments.iter().map(|&argument| self.get(argument)).collect();
        self.values.extend(parameters.iter().copied().zip(arguments));
    }

    fn get(&self, value: Value) -> u64 {
        self.values[&value]
    }

    fn inst(&mut self, inst: &Inst) -> u64 {
        match inst {
            Inst::Const(number) => *number as u64,
            Inst::Binary { op, a, b } => binary(*op, self.get(*a), self.get(*b)),
            Inst::Compare { op, a, b } => u64::from(compare(*op, self.get(*a), self.get(*b))),
            Inst::Extend { value, width, signed } => {
                let unused = 64 - 8 * width.bytes();
                let high = self.get(*value) << unused;
                if *signed { (high as i64 >> unused) as u64 } else { high >> unused }
            }
            Inst::Load { pointer, offset, width } => self.load(self.get(*pointer), *offset, *width),
            Inst::Store { pointer, offset, width, value } => {
                self.store(self.get(*pointer), *offset, *width, self.get(*value));
                0
            }
            Inst::AtomicAdd { pointer, offset, width, value } => {
                let pointer = self.get(*pointer);
                let sum = self.load(pointer, *offset, *width).wrapping_add(self.get(*value));
                self.store(pointer, *offset, *width, sum);
                0
            }
            Inst::SlotAddress(slot) => slot_address(*slot),
            Inst::MapReference(_) => 0,
            Inst::Generation(_) | Inst::StartTime | Inst::UnknownZero | Inst::CallbackAddress(_) => {
                unreachable!("no test runs these here")
            }
            Inst::Helper { helper: Helper::MapLookupElem, .. } => MEMORY,
            Inst::Helper { helper: Helper::ProbeReadKernel, arguments } => {
                let [to, size, from] = arguments[..] else { unreachable!("it takes three arguments") };
                for byte in 0..self.get(size) as i16 {
                    let value = self.load(self.get(from), byte, Width::B1);
                    self.store(self.get(to), byte, Width::B1, value);
                }
                0
            }
            Inst::Helper { helper, arguments } => {
                let arguments: Vec<u64> = arguments.iter().map(|&argument| self.get(argument)).collect();
                mix(*helper, &arguments)
            }
            Inst::Runtime { function, arguments } => {
                let argument = |index: usize| self.get(arguments[index]);
                match function {
                    Runtime::Log2Index => u64::from(bucket::log2_index(argument(0) as i64, argument(1) as u32)),
                    Runtime::LinearIndex => u64::from(bucket::linear_index(
                        argument(0) as i64,
                        argument(1) as i64,
                        argument(2) as i64,
                        argument(3) as i64,
                    )),
                    other => unreachable!("no test runs {other:?} here"),
                }
            }
        }
    }

    fn load(&mut self, pointer: u64, offset: i16, width: Width) -> u64 {
        let mut bytes = [0; 8];
        let place = self.place(pointer, offset, width);
        bytes[..place.len()].copy_from_slice(place);
        u64::from_le_bytes(bytes)
    }

    fn store(&mut self, pointer: u64, offset: i16, width: Width, value: u64) {
        let place = self.place(pointer, offset, width);
        place.copy_from_slice(&value.to_le_bytes()[..place.len()]);
    }

    fn place(&mut self, pointer: u64, offset: i16, width: Width) -> &mut [u8] {
        let address = pointer.wrapping_add_signed(offset.into());
        let slot = (address.wrapping_sub(2 << 40) >> 32) as usize;
        let (start, bytes) = match self.slots.get_mut(slot) {
            Some(bytes) => (slot_address(SlotId(slot as u32)), &mut bytes[..]),
            None => (MEMORY, &mut *self.memory),
        };
        let start = (address - start) as usize;
        &mut bytes[start..start + width.bytes() as usize]
    }
}

fn binary(op: BinaryOp, a: u64, b: u64) -> u64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::UDiv => a.checked_div(b).unwrap_or(0),
        BinaryOp::UMod => a.checked_rem(b).unwrap_or(a),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a << (b & 63),
        BinaryOp::Shr => a >> (b & 63),
        BinaryOp::Sar => ((a as i64) >> (b & 63)) as u64,
    }
}

fn compare(op: CompareOp, a: u64, b: u64) -> bool {
    let (signed_a, signed_b) = (a as i64, b as i64);
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::ULt => a < b,
        CompareOp::ULe => a <= b,
        CompareOp::UGt => a > b,
        CompareOp::UGe => a >= b,
        CompareOp::SLt => signed_a < signed_b,
        CompareOp::SLe => signed_a <= signed_b,
        CompareOp::SGt => signed_a > signed_b,
        CompareOp::SGe => signed_a >= signed_b,
    }
}
