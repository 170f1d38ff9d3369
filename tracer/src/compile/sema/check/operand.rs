//! Checked expressions as the checker passes them around, literals, and conversions from type to type.

use std::sync::Arc;

use crate::compile::sema::typed::{self, ExprKind};
use crate::compile::sema::types::{Field, Record, Ty};
use crate::compile::source::Span;
use crate::plan::Shape;

/// A checked expression, with what only the checker wants to know.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The type in the language.
    pub ty: Ty,
    /// The typed form; of no meaning where the type is not known yet.
    pub expr: typed::Expr,
    /// Written out, or folded from what is.
    pub literal: bool,
}

impl Operand {
    /// Not a literal.
    pub fn new(ty: Ty, kind: typed::ExprKind, span: Span) -> Self {
        Self { expr: typed::Expr { kind, ty: ty.typed(), span }, ty, literal: false }
    }

    /// Of a type that is not known, or not to be had since there was an error.
    pub fn unknown(span: Span) -> Self {
        Self::new(Ty::Unknown, typed::ExprKind::Int(0), span)
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        self.expr.span
    }
}

/// A number as it is written.
pub fn integer(value: u64, span: Span) -> Operand {
    Operand { literal: true, ..Operand::new(Ty::of_literal(value), ExprKind::Int(value as i64), span) }
}

/// A negative number as it is written.
pub fn negated(value: u64, span: Span) -> Operand {
    let value = (value as i64).wrapping_neg();
    Operand { literal: true, ..Operand::new(Ty::of_negative_literal(value), ExprKind::Int(value), span) }
}

/// A text as it is written.
pub fn string(text: &str, span: Span) -> Operand {
    let ty = Ty::Str(text.len() as u32 + 1);
    Operand { literal: true, ..Operand::new(ty, ExprKind::Str(text.into()), span) }
}

/// `true` or `false`.
pub fn bool_literal(value: bool, span: Span) -> Operand {
    Operand { literal: true, ..Operand::new(Ty::Bool, ExprKind::Int(value.into()), span) }
}

/// A record of what is written out: its members are, too.
pub fn literal_record<'n>(parts: impl IntoIterator<Item = (&'n str, Operand)>, span: Span) -> Operand {
    let (fields, exprs): (Vec<_>, _) =
        parts.into_iter().map(|(name, part)| ((name.to_owned(), part.ty), part.expr)).unzip();
    let record = Record::of(fields).expect("numbers and texts have a layout");
    Operand { literal: true, ..Operand::new(Ty::Record(Arc::new(record)), ExprKind::Tuple(exprs), span) }
}

/// A number of a given type.
pub fn constant(ty: &Ty, value: i64, span: Span) -> typed::Expr {
    typed::Expr { kind: ExprKind::Int(value), ty: ty.typed(), span }
}

/// An operator applied to operands of one type, which is the result's.
pub fn binary(op: typed::BinaryOp, left: typed::Expr, right: typed::Expr, ty: &Ty, span: Span) -> typed::Expr {
    typed::Expr { kind: ExprKind::Binary(op, Box::new(left), Box::new(right)), ty: ty.typed(), span }
}

/// Whether something is true, for a condition: integers and `Bool` as they are.
pub fn truth(operand: Operand) -> typed::Expr {
    if matches!(operand.ty, Ty::Pointer { .. }) { truth_value(operand) } else { operand.expr }
}

/// Whether something is true, as a `Bool`.
pub fn truth_value(operand: Operand) -> typed::Expr {
    let span = operand.span();
    if operand.ty == Ty::Bool {
        return operand.expr;
    }
    let zero = constant(&operand.ty, 0, span);
    binary(typed::BinaryOp::Ne, operand.expr, zero, &Ty::Bool, span)
}

/// An enumerator as the number that it is; any other operand as it is.
pub fn decay(operand: Operand) -> Operand {
    let ty = operand.ty.decayed();
    Operand { literal: operand.literal, expr: convert(operand, &ty), ty }
}

/// The same value in another type that holds it, or is meant to cut it.
pub fn convert(operand: Operand, to: &Ty) -> typed::Expr {
    let Operand { ty, expr, .. } = operand;
    convert_expr(expr, &ty, to)
}

fn convert_expr(expr: typed::Expr, from: &Ty, to: &Ty) -> typed::Expr {
    // While types are being inferred, what is not known yet stays as it is.
    if from.typed() == to.typed() || from.is_unknown() {
        return expr;
    }
    let span = expr.span;
    let kind = match (expr.kind, to) {
        (ExprKind::Int(value), Ty::Int { size, signed, .. }) => ExprKind::Int(cut(value, *size, *signed)),
        (ExprKind::Int(value), Ty::Pointer { .. } | Ty::Syscall | Ty::Enum { .. }) => ExprKind::Int(value),
        (ExprKind::Str(text), Ty::Str(_)) => ExprKind::Str(text),
        (kind, Ty::Tuple(to)) => {
            let Ty::Tuple(from) = from else { unreachable!("only a tuple becomes a tuple") };
            ExprKind::Tuple(convert_parts(typed::Expr { kind, ..expr }, from, to))
        }
        (kind, Ty::Record(to)) => {
            let Ty::Record(from) = from else { unreachable!("only a record becomes a record") };
            let types = |record: &Record| record.fields.iter().map(|field| field.ty.clone()).collect::<Vec<_>>();
            let mut parts = parts_of(typed::Expr { kind, ..expr }, &types(from));
            // Members go by their names, whatever their order.
            let part = |field: &Field| {
                let at =
                    from.fields.iter().position(|from| from.name == field.name).expect("records of the same names");
                let span = parts[at].span;
                let part = std::mem::replace(&mut parts[at], constant(&Ty::I64, 0, span));
                convert_expr(part, &from.fields[at].ty, &field.ty)
            };
            ExprKind::Tuple(to.fields.iter().map(part).collect())
        }
        (kind, _) => ExprKind::Convert(Box::new(typed::Expr { kind, ..expr })),
    };
    typed::Expr { kind, ty: to.typed(), span }
}

/// The elements of a tuple, each converted.
fn convert_parts(tuple: typed::Expr, from: &[Ty], to: &[Ty]) -> Vec<typed::Expr> {
    let parts = parts_of(tuple, from);
    parts.into_iter().zip(from.iter().zip(to)).map(|(part, (from, to))| convert_expr(part, from, to)).collect()
}

/// The elements of a tuple or record, of these types.
fn parts_of(tuple: typed::Expr, types: &[Ty]) -> Vec<typed::Expr> {
    let span = tuple.span;
    match tuple.kind {
        ExprKind::Tuple(parts) => parts,
        _ => (types.iter().enumerate())
            .map(|(i, ty)| typed::Expr {
                kind: ExprKind::Element(Box::new(tuple.clone()), i as u32),
                ty: ty.typed(),
                span,
            })
            .collect(),
    }
}

/// What is left of a number in so many bytes.
fn cut(value: i64, size: u8, signed: bool) -> i64 {
    let unused = 64 - 8 * u32::from(size);
    if signed { value << unused >> unused } else { ((value as u64) << unused >> unused) as i64 }
}

/// Whether a typed expression is of a shape that can be stored and compared byte by byte.
pub fn shape_of(expr: &typed::Expr) -> Option<&Shape> {
    match &expr.ty {
        typed::Type::Data(shape) => Some(shape),
        typed::Type::Void => None,
    }
}
