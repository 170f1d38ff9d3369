//! Instruction selection: IR → machine IR.
//!
//! Each IR instruction becomes the shortest sequence that does it where it stands; what a consumer can do by itself is
//! folded into the consumer: numbers into immediates, constant additions into address offsets, comparisons into branches,
//! extensions to 32 bits into 32-bit operations. What nobody needs any more is dropped at the end.

use super::insn::{AluOp, Bits, Callee, Condition, JumpOp, Operand, Variable};
use super::mir::{Base, Block, Edge, Exit, Function, Inst, Op, Remat, Val};
use super::{dead, switch};
use crate::compile::ir::{self, BinaryOp, CompareOp, Terminator, Value, Width};
use crate::compile::source::Span;

/// Selects the instructions of a program.
pub fn select(function: &ir::Function) -> Function {
    let mut selector = Selector::new(function);
    let blocks = function.blocks.iter().map(|block| selector.block(block)).collect();
    let Selector { remat, extra_blocks, .. } = selector;
    let mut selected = Function { blocks, remat };
    selected.blocks.extend(extra_blocks);
    dead::eliminate(&mut selected);
    selected
}

/// Selection in progress.
pub(super) struct Selector<'a> {
    function: &'a ir::Function,
    /// How often each value of the IR is used.
    uses: Vec<u32>,
    remat: Vec<Option<Remat>>,
    /// Of the block at hand.
    insts: Vec<Inst>,
    /// The source of the instruction at hand.
    span: Span,
    /// Blocks that a switch has been taken apart into; they stand behind those of the IR.
    extra_blocks: Vec<Block>,
}

impl<'a> Selector<'a> {
    fn new(function: &'a ir::Function) -> Self {
        let mut selector = Self {
            function,
            uses: count_uses(function),
            remat: Vec::new(),
            insts: Vec::new(),
            span: Span::default(),
            extra_blocks: Vec::new(),
        };
        selector.remat = (0..function.values.len()).map(|value| selector.rematerialised(Value(value as u32))).collect();
        selector
    }

    fn block(&mut self, block: &ir::BlockData) -> Block {
        for &value in &block.insts {
            self.span = self.function.values[value.0 as usize].span;
            if let Some(inst) = self.inst_of(value) {
                self.inst(value, inst);
            }
        }
        // A terminator has no span of its own: it belongs to what was computed for it.
        let exit = self.terminator(&block.terminator, block.cold);
        Block {
            parameters: block.parameters.iter().map(|&parameter| Val(parameter.0)).collect(),
            insts: std::mem::take(&mut self.insts),
            exit,
            exit_span: self.span,
            cold: block.cold,
        }
    }

    fn inst(&mut self, value: Value, inst: &ir::Inst) {
        if self.alias(value).is_some() || self.remat[value.0 as usize].is_some() {
            return;
        }
        let dst = Val(value.0);
        match inst {
            // These are made where they are used.
            ir::Inst::Const(_)
            | ir::Inst::SlotAddress(_)
            | ir::Inst::MapReference(_)
            | ir::Inst::CallbackAddress(_) => {}
            ir::Inst::Binary { op, a, b } => self.binary(dst, Bits::B64, *op, *a, *b),
            ir::Inst::Compare { op, a, b } => {
                let condition = self.condition(*op, *a, *b);
                self.emit(Op::Set { dst, condition });
            }
            ir::Inst::Extend { value, width, signed } => self.extend(dst, *value, *width, *signed),
            ir::Inst::Load { pointer, offset, width } => {
                let (base, offset) = self.address(*pointer, *offset);
                self.emit(Op::Load { width: *width, dst, base, offset });
            }
            ir::Inst::Store { pointer, offset, width, value } => {
                let (base, offset) = self.address(*pointer, *offset);
                let src = self.stored(*value, *width);
                self.emit(Op::Store { width: *width, base, offset, src });
            }
            ir::Inst::AtomicAdd { pointer, offset, width, value } => {
                let (base, offset) = self.address(*pointer, *offset);
                let bits = match width {
                    Width::B4 => Bits::B32,
                    Width::B8 => Bits::B64,
                    Width::B1 | Width::B2 => unreachable!("verified IR adds 4 or 8 bytes atomically"),
                };
                let src = self.val(*value);
                self.emit(Op::AtomicAdd { bits, base, offset, src });
            }
            ir::Inst::Generation(map) => self.emit(Op::Variable { dst, variable: Variable::Generation(*map) }),
            ir::Inst::UnknownZero => self.emit(Op::Variable { dst, variable: Variable::UnknownZero }),
            ir::Inst::StartTime => self.emit(Op::Variable { dst, variable: Variable::StartTime }),
            ir::Inst::Helper { helper, arguments } => self.call(dst, Callee::Helper(*helper), arguments),
            ir::Inst::Runtime { function, arguments } => self.call(dst, Callee::Runtime(*function), arguments),
        }
    }

    fn binary(&mut self, dst: Val, bits: Bits, op: BinaryOp, a: Value, b: Value) {
        let op = match op {
            BinaryOp::Add => AluOp::Add,
            BinaryOp::Sub => AluOp::Sub,
            BinaryOp::Mul => AluOp::Mul,
            BinaryOp::UDiv => AluOp::Div,
            BinaryOp::UMod => AluOp::Mod,
            BinaryOp::And => AluOp::And,
            BinaryOp::Or => AluOp::Or,
            BinaryOp::Xor => AluOp::Xor,
            BinaryOp::Shl => AluOp::Lsh,
            BinaryOp::Shr => AluOp::Rsh,
            BinaryOp::Sar => AluOp::Arsh,
        };
        let (a, b) = if op.commutes() && self.number(a).is_some() { (b, a) } else { (a, b) };
        if bits == Bits::B64 && op == AluOp::Sub && self.number(a) == Some(0) {
            let a = self.val(b);
            return self.emit(Op::Neg { dst, a });
        }
        if bits == Bits::B64 && op == AluOp::And && self.number(b) == Some(0xffff_ffff) {
            let a = self.val(a);
            return self.emit(Op::ZeroExtend { dst, a });
        }
        let immediate = self.number(b).and_then(|number| match (op, bits) {
            // The verifier refuses these as numbers; in a register they do what the IR says.
            (AluOp::Div | AluOp::Mod, _) if number == 0 => None,
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, _) => Some(number as i32 & 63),
            (_, Bits::B32) => Some(number as i32),
            (_, Bits::B64) => i32::try_from(number).ok(),
        });
        let b = immediate.map_or_else(|| Operand::Reg(self.val(b)), Operand::Imm);
        let a = self.val(a);
        self.emit(Op::Alu { bits, op, dst, a, b });
    }

    fn extend(&mut self, dst: Val, value: Value, width: Width, signed: bool) {
        if width == Width::B4 && !signed {
            return match self.inst_of(value) {
                Some(&ir::Inst::Binary { op, a, b }) if self.uses(value) == 1 && self.fits_32_bits(op, b) => {
                    self.binary(dst, Bits::B32, op, a, b)
                }
                _ => {
                    let a = self.val(value);
                    self.emit(Op::ZeroExtend { dst, a })
                }
            };
        }
        let a = self.val(value);
        let alu = |op, dst, a, imm| Op::Alu { bits: Bits::B64, op, dst, a, b: Operand::Imm(imm) };
        let unused = match width {
            Width::B1 => 56,
            Width::B2 => 48,
            Width::B4 => 32,
            Width::B8 => unreachable!("an alias of its operand"),
        };
        if signed {
            let shifted = self.temporary(None);
            self.emit(alu(AluOp::Lsh, shifted, a, unused));
            self.emit(alu(AluOp::Arsh, dst, shifted, unused));
        } else {
            self.emit(alu(AluOp::And, dst, a, (u64::MAX >> unused) as i32));
        }
    }

    /// Whether the lower half of the result depends on the lower halves of the operands only.
    fn fits_32_bits(&self, op: BinaryOp, b: Value) -> bool {
        match op {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => true,
            BinaryOp::Shl => self.number(b).is_some_and(|bits| (0..32).contains(&bits)),
            BinaryOp::UDiv | BinaryOp::UMod | BinaryOp::Shr | BinaryOp::Sar => false,
        }
    }

    fn call(&mut self, dst: Val, callee: Callee, arguments: &[Value]) {
        let arguments = arguments.iter().map(|&argument| self.val(argument)).collect();
        self.emit(Op::Call { dst: Some(dst), callee, arguments });
    }

    fn terminator(&mut self, terminator: &Terminator, cold: bool) -> Exit {
        match terminator {
            Terminator::Jump(target) => Exit::Jump(self.edge(target)),
            Terminator::Branch { op, a, b, then, otherwise } => {
                self.branch(*op, *a, *b, self.edge(then), self.edge(otherwise))
            }
            Terminator::Switch { value, cases, default } => {
                let cases: Vec<_> = cases.iter().map(|(number, target)| (*number, self.edge(target))).collect();
                let default = self.edge(default);
                let smallest = if self.zero_extended(*value).is_some() { 0 } else { i64::MIN };
                let value = self.val(*value);
                switch::expand(self, value, smallest, &cases, &default, cold)
            }
            Terminator::Return => Exit::Return,
            Terminator::Stop => Exit::Stop,
        }
    }

    fn branch(&mut self, op: CompareOp, a: Value, b: Value, then: Edge, otherwise: Edge) -> Exit {
        let against_zero = matches!(op, CompareOp::Eq | CompareOp::Ne) && self.number(b) == Some(0);
        if against_zero {
            let (then, otherwise) = if op == CompareOp::Ne { (then, otherwise) } else { (otherwise, then) };
            match self.inst_of(a) {
                Some(&ir::Inst::Compare { op, a, b }) => return self.branch(op, a, b, then, otherwise),
                Some(&ir::Inst::Binary { op: BinaryOp::And, a: x, b: y }) if self.uses(a) == 1 => {
                    let (x, y) = if self.number(x).is_some() { (y, x) } else { (x, y) };
                    let condition = Condition { bits: Bits::B64, op: JumpOp::Set, a: self.val(x), b: self.operand(y) };
                    return Exit::Branch { condition, then, otherwise };
                }
                // A pointer is compared as it is, so that the verifier learns from it.
                _ => {
                    let condition = self.condition(CompareOp::Ne, a, b);
                    return Exit::Branch { condition, then, otherwise };
                }
            }
        }
        let condition = self.condition(op, a, b);
        Exit::Branch { condition, then, otherwise }
    }

    fn condition(&mut self, op: CompareOp, a: Value, b: Value) -> Condition<Val> {
        let op = jump_op(op);
        let (op, a, b) =
            if self.number(a).is_some() && self.number(b).is_none() { (op.swapped(), b, a) } else { (op, a, b) };
        if let Some(condition) = self.condition_32(op, a, b) {
            return condition;
        }
        Condition { bits: Bits::B64, op, a: self.val(a), b: self.operand(b) }
    }

    /// A comparison of the lower halves, where that decides it and saves the extension or the loading of a number.
    fn condition_32(&mut self, op: JumpOp, a: Value, b: Value) -> Option<Condition<Val>> {
        let signed = matches!(op, JumpOp::Sgt | JumpOp::Sge | JumpOp::Slt | JumpOp::Sle);
        let unsigned = matches!(op, JumpOp::Gt | JumpOp::Ge | JumpOp::Lt | JumpOp::Le);
        if let Some(number) = self.number(b) {
            let immediate = if unsigned || (!signed && number >= 0) {
                u32::try_from(number).ok()? as i32
            } else {
                i32::try_from(number).ok()?
            };
            let extended = self.extended_32(a);
            let whole = match extended {
                Some((whole, false)) if !signed && number >= 0 => whole,
                Some((whole, true)) if !unsigned && i32::try_from(number).is_ok() => whole,
                // It fits the upper half's zeros but not a sign-extended immediate.
                _ if !signed && i32::try_from(number).is_err() && self.zero_extended(a).is_some() => self.val(a),
                _ => return None,
            };
            return Some(Condition { bits: Bits::B32, op, a: whole, b: Operand::Imm(immediate) });
        }
        match (self.extended_32(a)?, self.extended_32(b)?) {
            ((a, false), (b, false)) if !signed => Some(Condition { bits: Bits::B32, op, a, b: Operand::Reg(b) }),
            ((a, true), (b, true)) if !unsigned => Some(Condition { bits: Bits::B32, op, a, b: Operand::Reg(b) }),
            _ => None,
        }
    }

    /// What is extended from its lower half here and nowhere else used so, and whether with its sign.
    fn extended_32(&self, value: Value) -> Option<(Val, bool)> {
        match self.inst_of(value) {
            Some(&ir::Inst::Extend { value: whole, width: Width::B4, signed })
                if self.uses(value) == 1 && self.alias(value).is_none() =>
            {
                Some((self.val(whole), signed))
            }
            _ => None,
        }
    }

    /// Base and offset of a memory access, with constant additions taken into the offset.
    fn address(&self, pointer: Value, offset: i16) -> (Base, i16) {
        let (mut pointer, mut offset) = (self.resolve(pointer), offset);
        while let Some((next, distance)) = self.constant_addition(pointer) {
            let Some(sum) = i16::try_from(distance).ok().and_then(|distance| offset.checked_add(distance)) else {
                break;
            };
            (pointer, offset) = (self.resolve(next), sum);
        }
        match self.inst_of(pointer) {
            Some(ir::Inst::SlotAddress(slot)) => (Base::Slot(*slot), offset),
            _ => (Base::Val(self.val(pointer)), offset),
        }
    }

    fn constant_addition(&self, value: Value) -> Option<(Value, i64)> {
        match *self.inst_of(value)? {
            ir::Inst::Binary { op: BinaryOp::Add, a, b } => match (self.number(a), self.number(b)) {
                (_, Some(number)) => Some((a, number)),
                (Some(number), _) => Some((b, number)),
                _ => None,
            },
            ir::Inst::Binary { op: BinaryOp::Sub, a, b } => Some((a, self.number(b)?.checked_neg()?)),
            _ => None,
        }
    }

    /// What a store writes: a number as it is, and no extension that it cuts off again.
    fn stored(&self, value: Value, width: Width) -> Operand<Val> {
        match (self.number(value), width) {
            (Some(number), Width::B1) => return Operand::Imm(number as i8 as i32),
            (Some(number), Width::B2) => return Operand::Imm(number as i16 as i32),
            (Some(number), Width::B4) => return Operand::Imm(number as i32),
            _ => {}
        }
        match self.inst_of(value) {
            Some(&ir::Inst::Extend { value, width: kept, .. }) if width <= kept => self.operand(value),
            _ => self.operand(value),
        }
    }

    /// The width of memory that the value has been zero-extended from, or the least that holds it.
    fn zero_extended(&self, value: Value) -> Option<Width> {
        match self.inst_of(self.resolve(value))? {
            ir::Inst::Load { width, .. } | ir::Inst::Extend { width, signed: false, .. } if *width < Width::B8 => {
                Some(*width)
            }
            ir::Inst::Compare { .. } => Some(Width::B1),
            _ => None,
        }
    }

    /// The value that an extension leaves unchanged.
    fn alias(&self, value: Value) -> Option<Value> {
        match *self.inst_of(value)? {
            ir::Inst::Extend { value, width: Width::B8, .. } => Some(value),
            ir::Inst::Extend { value, width, signed } => {
                let fits = self.zero_extended(value).is_some_and(|own| own < width || (own == width && !signed));
                fits.then_some(value)
            }
            _ => None,
        }
    }

    fn resolve(&self, mut value: Value) -> Value {
        while let Some(same) = self.alias(value) {
            value = same;
        }
        value
    }

    fn rematerialised(&self, value: Value) -> Option<Remat> {
        match self.inst_of(value)? {
            ir::Inst::Const(number) => Some(Remat::Number(*number)),
            ir::Inst::MapReference(map) => Some(Remat::Map(*map)),
            ir::Inst::CallbackAddress(callback) => Some(Remat::Callback(*callback)),
            ir::Inst::SlotAddress(slot) => Some(Remat::Slot(*slot, 0)),
            _ => {
                let (base, distance) = self.constant_addition(value)?;
                let Remat::Slot(slot, offset) = self.rematerialised(base)? else { return None };
                Some(Remat::Slot(slot, offset.checked_add(i32::try_from(distance).ok()?)?))
            }
        }
    }

    fn operand(&self, value: Value) -> Operand<Val> {
        match self.number(value).map(i32::try_from) {
            Some(Ok(immediate)) => Operand::Imm(immediate),
            _ => Operand::Reg(self.val(value)),
        }
    }

    fn number(&self, value: Value) -> Option<i64> {
        match self.inst_of(value) {
            Some(ir::Inst::Const(number)) => Some(*number),
            _ => None,
        }
    }

    fn inst_of(&self, value: Value) -> Option<&'a ir::Inst> {
        self.function.values[value.0 as usize].inst.as_ref()
    }

    fn uses(&self, value: Value) -> u32 {
        self.uses[value.0 as usize]
    }

    fn val(&self, value: Value) -> Val {
        Val(self.resolve(value).0)
    }

    fn edge(&self, target: &ir::Target) -> Edge {
        Edge {
            to: target.block.0 as usize,
            arguments: target.arguments.iter().map(|&argument| self.val(argument)).collect(),
        }
    }

    fn emit(&mut self, op: Op) {
        self.insts.push(Inst { op, span: self.span });
    }

    /// A value that the IR does not have.
    pub(super) fn temporary(&mut self, remat: Option<Remat>) -> Val {
        self.remat.push(remat);
        Val(self.remat.len() as u32 - 1)
    }

    /// A number as the right operand of a comparison.
    pub(super) fn number_operand(&mut self, number: i64) -> Operand<Val> {
        match i32::try_from(number) {
            Ok(immediate) => Operand::Imm(immediate),
            Err(_) => Operand::Reg(self.temporary(Some(Remat::Number(number)))),
        }
    }

    /// Adds a block that does nothing but to decide where to go; the result is its index.
    pub(super) fn decision(&mut self, exit: Exit, cold: bool) -> usize {
        self.extra_blocks.push(Block { parameters: Vec::new(), insts: Vec::new(), exit, exit_span: self.span, cold });
        self.function.blocks.len() + self.extra_blocks.len() - 1
    }
}

fn jump_op(op: CompareOp) -> JumpOp {
    match op {
        CompareOp::Eq => JumpOp::Eq,
        CompareOp::Ne => JumpOp::Ne,
        CompareOp::ULt => JumpOp::Lt,
        CompareOp::ULe => JumpOp::Le,
        CompareOp::UGt => JumpOp::Gt,
        CompareOp::UGe => JumpOp::Ge,
        CompareOp::SLt => JumpOp::Slt,
        CompareOp::SLe => JumpOp::Sle,
        CompareOp::SGt => JumpOp::Sgt,
        CompareOp::SGe => JumpOp::Sge,
    }
}

fn count_uses(function: &ir::Function) -> Vec<u32> {
    let mut uses = vec![0; function.values.len()];
    for block in &function.blocks {
        let insts = block.insts.iter().filter_map(|value| function.values[value.0 as usize].inst.as_ref());
        for value in insts.flat_map(ir::Inst::operands).chain(block.terminator.operands()) {
            uses[value.0 as usize] += 1;
        }
    }
    uses
}
