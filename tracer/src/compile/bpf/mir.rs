//! Machine IR: instructions as BPF has them, but on values instead of registers, still in SSA form.
//!
//! Selection makes it, register allocation consumes it. Arithmetic has three operands here; the allocator makes it two.
//! Values that cost no more to compute again than to keep ([`Remat`]) have no instruction that defines them: the
//! allocator makes them where they are used.

use super::insn::{AluOp, Bits, Callee, Condition, Operand, Variable};
use crate::compile::ir::{CallbackId, MapRef, Runtime, SlotId, Width};
use crate::compile::source::Span;

/// Index into [`Function::remat`]. Those below the number of the IR's values are these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Val(pub u32);

impl Val {
    /// As an index into tables of all values.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A program.
#[derive(Debug)]
pub struct Function {
    /// The first is the entry; its parameters arrive in r1 and on.
    pub blocks: Vec<Block>,
    /// For each value, how to make it anywhere, if it can be.
    pub remat: Vec<Option<Remat>>,
}

impl Function {
    /// The functions of the runtime library that it calls; one may come twice.
    pub fn callees(&self) -> impl Iterator<Item = Runtime> {
        self.blocks.iter().flat_map(|block| &block.insts).filter_map(|inst| match inst.op {
            Op::Call { callee: Callee::Runtime(function), .. } => Some(function),
            _ => None,
        })
    }

    /// The callbacks that it names.
    pub fn callbacks(&self) -> impl Iterator<Item = CallbackId> {
        self.remat.iter().filter_map(|remat| match remat {
            Some(Remat::Callback(callback)) => Some(*callback),
            _ => None,
        })
    }
}

/// A value that is made again wherever it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remat {
    /// A number.
    Number(i64),
    /// A map.
    Map(MapRef),
    /// A callback.
    Callback(CallbackId),
    /// An address in the frame: so many bytes into a slot.
    Slot(SlotId, i32),
}

/// A basic block.
#[derive(Debug)]
pub struct Block {
    /// Values that edges to this block give.
    pub parameters: Vec<Val>,
    /// What it does.
    pub insts: Vec<Inst>,
    /// How it ends.
    pub exit: Exit,
    /// Where [`Block::exit`] comes from.
    pub exit_span: Span,
    /// Not expected to run.
    pub cold: bool,
}

/// An instruction and the source that it comes from.
#[derive(Debug)]
pub struct Inst {
    /// What it does.
    pub op: Op,
    /// The source.
    pub span: Span,
}

/// What an instruction does.
#[derive(Debug)]
pub enum Op {
    /// `dst = a op b`.
    Alu {
        /// Of 32-bit operations the upper half of the result is zero.
        bits: Bits,
        /// Anything but [`AluOp::Mov`].
        op: AluOp,
        /// Result.
        dst: Val,
        /// First operand.
        a: Val,
        /// Second operand.
        b: Operand<Val>,
    },
    /// `dst = -a`.
    Neg {
        /// Result.
        dst: Val,
        /// Operand.
        a: Val,
    },
    /// `dst = a & 0xffffffff`.
    ZeroExtend {
        /// Result.
        dst: Val,
        /// Operand.
        a: Val,
    },
    /// `dst = 1` if the condition holds, else 0.
    Set {
        /// Result.
        dst: Val,
        /// When.
        condition: Condition<Val>,
    },
    /// `dst = *(base + offset)`, zero-extended.
    Load {
        /// How much.
        width: Width,
        /// Result.
        dst: Val,
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
        src: Operand<Val>,
    },
    /// `lock *(base + offset) += src`.
    AtomicAdd {
        /// How much.
        bits: Bits,
        /// To where.
        base: Base,
        /// Bytes from there.
        offset: i16,
        /// What.
        src: Val,
    },
    /// `dst` = what the variable holds.
    Variable {
        /// Result.
        dst: Val,
        /// Which.
        variable: Variable,
    },
    /// `dst = callee(arguments)`.
    Call {
        /// Result; `None` where nobody uses it.
        dst: Option<Val>,
        /// What is called.
        callee: Callee,
        /// At most five.
        arguments: Vec<Val>,
    },
}

/// What memory is addressed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A pointer.
    Val(Val),
    /// A slot of the frame.
    Slot(SlotId),
}

/// How a block ends.
#[derive(Debug)]
pub enum Exit {
    /// To another block.
    Jump(Edge),
    /// To one of two.
    Branch {
        /// Decides.
        condition: Condition<Val>,
        /// Where it holds.
        then: Edge,
        /// Where it does not.
        otherwise: Edge,
    },
    /// Returns 0.
    Return,
    /// Returns 1.
    Stop,
}

/// A jump's destination and what it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Index of the block.
    pub to: usize,
    /// A value for each of its parameters.
    pub arguments: Vec<Val>,
}

impl Exit {
    /// Where it may go, in order.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        let (first, second) = match self {
            Self::Jump(edge) => (Some(edge), None),
            Self::Branch { then, otherwise, .. } => (Some(then), Some(otherwise)),
            Self::Return | Self::Stop => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// What deciding takes.
    pub fn uses(&self) -> Vec<Val> {
        match self {
            Self::Branch { condition, .. } => condition_uses(condition),
            Self::Jump(_) | Self::Return | Self::Stop => Vec::new(),
        }
    }
}

impl Op {
    /// What it defines.
    pub fn dst(&self) -> Option<Val> {
        match self {
            Self::Alu { dst, .. }
            | Self::Neg { dst, .. }
            | Self::ZeroExtend { dst, .. }
            | Self::Set { dst, .. }
            | Self::Load { dst, .. }
            | Self::Variable { dst, .. } => Some(*dst),
            Self::Call { dst, .. } => *dst,
            Self::Store { .. } | Self::AtomicAdd { .. } => None,
        }
    }

    /// Calls whose result is not live give none.
    pub fn forget_result_unless(&mut self, live: &[bool]) {
        if let Self::Call { dst, .. } = self {
            *dst = dst.filter(|dst| live[dst.index()]);
        }
    }

    /// What it takes; a value may come twice.
    pub fn uses(&self) -> Vec<Val> {
        let mut uses = Vec::new();
        match self {
            Self::Alu { a, b, .. } => {
                uses.push(*a);
                uses.extend(b.value());
            }
            Self::Neg { a, .. } | Self::ZeroExtend { a, .. } => uses.push(*a),
            Self::Set { condition, .. } => uses = condition_uses(condition),
            Self::Load { base, .. } => uses.extend(base.value()),
            Self::Store { base, src, .. } => {
                uses.extend(base.value());
                uses.extend(src.value());
            }
            Self::AtomicAdd { base, src, .. } => {
                uses.extend(base.value());
                uses.push(*src);
            }
            Self::Variable { .. } => {}
            Self::Call { arguments, .. } => uses.clone_from(arguments),
        }
        uses
    }

    /// Whether it can go if nobody uses its result.
    pub fn is_pure(&self) -> bool {
        match self {
            Self::Alu { .. }
            | Self::Neg { .. }
            | Self::ZeroExtend { .. }
            | Self::Set { .. }
            | Self::Load { .. }
            | Self::Variable { .. } => true,
            Self::Call { callee, .. } => match callee {
                Callee::Helper(helper) => helper.is_constant(),
                Callee::Runtime(function) => function.is_constant(),
            },
            Self::Store { .. } | Self::AtomicAdd { .. } => false,
        }
    }
}

impl Operand<Val> {
    fn value(&self) -> Option<Val> {
        match self {
            Self::Reg(value) => Some(*value),
            Self::Imm(_) => None,
        }
    }
}

impl Base {
    fn value(&self) -> Option<Val> {
        match self {
            Self::Val(value) => Some(*value),
            Self::Slot(_) => None,
        }
    }
}

fn condition_uses(condition: &Condition<Val>) -> Vec<Val> {
    [condition.a].into_iter().chain(condition.b.value()).collect()
}
