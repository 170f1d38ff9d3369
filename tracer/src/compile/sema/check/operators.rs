//! Operators: which types they take, which type they give, and the conversions between.

use super::operand::{binary, bool_literal, convert, decay, integer, negated, string, truth, truth_value};
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::typed::{self, ExprKind};
use crate::compile::sema::types::{Field, Record, Ty};
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::Naming;

impl Checker<'_> {
    pub(super) fn binary(
        &mut self,
        op: ast::BinaryOp,
        op_span: Span,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
    ) -> Operand {
        if matches!(op, ast::BinaryOp::And | ast::BinaryOp::Or) {
            return self.logical(op, left, right, span);
        }
        let left = self.expr(left);
        let right = self.expr(right);
        self.operator(op, op_span, left, right, span)
    }

    /// Any operator but `&&` and `||`; also the one of a compound assignment.
    pub(super) fn operator(
        &mut self,
        op: ast::BinaryOp,
        op_span: Span,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Operand {
        if left.ty.is_unknown() || right.ty.is_unknown() {
            return if comparison(op) {
                Operand::new(Ty::Bool, ExprKind::Int(0), span)
            } else {
                Operand::unknown(span)
            };
        }
        let (left, right) = (decay(left), decay(right));
        if left.literal
            && right.literal
            && let Some(folded) = self.fold(op, &left, &right, span)
        {
            return folded;
        }
        match (&left.ty, &right.ty) {
            (Ty::Pointer { .. }, _) | (_, Ty::Pointer { .. }) => self.pointer_operator(op, op_span, left, right, span),
            (a, b) if a.is_number() && b.is_number() => self.integer_operator(op, op_span, left, right, span),
            (Ty::Str(_), Ty::Str(_)) if equality(op) => text_equality(op, left.expr, right.expr, span),
            (Ty::Probe, Ty::Str(_)) if equality(op) => self.probe_equality(op, &right, span),
            (Ty::Str(_), Ty::Probe) if equality(op) => self.probe_equality(op, &left, span),
            (Ty::Syscall, Ty::Str(_)) if equality(op) => self.syscall_equality(op, left, &right, span),
            (Ty::Str(_), Ty::Syscall) if equality(op) => self.syscall_equality(op, right, &left, span),
            (Ty::Name(naming @ (Naming::Error | Naming::Signal)), Ty::Str(_)) if equality(op) => {
                let naming = naming.clone();
                self.name_equality(op, &naming, left, &right, span)
            }
            (Ty::Str(_), Ty::Name(naming @ (Naming::Error | Naming::Signal))) if equality(op) => {
                let naming = naming.clone();
                self.name_equality(op, &naming, right, &left, span)
            }
            (Ty::Syscall, Ty::Syscall) | (Ty::Probe, Ty::Probe) if equality(op) => {
                compare(op, left.expr, right.expr, span)
            }
            (Ty::Array(..), Ty::Array(..)) if equality(op) && left.ty == right.ty => {
                text_equality(op, left.expr, right.expr, span)
            }
            (Ty::Record(a), Ty::Record(b)) if equality(op) && a.is_literal() && b.is_literal() => {
                let (a, b) = (a.clone(), b.clone());
                self.record_equality(op, (left, &a), (right, &b), span)
            }
            (Ty::Tuple(a), Ty::Tuple(b)) if equality(op) && a.len() == b.len() => {
                self.tuple_equality(op, left, right, span)
            }
            (a, b) => {
                let message = if equality(op) {
                    format!("type mismatch: `{a}` cannot be compared with `{b}`")
                } else {
                    format!("the operator `{}` cannot be used on `{a}` and `{b}`", symbol(op))
                };
                let error = Diagnostic::error(op_span, message)
                    .also(left.span(), format!("`{a}`"))
                    .also(right.span(), format!("`{b}`"));
                self.refuse_with(error)
            }
        }
    }

    fn logical(&mut self, op: ast::BinaryOp, left: &ast::Expr, right: &ast::Expr, span: Span) -> Operand {
        let left = Box::new(self.condition(left));
        let right = Box::new(self.condition(right));
        let kind = if op == ast::BinaryOp::And { ExprKind::And(left, right) } else { ExprKind::Or(left, right) };
        Operand::new(Ty::Bool, kind, span)
    }

    /// Arithmetic is 64 bits wide: signed if either side is, or it is a subtraction. Comparisons are made in the
    /// smallest type that holds both. A number that is written out and has no room in `int64` divides, and is divided, as what
    /// it is.
    fn integer_operator(
        &mut self,
        op: ast::BinaryOp,
        op_span: Span,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Operand {
        if comparison(op) {
            let common = match (&left.ty, &right.ty) {
                (Ty::Bool, Ty::Bool) => Ty::Bool,
                (Ty::Bool, other) | (other, Ty::Bool) => other.clone(),
                (a, b) => a.promoted(b).expect("integers have a common type"),
            };
            self.warn_of_sign(&left, &common);
            self.warn_of_sign(&right, &common);
            return compare(op, convert(left, &common), convert(right, &common), span);
        }
        let (left_signed, right_signed) = signs(&left.ty, &right.ty);
        let signed = match op {
            ast::BinaryOp::Shl | ast::BinaryOp::Shr => left_signed,
            ast::BinaryOp::Sub => true,
            _ => left_signed || right_signed,
        };
        if matches!(op, ast::BinaryOp::Div | ast::BinaryOp::Mod) && right.literal && right.expr.is_zero() {
            let error = Diagnostic::error(op_span, "division by zero");
            return self.refuse_with(error.also(right.span(), "this is zero"));
        }
        let ty = if signed { Ty::I64 } else { Ty::U64 };
        if matches!(op, ast::BinaryOp::Div | ast::BinaryOp::Mod) && (is_large(&left) || is_large(&right)) {
            let kind = binary(arithmetic(op), convert(left, &Ty::U64), convert(right, &Ty::U64), &Ty::U64, span);
            let result = Operand { ty: Ty::U64, expr: kind, literal: false };
            return Operand { expr: convert(result, &ty), ty, literal: false };
        }
        // The difference of two times is right whatever their sign; bpftrace warns of it all the same.
        if !(op == ast::BinaryOp::Sub && left.ty == right.ty) {
            self.warn_of_sign(&left, &ty);
            self.warn_of_sign(&right, &ty);
        }
        let expr = binary(arithmetic(op), convert(left, &ty), convert(right, &ty), &ty, span);
        Operand { ty, expr, literal: false }
    }

    /// An unsigned number of 8 bytes that becomes a signed one may change its value.
    pub(super) fn warn_of_sign(&mut self, operand: &Operand, to: &Ty) {
        if operand.ty == Ty::U64 && to.is_signed() && !operand.literal {
            let message = format!("a value of type `{}` becomes one of type `{to}`, which may change it", operand.ty);
            self.report(Diagnostic::warning(operand.span(), message).help("an explicit cast silences this"));
        }
    }

    /// Pointers are compared, moved by a number, or tested.
    fn pointer_operator(
        &mut self,
        op: ast::BinaryOp,
        op_span: Span,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Operand {
        let (pointer, other) =
            if matches!(left.ty, Ty::Pointer { .. }) { (&left.ty, &right.ty) } else { (&right.ty, &left.ty) };
        let both = matches!(other, Ty::Pointer { .. });
        let moves = match op {
            ast::BinaryOp::Add => !both,
            ast::BinaryOp::Sub => !both && matches!(left.ty, Ty::Pointer { .. }),
            _ => false,
        };
        let fits = (both || other.is_number()) && (comparison(op) || moves);
        if !fits {
            let message = format!("the operator `{}` cannot be used on `{}` and `{}`", symbol(op), left.ty, right.ty);
            return self.refuse_with(Diagnostic::error(op_span, message));
        }
        let ty = pointer.clone();
        if comparison(op) {
            if both && left.ty != right.ty {
                let message = format!("comparison of distinct pointer types `{}` and `{}`", left.ty, right.ty);
                self.report(Diagnostic::warning(op_span, message));
            }
            return compare(op, convert(left, &ty), convert(right, &ty), span);
        }
        let size = match &ty {
            Ty::Pointer { to, .. } => self.stride(to),
            _ => unreachable!("the type of a pointer"),
        };
        let scale = |operand: Operand| {
            let at = operand.span();
            let bytes = match (&operand.ty, &operand.expr.kind) {
                (Ty::Pointer { .. }, _) => return operand.expr,
                (_, ExprKind::Int(elements)) => super::operand::constant(&Ty::I64, elements.wrapping_mul(size), at),
                _ if size == 1 => convert(operand, &Ty::I64),
                _ => {
                    let size = super::operand::constant(&Ty::I64, size, at);
                    binary(typed::BinaryOp::Mul, convert(operand, &Ty::I64), size, &Ty::I64, at)
                }
            };
            convert(Operand { ty: Ty::I64, expr: bytes, literal: false }, &ty)
        };
        let expr = binary(arithmetic(op), scale(left), scale(right), &ty, span);
        Operand { ty, expr, literal: false }
    }

    /// Element by element.
    fn tuple_equality(&mut self, op: ast::BinaryOp, left: Operand, right: Operand, span: Span) -> Operand {
        let (Ty::Tuple(a), Ty::Tuple(b)) = (left.ty.clone(), right.ty.clone()) else { unreachable!("both are tuples") };
        let pairs = a.iter().zip(&b).enumerate();
        let pairs = pairs.map(|(i, (a, b))| (part(&left, i, a), part(&right, i, b))).collect();
        self.all_equal(op, pairs, span)
    }

    /// Member by member, by name.
    fn record_equality(
        &mut self,
        op: ast::BinaryOp,
        (left, a): (Operand, &Record),
        (right, b): (Operand, &Record),
        span: Span,
    ) -> Operand {
        let pair = |(i, field): (usize, &Field)| {
            let j = b.fields.iter().position(|other| other.name == field.name)?;
            Some((part(&left, i, &field.ty), part(&right, j, &b.fields[j].ty)))
        };
        let pairs: Option<Vec<_>> = a.fields.iter().enumerate().map(pair).collect();
        match pairs {
            Some(pairs) if a.fields.len() == b.fields.len() => self.all_equal(op, pairs, span),
            _ => self.refuse(span, format!("type mismatch: `{}` cannot be compared with `{}`", left.ty, right.ty)),
        }
    }

    fn all_equal(&mut self, op: ast::BinaryOp, pairs: Vec<(Operand, Operand)>, span: Span) -> Operand {
        let mut equal: Option<typed::Expr> = None;
        for (a, b) in pairs {
            let next = self.operator(ast::BinaryOp::Eq, span, a, b, span).expr;
            equal = Some(match equal {
                None => next,
                Some(before) => {
                    typed::Expr { kind: ExprKind::And(Box::new(before), Box::new(next)), ty: Ty::Bool.typed(), span }
                }
            });
        }
        let equal = equal.unwrap_or_else(|| super::operand::constant(&Ty::Bool, 1, span));
        negate_if(op == ast::BinaryOp::Ne, equal, span)
    }

    pub(super) fn unary(&mut self, op: ast::UnaryOp, operand: &ast::Expr, span: Span) -> Operand {
        use ast::UnaryOp as U;
        match op {
            U::PreIncrement => return self.count_up(operand, 1, false, span),
            U::PreDecrement => return self.count_up(operand, -1, false, span),
            U::PostIncrement => return self.count_up(operand, 1, true, span),
            U::PostDecrement => return self.count_up(operand, -1, true, span),
            U::AddressOf => {
                let error = Diagnostic::error(span, "the address of a variable or map cannot be had");
                return self.refuse_with(error.help("what it is for in bpftrace is functions written in C"));
            }
            U::Not | U::BitNot | U::Negate | U::Dereference => {}
        }
        if let (U::Negate, &ast::ExprKind::Integer { value, .. }) = (op, &operand.kind)
            && value <= 1 << 63
        {
            return negated(value, span);
        }
        if let (U::Negate, ast::ExprKind::Integer { .. }) = (op, &operand.kind) {
            let error = Diagnostic::error(span, "this number does not fit in 64 bits");
            return self.refuse_with(error.label("the least is -2^63"));
        }
        let operand = if matches!(op, U::BitNot | U::Negate) { self.in_own_bytes(operand) } else { self.expr(operand) };
        self.unary_of(op, operand, span)
    }

    /// The same of a value; nothing that counts.
    fn unary_of(&mut self, op: ast::UnaryOp, operand: Operand, span: Span) -> Operand {
        use ast::UnaryOp as U;
        let operand = decay(operand);
        if op == U::Dereference {
            return self.read(operand, span);
        }
        if operand.ty.is_unknown() {
            return if op == U::Not { Operand::new(Ty::Bool, ExprKind::Int(0), span) } else { Operand::unknown(span) };
        }
        let fits = match op {
            U::Not => operand.ty.is_condition(),
            _ => operand.ty.is_int(),
        };
        if !fits {
            let sign = match op {
                U::Not => "!",
                U::BitNot => "~",
                _ => "-",
            };
            let message = format!("the operator `{sign}` cannot be used on `{}`", operand.ty);
            return self.refuse(span, message);
        }
        if let (true, &ExprKind::Int(value)) = (operand.literal, &operand.expr.kind) {
            return match op {
                U::Not => bool_literal(value == 0, span),
                U::BitNot => integer(!(value as u64), span),
                _ => literal_of(-i128::from(value), span).unwrap_or(operand),
            };
        }
        if op == U::Not {
            let kind = ExprKind::Unary(typed::UnaryOp::Not, Box::new(truth_value(operand)));
            return Operand::new(Ty::Bool, kind, span);
        }
        let own = operand.ty.clone();
        let ty = if own.is_signed() { Ty::I64 } else { Ty::U64 };
        let op = if op == U::BitNot { typed::UnaryOp::BitNot } else { typed::UnaryOp::Negate };
        let kind = ExprKind::Unary(op, Box::new(convert(operand, &ty)));
        let result = Operand::new(ty.clone(), kind, span);
        if own.is_signed() {
            return result;
        }
        // An unsigned number keeps to its own bits, and is 64 bits wide all the same.
        let cut = Operand { expr: convert(result, &own), ty: own, literal: false };
        Operand { expr: convert(cut, &ty), ty, literal: false }
    }

    /// The operand of `~`, of `-` or of a function that asks for a number's bytes: 64 bits are the type of `~x` and `-x`, but
    /// there they have as many as `x`.
    pub(super) fn in_own_bytes(&mut self, expr: &ast::Expr) -> Operand {
        use ast::UnaryOp as U;
        let (op, inner) = match &expr.kind {
            ast::ExprKind::Unary { op: U::Negate, operand }
                if matches!(operand.kind, ast::ExprKind::Integer { .. }) =>
            {
                return self.expr(expr);
            }
            ast::ExprKind::Unary { op: op @ (U::BitNot | U::Negate), operand } => (*op, self.in_own_bytes(operand)),
            _ => return self.expr(expr),
        };
        let own = inner.ty.clone();
        let result = self.unary_of(op, inner, expr.span);
        if result.literal || !own.is_int() || !result.ty.is_int() {
            return result;
        }
        Operand { expr: convert(result, &own), ty: own, literal: false }
    }

    pub(super) fn ternary(
        &mut self,
        condition: &ast::Expr,
        then: Option<&ast::Expr>,
        otherwise: &ast::Expr,
        span: Span,
    ) -> Operand {
        let Some(then) = then else { return self.or_else(condition, otherwise, span) };
        let condition = self.tested(condition);
        let (then, otherwise) = (self.expr(then), self.expr(otherwise));
        if let (true, &ExprKind::Int(value)) = (condition.literal, &condition.expr.kind)
            && then.literal
            && otherwise.literal
        {
            // As in bpftrace: where all is written out, the other result's type does not matter.
            return if value != 0 { then } else { otherwise };
        }
        let condition = truth(condition);
        let Some(ty) = then.ty.promoted(&otherwise.ty) else {
            let error = Diagnostic::error(span, "the two results of `?:` must have the same type")
                .also(then.span(), format!("`{}`", then.ty))
                .also(otherwise.span(), format!("`{}`", otherwise.ty));
            return self.refuse_with(error);
        };
        if then.ty.is_unknown() || otherwise.ty.is_unknown() {
            return Operand::unknown(span);
        }
        if ty.shape().is_none() {
            return self.refuse(span, format!("the results of `?:` cannot be of type `{ty}`"));
        }
        let (then, otherwise) = (Box::new(convert(then, &ty)), Box::new(convert(otherwise, &ty)));
        Operand::new(ty, ExprKind::Ternary(Box::new(condition), then, otherwise), span)
    }

    /// `a ?: b`: `a` unless that is zero or empty.
    fn or_else(&mut self, first: &ast::Expr, otherwise: &ast::Expr, span: Span) -> Operand {
        let first = self.expr(first);
        let otherwise = self.expr(otherwise);
        if first.ty.is_unknown() || otherwise.ty.is_unknown() {
            return Operand::unknown(span);
        }
        let Some(ty) = first.ty.promoted(&otherwise.ty) else {
            let error = Diagnostic::error(span, "the two results of `?:` must have the same type")
                .also(first.span(), format!("`{}`", first.ty))
                .also(otherwise.span(), format!("`{}`", otherwise.ty));
            return self.refuse_with(error);
        };
        if !ty.is_condition() && !matches!(ty, Ty::Str(_)) {
            return self.refuse(span, format!("a condition cannot be of type `{ty}`"));
        }
        let (first, otherwise) = (Box::new(convert(first, &ty)), Box::new(convert(otherwise, &ty)));
        Operand::new(ty, ExprKind::OrElse(first, otherwise), span)
    }

    /// What is written out on both sides is computed here; `None` leaves it to run time.
    fn fold(&mut self, op: ast::BinaryOp, left: &Operand, right: &Operand, span: Span) -> Option<Operand> {
        if let (ExprKind::Str(a), ExprKind::Str(b)) = (&left.expr.kind, &right.expr.kind) {
            use ast::BinaryOp as B;
            let holds = match op {
                B::Add => return Some(string(&format!("{a}{b}"), span)),
                B::Eq => a == b,
                B::Ne => a != b,
                B::Lt => a < b,
                B::Le => a <= b,
                B::Gt => a > b,
                B::Ge => a >= b,
                _ => return None,
            };
            return Some(bool_literal(holds, span));
        }
        // As in C, where a text is where its first letter is.
        if let (ast::BinaryOp::Add, ExprKind::Str(text), &ExprKind::Int(skipped)) =
            (op, &left.expr.kind, &right.expr.kind)
            && right.ty.is_int()
        {
            let rest = usize::try_from(skipped).ok().and_then(|skipped| text.get(skipped..));
            if rest.is_none_or(str::is_empty) {
                self.report(Diagnostic::warning(span, "nothing is left of this text"));
            }
            return Some(string(rest.unwrap_or_default(), span));
        }
        let a = literal_value(left)?;
        let b = literal_value(right)?;
        use ast::BinaryOp as B;
        let shift = u32::try_from(b).ok().filter(|&b| b < 64);
        let value = match op {
            B::Add => Some(a + b),
            B::Sub => Some(a - b),
            B::Mul => a.checked_mul(b),
            B::Div => a.checked_div(b),
            B::Mod => a.checked_rem(b),
            B::BitAnd => Some(a & b),
            B::BitOr => Some(a | b),
            B::BitXor => Some(a ^ b),
            B::Shl => shift.map(|shift| a << shift),
            B::Shr => shift.map(|shift| a >> shift),
            B::Eq => return Some(bool_literal(a == b, span)),
            B::Ne => return Some(bool_literal(a != b, span)),
            B::Lt => return Some(bool_literal(a < b, span)),
            B::Le => return Some(bool_literal(a <= b, span)),
            B::Gt => return Some(bool_literal(a > b, span)),
            B::Ge => return Some(bool_literal(a >= b, span)),
            B::And | B::Or => return None,
        };
        Some(value.and_then(|value| literal_of(value, span)).unwrap_or_else(|| {
            let why = if b == 0 { "division by zero" } else { "the result does not fit into 64 bits" };
            self.refuse(span, why)
        }))
    }
}

impl typed::Expr {
    fn is_zero(&self) -> bool {
        matches!(self.kind, ExprKind::Int(0))
    }
}

fn literal_value(operand: &Operand) -> Option<i128> {
    match operand.expr.kind {
        ExprKind::Int(value) if operand.ty.is_signed() || operand.ty == Ty::Bool => Some(value.into()),
        ExprKind::Int(value) => Some(i128::from(value as u64)),
        _ => None,
    }
}

fn literal_of(value: i128, span: Span) -> Option<Operand> {
    match u64::try_from(value) {
        Ok(value) => Some(integer(value, span)),
        Err(_) => i64::try_from(value).ok().map(|value| negated(value.unsigned_abs(), span)),
    }
}

/// Whether it is a number that is written out and has no room in `int64`.
fn is_large(operand: &Operand) -> bool {
    operand.literal && operand.ty == Ty::U64
}

/// The signs of both sides: a number as it is written takes the other's.
fn signs(left: &Ty, right: &Ty) -> (bool, bool) {
    let flexible = |ty: &Ty| matches!(ty, Ty::Int { flexible: true, .. });
    let (a, b) = (left.is_signed(), right.is_signed());
    match (flexible(left), flexible(right)) {
        (true, false) => (b, b),
        (false, true) => (a, a),
        _ => (a, b),
    }
}

/// A part of a tuple or record.
fn part(whole: &Operand, index: usize, ty: &Ty) -> Operand {
    let kind = match &whole.expr.kind {
        ExprKind::Tuple(parts) => parts[index].kind.clone(),
        _ => ExprKind::Element(Box::new(whole.expr.clone()), index as u32),
    };
    Operand::new(ty.clone(), kind, whole.span())
}

fn text_equality(op: ast::BinaryOp, a: typed::Expr, b: typed::Expr, span: Span) -> Operand {
    let kind = ExprKind::StrEqual { a: Box::new(a), b: Box::new(b), length: None };
    let equal = typed::Expr { kind, ty: Ty::Bool.typed(), span };
    negate_if(op == ast::BinaryOp::Ne, equal, span)
}

pub(super) fn negate_if(negate: bool, expr: typed::Expr, span: Span) -> Operand {
    let kind = if negate { ExprKind::Unary(typed::UnaryOp::Not, Box::new(expr)) } else { expr.kind };
    Operand::new(Ty::Bool, kind, span)
}

pub(super) fn compare(op: ast::BinaryOp, left: typed::Expr, right: typed::Expr, span: Span) -> Operand {
    Operand { ty: Ty::Bool, expr: binary(arithmetic(op), left, right, &Ty::Bool, span), literal: false }
}

fn equality(op: ast::BinaryOp) -> bool {
    matches!(op, ast::BinaryOp::Eq | ast::BinaryOp::Ne)
}

fn comparison(op: ast::BinaryOp) -> bool {
    use ast::BinaryOp as B;
    matches!(op, B::Eq | B::Ne | B::Lt | B::Le | B::Gt | B::Ge)
}

/// The typed operator of the same name.
fn arithmetic(op: ast::BinaryOp) -> typed::BinaryOp {
    use ast::BinaryOp as B;
    use typed::BinaryOp as T;
    match op {
        B::Add => T::Add,
        B::Sub => T::Sub,
        B::Mul => T::Mul,
        B::Div => T::Div,
        B::Mod => T::Mod,
        B::BitAnd => T::BitAnd,
        B::BitOr => T::BitOr,
        B::BitXor => T::BitXor,
        B::Shl => T::Shl,
        B::Shr => T::Shr,
        B::Eq => T::Eq,
        B::Ne => T::Ne,
        B::Lt => T::Lt,
        B::Le => T::Le,
        B::Gt => T::Gt,
        B::Ge => T::Ge,
        B::And | B::Or => unreachable!("`&&` and `||` are not strict"),
    }
}

/// As it is written.
fn symbol(op: ast::BinaryOp) -> &'static str {
    use ast::BinaryOp as B;
    match op {
        B::Add => "+",
        B::Sub => "-",
        B::Mul => "*",
        B::Div => "/",
        B::Mod => "%",
        B::BitAnd => "&",
        B::BitOr => "|",
        B::BitXor => "^",
        B::Shl => "<<",
        B::Shr => ">>",
        B::Eq => "==",
        B::Ne => "!=",
        B::Lt => "<",
        B::Le => "<=",
        B::Gt => ">",
        B::Ge => ">=",
        B::And => "&&",
        B::Or => "||",
    }
}
