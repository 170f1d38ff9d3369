//! Expressions whose value is a number, and conditions.

use super::{Lowering, Number, facts, number, shape};
use crate::compile::ir::{BinaryOp, Block, CompareOp, Value, Width};
use crate::compile::sema::typed::{self, Expr, ExprKind, UnaryOp};
use crate::plan::Shape;
use tracer_common::failure::Failure;

impl Lowering<'_> {
    /// The value of an expression that is a number.
    pub(super) fn value(&mut self, expr: &Expr) -> Value {
        let outer = std::mem::replace(&mut self.b.span, expr.span);
        let value = self.value_here(expr);
        self.b.span = outer;
        value
    }

    fn value_here(&mut self, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Int(number) => self.b.constant(*number),
            ExprKind::Local(local) => self.read_local(*local),
            ExprKind::LocalAdd { local, delta, post } => {
                let before = self.read_local(*local);
                let sum = self.b.binary_with(BinaryOp::Add, before, *delta);
                let after = self.narrow(sum, type_number(expr));
                self.write_local(*local, after);
                if *post { before } else { after }
            }
            ExprKind::MapGet { map, key } => self.map_value(*map, key.as_deref()),
            ExprKind::MapAdd { map, key, delta, post } => self.map_add(*map, key.as_deref(), *delta, *post),
            ExprKind::Builtin(builtin) => self.builtin(*builtin),
            ExprKind::SyscallArgument(n) => self.syscall_argument(*n),
            ExprKind::ContextWord(n) => self.context_word(*n),
            ExprKind::ContextAddress => self.b.context(),
            ExprKind::Ask(question, of) => self.ask(*question, of),
            ExprKind::Read { address, user } => {
                let address = self.value(address);
                let Number { width, signed } = type_number(expr);
                let value = self.read_number(address, *user, width);
                self.b.extend(value, width, signed)
            }
            ExprKind::Convert(inner) if number(shape(&inner.ty)).is_none() => {
                let place = self.place(inner);
                facts::load(self, place, shape(&expr.ty))
            }
            ExprKind::Convert(inner) => {
                let value = self.value(inner);
                if shape(&expr.ty) == &Shape::Bool {
                    let zero = self.b.constant(0);
                    return self.b.compare(CompareOp::Ne, value, zero);
                }
                self.convert(value, type_number(inner), type_number(expr))
            }
            ExprKind::Unary(op, operand) => self.unary(*op, operand, type_number(expr)),
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b, type_number(expr)),
            ExprKind::Call(function, arguments) => self.call_value(*function, arguments, type_number(expr)),
            ExprKind::Element(..) => self.element(expr),
            ExprKind::Index { base, index } => self.indexed(base, index, type_number(expr)),
            ExprKind::OrElse(first, otherwise) => {
                let (no, done) = (self.b.new_block(), self.b.new_block());
                let result = self.b.parameter(done);
                let first = self.value(first);
                let yes = self.b.new_block();
                self.branch_on(first, yes, no);
                self.b.fill(yes);
                if self.b.reachable() {
                    self.b.jump(done, &[first]);
                }
                self.b.fill(no);
                if self.b.reachable() {
                    let otherwise = self.value(otherwise);
                    self.b.jump(done, &[otherwise]);
                }
                self.b.fill(done);
                result
            }
            ExprKind::And(..) | ExprKind::Or(..) | ExprKind::StrEqual { .. } | ExprKind::HasKey { .. } => {
                let (yes, no, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
                let result = self.b.parameter(done);
                self.condition(expr, yes, no);
                for (block, number) in [(yes, 1), (no, 0)] {
                    self.b.fill(block);
                    if self.b.reachable() {
                        let number = self.b.constant(number);
                        self.b.jump(done, &[number]);
                    }
                }
                self.b.fill(done);
                result
            }
            ExprKind::Ternary(condition, then, otherwise) => {
                let (yes, no, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
                let result = self.b.parameter(done);
                self.condition(condition, yes, no);
                for (block, value) in [(yes, then), (no, otherwise)] {
                    self.b.fill(block);
                    if self.b.reachable() {
                        let value = self.value(value);
                        self.b.jump(done, &[value]);
                    }
                }
                self.b.fill(done);
                result
            }
            ExprKind::Block(block, value) => {
                self.before_value(block);
                self.value(value)
            }
            ExprKind::Str(_)
            | ExprKind::Tuple(_)
            | ExprKind::ReadStr { .. }
            | ExprKind::Stack { .. }
            | ExprKind::Address(_) => {
                unreachable!("analysis gives {:?} a type that lives in memory", expr.kind)
            }
        }
    }

    /// Ends the block with a branch on whether an expression is true.
    pub(super) fn condition(&mut self, expr: &Expr, then: Block, otherwise: Block) {
        match &expr.kind {
            ExprKind::And(a, b) => {
                let next = self.b.new_block();
                self.condition(a, next, otherwise);
                self.b.fill(next);
                if self.b.reachable() {
                    self.condition(b, then, otherwise);
                }
            }
            ExprKind::Or(a, b) => {
                let next = self.b.new_block();
                self.condition(a, then, next);
                self.b.fill(next);
                if self.b.reachable() {
                    self.condition(b, then, otherwise);
                }
            }
            ExprKind::Unary(UnaryOp::Not, operand) => self.condition(operand, otherwise, then),
            ExprKind::Binary(typed::BinaryOp::Eq, a, b) if is_zero(b) => self.condition(a, otherwise, then),
            ExprKind::Binary(typed::BinaryOp::Ne, a, b) if is_zero(b) => self.condition(a, then, otherwise),
            ExprKind::Convert(inner) if keeps_truth(inner, expr) => self.condition(inner, then, otherwise),
            ExprKind::Binary(op, a, b) if let Some(relation) = relation(*op, type_number(a).signed) => {
                let (a, b) = (self.value(a), self.value(b));
                let holds = self.b.compare(relation, a, b);
                self.branch_on(holds, then, otherwise);
            }
            ExprKind::StrEqual { a, b, length } => self.branch_text_equal((a, b, *length), then, otherwise),
            ExprKind::HasKey { map, key } => self.branch_has_key(*map, key.as_deref(), then, otherwise),
            ExprKind::MapGet { map, key } => self.branch_map_value(*map, key.as_deref(), then, otherwise),
            _ => {
                let value = self.value(expr);
                self.branch_on(value, then, otherwise);
            }
        }
    }

    /// A branch on a value's not being zero, or a jump where that is known (options of the script are constants).
    fn branch_on(&mut self, value: Value, then: Block, otherwise: Block) {
        match self.b.as_constant(value) {
            Some(0) => self.b.jump(otherwise, &[]),
            Some(_) => self.b.jump(then, &[]),
            None => self.b.branch_if(value, then, otherwise),
        }
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr, result: Number) -> Value {
        let value = self.value(operand);
        match op {
            UnaryOp::Negate => {
                let zero = self.b.constant(0);
                let negated = self.b.binary(BinaryOp::Sub, zero, value);
                self.narrow(negated, result)
            }
            UnaryOp::BitNot => {
                let inverted = self.b.binary_with(BinaryOp::Xor, value, -1);
                self.narrow(inverted, result)
            }
            UnaryOp::Not => {
                let zero = self.b.constant(0);
                self.b.compare(CompareOp::Eq, value, zero)
            }
        }
    }

    fn binary(&mut self, op: typed::BinaryOp, a: &Expr, b: &Expr, result: Number) -> Value {
        let signed = type_number(a).signed;
        let (a, b) = (self.value(a), self.value(b));
        if let Some(relation) = relation(op, signed) {
            return self.b.compare(relation, a, b);
        }
        if matches!(op, typed::BinaryOp::Div | typed::BinaryOp::Mod) {
            return self.divided(op, (a, b), signed, result);
        }
        let value = match op {
            typed::BinaryOp::Add => self.b.binary(BinaryOp::Add, a, b),
            typed::BinaryOp::Sub => self.b.binary(BinaryOp::Sub, a, b),
            typed::BinaryOp::Mul => self.b.binary(BinaryOp::Mul, a, b),
            typed::BinaryOp::BitAnd => self.b.binary(BinaryOp::And, a, b),
            typed::BinaryOp::BitOr => self.b.binary(BinaryOp::Or, a, b),
            typed::BinaryOp::BitXor => self.b.binary(BinaryOp::Xor, a, b),
            typed::BinaryOp::Shl => self.b.binary(BinaryOp::Shl, a, b),
            // Zeros come in for signed numbers too, as bpftrace has it (CreateLShr in its code generator).
            typed::BinaryOp::Shr => self.b.binary(BinaryOp::Shr, a, b),
            typed::BinaryOp::Div
            | typed::BinaryOp::Mod
            | typed::BinaryOp::Eq
            | typed::BinaryOp::Ne
            | typed::BinaryOp::Lt
            | typed::BinaryOp::Le
            | typed::BinaryOp::Gt
            | typed::BinaryOp::Ge => unreachable!("divisions and relations are dealt with above"),
        };
        self.narrow(value, result)
    }

    /// A quotient or remainder; 1 where the divisor is 0, as in bpftrace, which is counted.
    fn divided(&mut self, op: typed::BinaryOp, (a, b): (Value, Value), signed: bool, result: Number) -> Value {
        let divide = |l: &mut Self| {
            let value = match (op, signed) {
                (typed::BinaryOp::Div, true) => l.signed_division(a, b),
                (typed::BinaryOp::Div, false) => l.b.binary(BinaryOp::UDiv, a, b),
                (_, true) => l.signed_remainder(a, b),
                (_, false) => l.b.binary(BinaryOp::UMod, a, b),
            };
            l.narrow(value, result)
        };
        if self.b.as_constant(b).is_some_and(|divisor| divisor != 0) {
            return divide(self);
        }
        let (possible, zero, done) = (self.b.new_block(), self.b.new_cold_block(), self.b.new_block());
        let quotient = self.b.parameter(done);
        self.branch_on(b, possible, zero);
        self.b.fill(possible);
        if self.b.reachable() {
            let value = divide(self);
            self.b.jump(done, &[value]);
        }
        self.b.fill(zero);
        if self.b.reachable() {
            self.failed(Failure::ZeroDivisor, None);
            let one = self.b.constant(1);
            self.b.jump(done, &[one]);
        }
        self.b.fill(done);
        quotient
    }

    /// The quotient, rounded towards zero. BPF had no signed division before 6.6, and bpftrace, which divides as
    /// unsigned, calls the result undefined where an operand is negative; here it is what C gives.
    pub(super) fn signed_division(&mut self, a: Value, b: Value) -> Value {
        let (a_sign, b_sign) = (self.sign(a), self.sign(b));
        let (a, b) = (self.negate_by(a, a_sign), self.negate_by(b, b_sign));
        let quotient = self.b.binary(BinaryOp::UDiv, a, b);
        let sign = self.b.binary(BinaryOp::Xor, a_sign, b_sign);
        self.negate_by(quotient, sign)
    }

    /// The remainder, with the dividend's sign.
    fn signed_remainder(&mut self, a: Value, b: Value) -> Value {
        let (a_sign, b_sign) = (self.sign(a), self.sign(b));
        let (a, b) = (self.negate_by(a, a_sign), self.negate_by(b, b_sign));
        let remainder = self.b.binary(BinaryOp::UMod, a, b);
        self.negate_by(remainder, a_sign)
    }

    /// -1 for negative numbers, else 0.
    fn sign(&mut self, value: Value) -> Value {
        self.b.binary_with(BinaryOp::Sar, value, 63)
    }

    /// The negative of a number if `sign` is -1, itself if 0: `(value ^ sign) - sign`.
    fn negate_by(&mut self, value: Value, sign: Value) -> Value {
        let inverted = self.b.binary(BinaryOp::Xor, value, sign);
        self.b.binary(BinaryOp::Sub, inverted, sign)
    }

    /// A result of 64-bit arithmetic as its type asks for.
    pub(super) fn narrow(&mut self, value: Value, ty: Number) -> Value {
        self.b.extend(value, ty.width, ty.signed)
    }

    /// A number of another type, as C converts.
    fn convert(&mut self, value: Value, from: Number, to: Number) -> Value {
        let fits = if from.signed == to.signed {
            from.width <= to.width
        } else {
            // An unsigned number fits a wider signed one; a negative one is the same in 64 bits only.
            to.width == Width::B8 || (!from.signed && from.width < to.width)
        };
        if fits { value } else { self.b.extend(value, to.width, to.signed) }
    }
}

fn is_zero(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Int(0))
}

/// Whether a number is zero after a conversion if and only if it was before.
fn keeps_truth(from: &Expr, to: &Expr) -> bool {
    shape(&to.ty) == &Shape::Bool || type_number(from).width <= type_number(to).width
}

/// The number behind an expression's type.
fn type_number(expr: &Expr) -> Number {
    number(shape(&expr.ty)).expect("analysis gives operators numbers")
}

fn relation(op: typed::BinaryOp, signed: bool) -> Option<CompareOp> {
    Some(match (op, signed) {
        (typed::BinaryOp::Eq, _) => CompareOp::Eq,
        (typed::BinaryOp::Ne, _) => CompareOp::Ne,
        (typed::BinaryOp::Lt, false) => CompareOp::ULt,
        (typed::BinaryOp::Le, false) => CompareOp::ULe,
        (typed::BinaryOp::Gt, false) => CompareOp::UGt,
        (typed::BinaryOp::Ge, false) => CompareOp::UGe,
        (typed::BinaryOp::Lt, true) => CompareOp::SLt,
        (typed::BinaryOp::Le, true) => CompareOp::SLe,
        (typed::BinaryOp::Gt, true) => CompareOp::SGt,
        (typed::BinaryOp::Ge, true) => CompareOp::SGe,
        _ => return None,
    })
}
