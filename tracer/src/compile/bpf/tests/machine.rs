//! Generated code in `rbpf`, an interpreter of BPF.
//!
//! Calls go through stubs that leave rubbish in r1 to r5, as the kernel may.

use rbpf::EbpfVmRaw;
use tracer_common::bucket;

use super::interpret::mix;
use crate::compile::bpf::insn::{self, Encoded, Insn, Target};
use crate::compile::bpf::{Line, frame::Frame, layout, regalloc, select};
use crate::compile::ir::{Function, Helper, Runtime};

/// Instructions and bytes of the frame.
pub fn compile(function: &Function) -> (Vec<Line>, u32) {
    let selected = select::select(function);
    let frame = Frame::new(&function.slots, &selected);
    let allocated = regalloc::allocate(&selected, &frame);
    (layout::lay_out(allocated.blocks), frame.size(allocated.spills))
}

/// Runs a function whose context is `memory`.
pub fn run(lines: &[Line], memory: &mut [u8]) {
    let insns = lines.iter().map(|(insn, _)| insn);
    let encoded = insn::encode(insns).expect("short jumps");
    let code = with_stubs(encoded);
    let mut machine = EbpfVmRaw::new(Some(&code)).expect("valid instructions");
    machine.register_helper(KTIME, |_, _, _, _, _| mix(Helper::KtimeGetNs, &[])).expect("a helper");
    machine.register_helper(DELETE, |a, b, _, _, _| mix(Helper::MapDeleteElem, &[a, b])).expect("a helper");
    machine.register_helper(UPDATE, |a, b, c, d, _| mix(Helper::MapUpdateElem, &[a, b, c, d])).expect("a helper");
    machine.register_helper(LOG2, |a, b, _, _, _| bucket::log2_index(a as i64, b as u32).into()).expect("a helper");
    machine
        .register_helper(LINEAR, |a, b, c, d, _| bucket::linear_index(a as i64, b as i64, c as i64, d as i64).into())
        .expect("a helper");
    machine.execute_program(memory).expect("memory is accessed within bounds");
}

const KTIME: u32 = Helper::KtimeGetNs as u32;
const DELETE: u32 = Helper::MapDeleteElem as u32;
const UPDATE: u32 = Helper::MapUpdateElem as u32;
const LOG2: u32 = 1000;
const LINEAR: u32 = 1001;

/// What may be called, by the number that it has here.
const CALLEES: [u32; 5] = [KTIME, DELETE, UPDATE, LOG2, LINEAR];

/// A stub: the call, rubbish in the argument registers, and the way back.
const STUB: usize = 7;

fn with_stubs(encoded: Encoded) -> Vec<u8> {
    const CALL: u8 = 0x85;
    const WIDE: u8 = 0x18;
    let Encoded { mut bytes, relocations } = encoded;
    for (at, target) in relocations {
        let callee = match target {
            Target::Runtime(Runtime::Log2Index) => LOG2,
            Target::Runtime(Runtime::LinearIndex) => LINEAR,
            other => panic!("{other:?} has no meaning here"),
        };
        bytes[at + 4..at + 8].copy_from_slice(&callee.to_le_bytes());
    }
    let program = bytes.len() / insn::SLOT;
    let mut at = 0;
    while at < program {
        let insn = &mut bytes[at * insn::SLOT..][..insn::SLOT];
        if insn[0] == CALL {
            let callee = u32::from_le_bytes(insn[4..].try_into().expect("four bytes"));
            let stub = CALLEES.iter().position(|known| *known == callee).expect("a known callee");
            insn[1] = 1 << 4;
            insn[4..].copy_from_slice(&((program + stub * STUB - at - 1) as i32).to_le_bytes());
        }
        at += if insn[0] == WIDE { 2 } else { 1 };
    }
    for callee in CALLEES {
        bytes.extend([CALL, 0, 0, 0]);
        bytes.extend(callee.to_le_bytes());
        let rubbish = |reg| Insn::Alu {
            bits: insn::Bits::B64,
            op: insn::AluOp::Mov,
            dst: reg,
            src: insn::Operand::Imm(0x0bad_0bad),
        };
        let rest: Vec<Insn> = insn::Reg::ARGUMENTS.into_iter().map(rubbish).chain([Insn::Exit]).collect();
        bytes.extend(insn::encode(rest.iter()).expect("no jumps").bytes);
    }
    bytes
}
