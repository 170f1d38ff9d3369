//! BPF instructions, as types that wrong ones cannot be written in, and their encoding.
//!
//! In: instructions whose jumps name an instruction of the same function. Out: bytes and what a loader must relocate.
//! The set is BPF ISA v3 (32-bit arithmetic and jumps) with fetch-less atomic addition, which every kernel since 5.1 takes
//! (`Documentation/bpf/standardization/instruction-set.rst`).

use crate::compile::ir::{CallbackId, Helper, MapRef, Runtime, Width};
use crate::plan::MapId;

/// A register that can be written. The frame pointer cannot and is no register here: see [`Base::Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
}

impl Reg {
    /// In the order of their numbers.
    pub const ALL: [Reg; 10] =
        [Self::R0, Self::R1, Self::R2, Self::R3, Self::R4, Self::R5, Self::R6, Self::R7, Self::R8, Self::R9];
    /// What a call takes its arguments from.
    pub const ARGUMENTS: [Reg; 5] = [Self::R1, Self::R2, Self::R3, Self::R4, Self::R5];
    /// What a call gives its result in.
    pub const RESULT: Reg = Self::R0;

    /// Whether a call leaves it as it was.
    pub fn survives_calls(self) -> bool {
        self >= Self::R6
    }
}

/// What memory is addressed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A pointer in a register.
    Reg(Reg),
    /// The frame pointer, r10: one past the highest byte of the frame.
    Frame,
}

/// The second operand of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand<R = Reg> {
    /// A register.
    Reg(R),
    /// A number, sign-extended to 64 bits in 64-bit operations.
    Imm(i32),
}

/// How wide an operation is. 32-bit arithmetic clears the upper half of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// The lower halves of the operands.
    B32,
    /// All of them.
    B64,
}

/// Arithmetic of two operands, the first of which takes the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AluOp {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
    Arsh = 0xc0,
}

impl AluOp {
    /// Whether the operands may change places.
    pub fn commutes(self) -> bool {
        matches!(self, Self::Add | Self::Mul | Self::Or | Self::And | Self::Xor)
    }
}

/// What a conditional jump asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum JumpOp {
    Eq = 0x10,
    Gt = 0x20,
    Ge = 0x30,
    /// Whether the operands have a bit in common.
    Set = 0x40,
    Ne = 0x50,
    Sgt = 0x60,
    Sge = 0x70,
    Lt = 0xa0,
    Le = 0xb0,
    Slt = 0xc0,
    Sle = 0xd0,
}

impl JumpOp {
    /// The relation that holds when this one does not; there is none for [`JumpOp::Set`].
    pub fn negated(self) -> Option<Self> {
        Some(match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Gt => Self::Le,
            Self::Le => Self::Gt,
            Self::Ge => Self::Lt,
            Self::Lt => Self::Ge,
            Self::Sgt => Self::Sle,
            Self::Sle => Self::Sgt,
            Self::Sge => Self::Slt,
            Self::Slt => Self::Sge,
            Self::Set => return None,
        })
    }

    /// The relation with its operands in the other order.
    pub fn swapped(self) -> Self {
        match self {
            Self::Eq | Self::Ne | Self::Set => self,
            Self::Gt => Self::Lt,
            Self::Lt => Self::Gt,
            Self::Ge => Self::Le,
            Self::Le => Self::Ge,
            Self::Sgt => Self::Slt,
            Self::Slt => Self::Sgt,
            Self::Sge => Self::Sle,
            Self::Sle => Self::Sge,
        }
    }
}

/// When a conditional jump is taken: `a op b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<R = Reg> {
    /// How much of the operands is compared.
    pub bits: Bits,
    /// The relation.
    pub op: JumpOp,
    /// Left operand.
    pub a: R,
    /// Right operand.
    pub b: Operand<R>,
}

/// What a 64-bit immediate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// A number.
    Number(i64),
    /// A map, for helpers.
    Map(MapRef),
    /// The address of a variable.
    Address(Variable),
    /// A callback of the program.
    Callback(CallbackId),
}

/// A variable of the runtime library, 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The current generation of a map.
    Generation(MapId),
    /// When the script began.
    StartTime,
    /// 0, always.
    UnknownZero,
}

impl Variable {
    /// The symbol that it is in, and how far from its beginning.
    fn place(self) -> (&'static str, i64) {
        match self {
            Self::Generation(map) => ("GENERATIONS", 8 * i64::from(map.0)),
            Self::StartTime => ("START_TIME", 0),
            Self::UnknownZero => ("UNKNOWN_ZERO", 0),
        }
    }
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// A helper of the kernel.
    Helper(Helper),
    /// A function of the runtime library.
    Runtime(Runtime),
}

/// One instruction. Jumps go to an index among the function's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insn {
    /// `dst op= src`. Divisors are not the number 0, and shifts by a number are shorter than the operand.
    Alu {
        /// Of 32-bit operations the upper half of the result is zero.
        bits: Bits,
        /// What is computed.
        op: AluOp,
        /// First operand and result.
        dst: Reg,
        /// Second operand.
        src: Operand,
    },
    /// `dst = -dst`.
    Neg {
        /// Operand and result.
        dst: Reg,
    },
    /// `dst = r10`.
    FrameAddress {
        /// Result.
        dst: Reg,
    },
    /// `dst = …`, in two slots of the program.
    LoadWide {
        /// Result.
        dst: Reg,
        /// What.
        value: Wide,
    },
    /// `dst = *(base + offset)`, zero-extended.
    Load {
        /// How much.
        width: Width,
        /// Result.
        dst: Reg,
        /// From where.
        base: Base,
        /// Bytes from there.
        offset: i16,
    },
    /// `*(base + offset) = src`.
    Store {
        /// How much.
        width: Width,
        /// To where.
        base: Base,
        /// Bytes from there.
        offset: i16,
        /// What.
        src: Operand,
    },
    /// `lock *(base + offset) += src`.
    AtomicAdd {
        /// How much: the instruction set knows 4 and 8 bytes.
        bits: Bits,
        /// To where.
        base: Base,
        /// Bytes from there.
        offset: i16,
        /// What.
        src: Reg,
    },
    /// `goto to`.
    Jump {
        /// An instruction of the function.
        to: usize,
    },
    /// `if condition goto to`.
    Branch {
        /// When.
        condition: Condition,
        /// An instruction of the function.
        to: usize,
    },
    /// `r0 = callee(r1, …, r5)`; r1 to r5 are undefined afterwards.
    Call(Callee),
    /// Returns r0.
    Exit,
}

impl Insn {
    /// How many slots of a program it takes.
    pub fn slots(&self) -> usize {
        if matches!(self, Self::LoadWide { .. }) { 2 } else { 1 }
    }

    /// Where it jumps to.
    pub fn target(&self) -> Option<usize> {
        match *self {
            Self::Jump { to } | Self::Branch { to, .. } => Some(to),
            _ => None,
        }
    }

    /// Lets a jump go elsewhere.
    pub fn set_target(&mut self, target: usize) {
        match self {
            Self::Jump { to } | Self::Branch { to, .. } => *to = target,
            insn => unreachable!("{insn:?} is no jump"),
        }
    }

    /// Whether what stands behind it may come next.
    pub fn falls_through(&self) -> bool {
        !matches!(self, Self::Jump { .. } | Self::Exit)
    }
}

/// Bytes of one slot of a program.
pub const SLOT: usize = 8;

/// A function's bytes and what must be filled in when it is linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Little-endian instructions.
    pub bytes: Vec<u8>,
    /// By rising offset.
    pub relocations: Vec<(usize, Target)>,
}

/// What a relocation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Of a 64-bit immediate.
    Map(MapRef),
    /// Of a 64-bit immediate.
    Variable(Variable),
    /// Of a call.
    Runtime(Runtime),
    /// Of a 64-bit immediate.
    Callback(CallbackId),
}

impl Target {
    /// The symbol in the runtime library, if that is where it is.
    pub fn symbol(&self) -> Option<&'static str> {
        match self {
            Self::Map(MapRef::Script(_) | MapRef::Front(_) | MapRef::Keys(_)) | Self::Callback(_) => None,
            Self::Map(MapRef::Runtime(symbol)) => Some(symbol),
            Self::Variable(variable) => Some(variable.place().0),
            Self::Runtime(function) => Some(function.symbol()),
        }
    }
}

/// A jump is longer than its 16 bits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFar;

/// Instructions → bytes.
pub fn encode<'a>(insns: impl Iterator<Item = &'a Insn> + Clone) -> Result<Encoded, TooFar> {
    let starts: Vec<usize> = insns
        .clone()
        .scan(0, |next, insn| {
            let start = *next;
            *next += insn.slots();
            Some(start)
        })
        .collect();
    let mut encoded = Encoded { bytes: Vec::new(), relocations: Vec::new() };
    for (insn, &start) in insns.zip(&starts) {
        let distance = |to: usize| i16::try_from(starts[to] as i64 - (start as i64 + 1)).map_err(|_| TooFar);
        let at = encoded.bytes.len();
        let slot = match *insn {
            Insn::Alu { bits, op, dst, src } => {
                let class = match bits {
                    Bits::B32 => 0x04,
                    Bits::B64 => 0x07,
                };
                let (source, src, imm) = operand(src);
                word(class | source | op as u8, dst as u8, src, 0, imm)
            }
            Insn::Neg { dst } => word(0x87, dst as u8, 0, 0, 0),
            Insn::FrameAddress { dst } => word(0xbf, dst as u8, FRAME, 0, 0),
            Insn::LoadWide { dst, value } => {
                let number = match value {
                    Wide::Number(number) => number,
                    Wide::Map(map) => {
                        encoded.relocations.push((at, Target::Map(map)));
                        0
                    }
                    Wide::Callback(callback) => {
                        encoded.relocations.push((at, Target::Callback(callback)));
                        0
                    }
                    // What is added to the symbol's address stands in the immediate.
                    Wide::Address(variable) => {
                        encoded.relocations.push((at, Target::Variable(variable)));
                        variable.place().1
                    }
                };
                encoded.bytes.extend(word(0x18, dst as u8, 0, 0, number as i32));
                word(0, 0, 0, 0, (number >> 32) as i32)
            }
            Insn::Load { width, dst, base, offset } => {
                word(0x61 | size(width), dst as u8, base_number(base), offset, 0)
            }
            Insn::Store { width, base, offset, src: Operand::Reg(src) } => {
                word(0x63 | size(width), base_number(base), src as u8, offset, 0)
            }
            Insn::Store { width, base, offset, src: Operand::Imm(imm) } => {
                word(0x62 | size(width), base_number(base), 0, offset, imm)
            }
            Insn::AtomicAdd { bits, base, offset, src } => {
                let size = match bits {
                    Bits::B32 => size(Width::B4),
                    Bits::B64 => size(Width::B8),
                };
                word(0xc3 | size, base_number(base), src as u8, offset, 0)
            }
            Insn::Jump { to } => word(0x05, 0, 0, distance(to)?, 0),
            Insn::Branch { condition: Condition { bits, op, a, b }, to } => {
                let class = match bits {
                    Bits::B32 => 0x06,
                    Bits::B64 => 0x05,
                };
                let (source, src, imm) = operand(b);
                word(class | source | op as u8, a as u8, src, distance(to)?, imm)
            }
            Insn::Call(Callee::Helper(helper)) => word(0x85, 0, 0, 0, helper as i32),
            Insn::Call(Callee::Runtime(function)) => {
                encoded.relocations.push((at, Target::Runtime(function)));
                word(0x85, 0, PSEUDO_CALL, 0, -1)
            }
            Insn::Exit => word(0x95, 0, 0, 0, 0),
        };
        encoded.bytes.extend(slot);
    }
    Ok(encoded)
}

/// The number of the frame pointer.
const FRAME: u8 = 10;

/// The source field of a call to a function of the program.
const PSEUDO_CALL: u8 = 1;

fn word(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> [u8; SLOT] {
    let [o0, o1] = offset.to_le_bytes();
    let [i0, i1, i2, i3] = imm.to_le_bytes();
    [opcode, dst | src << 4, o0, o1, i0, i1, i2, i3]
}

fn base_number(base: Base) -> u8 {
    match base {
        Base::Reg(reg) => reg as u8,
        Base::Frame => FRAME,
    }
}

fn size(width: Width) -> u8 {
    match width {
        Width::B4 => 0x00,
        Width::B2 => 0x08,
        Width::B1 => 0x10,
        Width::B8 => 0x18,
    }
}

/// The source bit, the source register and the immediate.
fn operand(operand: Operand) -> (u8, u8, i32) {
    match operand {
        Operand::Reg(reg) => (0x08, reg as u8, 0),
        Operand::Imm(imm) => (0x00, 0, imm),
    }
}
