//! Functions on texts.

use super::super::operand::{binary, bool_literal, constant, convert, string};
use super::super::{Argument, Checker, Operand, calls};
use super::{call, values};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::Function;
use crate::compile::sema::typed::{self, ExprKind, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;

/// `strlen(text)`: bytes before the NUL.
pub fn strlen(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some([text]) = values(arguments) else { return Operand::unknown(span) };
    let Some(text) = text_of(checker, text, "strlen") else { return Operand::unknown(span) };
    match text.expr.kind {
        ExprKind::Str(text) => {
            let length = text.split('\0').next().unwrap_or_default().len();
            Operand { ty: Ty::U64, expr: constant(&Ty::U64, length as i64, span), literal: true }
        }
        _ => call(Function::TextLength, vec![text.expr], Ty::U64, span),
    }
}

/// `strcap(text)`: bytes that it may have, the NUL included; of text behind a pointer, bytes before the NUL.
pub fn strcap(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some([text]) = values(arguments) else { return Operand::unknown(span) };
    if matches!(text.ty, Ty::Pointer { .. }) {
        return strlen(checker, vec![Argument::Value(text)], span);
    }
    match text_of(checker, text, "strcap") {
        Some(text) => {
            let size = text.ty.size().expect("texts have a size");
            Operand { ty: Ty::I64, expr: constant(&Ty::I64, size.into(), span), literal: true }
        }
        None => Operand::unknown(span),
    }
}

/// `default_str_length`: bytes that a text has for which no length is given, the NUL included.
pub fn default_str_length(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let expr = constant(&Ty::U64, checker.settings.max_strlen.into(), span);
    Operand { ty: Ty::U64, expr, literal: true }
}

/// `assert_str(value)`: an error unless it counts as text.
pub fn assert_str(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, _: Span) -> Vec<StmtKind> {
    if let Some([text]) = values(arguments) {
        text_of(checker, text, "assert_str");
    }
    Vec::new()
}

/// `str_concat(a, b)`: one text behind the other, 1023 bytes at most as in bpftrace.
pub fn str_concat(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    const LONGEST: u32 = 1024;
    let Some([a, b]) = values(arguments) else { return Operand::unknown(span) };
    let (Some(a), Some(b)) = (text_of(checker, a, "str_concat"), text_of(checker, b, "str_concat")) else {
        return Operand::unknown(span);
    };
    let size = |text: &Operand| text.ty.size().expect("texts have a size");
    let whole = size(&a) + size(&b) - 1;
    match (&a.expr.kind, &b.expr.kind) {
        (ExprKind::Str(a), ExprKind::Str(b)) if whole <= LONGEST => string(&format!("{a}{b}"), span),
        _ => call(Function::ConcatText, vec![a.expr, b.expr], Ty::Str(whole.min(LONGEST)), span),
    }
}

/// `strstr(text, wanted)`: where one text is first found in another, or -1.
pub fn strstr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    found(checker, "strstr", arguments, span)
}

fn found(checker: &mut Checker<'_>, function: &str, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some([text, wanted]) = values(arguments) else { return Operand::unknown(span) };
    let (Some(text), Some(wanted)) = (text_of(checker, text, function), text_of(checker, wanted, function)) else {
        return Operand::unknown(span);
    };
    if let (ExprKind::Str(text), ExprKind::Str(wanted)) = (&text.expr.kind, &wanted.expr.kind) {
        let found = text.find(wanted.as_str()).map_or(-1, |at| at as i64);
        return Operand { ty: Ty::I64, expr: constant(&Ty::I64, found, span), literal: true };
    }
    call(Function::FindText, vec![text.expr, wanted.expr], Ty::I64, span)
}

/// `strcontains(text, wanted)`: whether one text is in another.
pub fn strcontains(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let place = found(checker, "strcontains", arguments, span);
    match place.expr.kind {
        _ if place.ty.is_unknown() => place,
        ExprKind::Int(at) => bool_literal(at >= 0, span),
        _ => {
            let found = binary(typed::BinaryOp::Ge, place.expr, constant(&Ty::I64, 0, span), &Ty::Bool, span);
            Operand { ty: Ty::Bool, expr: found, literal: false }
        }
    }
}

/// `memcmp(a, b, count)`: 0 if the first bytes of two values are the same, else the difference of the first that are not.
pub fn memcmp(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some([a, b, count]) = values(arguments) else { return Operand::unknown(span) };
    let mut least = u32::MAX;
    for operand in [&a, &b] {
        let Some(size) = operand.ty.shape().map(|shape| shape.size()) else {
            let message = format!("`memcmp()` cannot compare a value of type `{}`", operand.ty);
            return checker.refuse(operand.span(), message);
        };
        least = least.min(size);
    }
    // What is behind the end of a text is the same in all of them.
    let texts = matches!((&a.ty, &b.ty), (Ty::Str(_), Ty::Str(_)));
    if let (ExprKind::Int(number), true) = (&count.expr.kind, count.literal)
        && (*number < 0 || (!texts && *number > i64::from(least)))
    {
        let error = Diagnostic::error(count.span(), format!("`memcmp()` cannot compare {number} bytes of these"));
        return checker.refuse_with(error.label(format!("0 to {least}")));
    }
    let count = convert(count, &Ty::U64);
    call(Function::CompareBytes, vec![a.expr, b.expr, count], Ty::I64, span)
}

/// What counts as text: texts, and what a pointer to characters points to.
fn text_of(checker: &mut Checker<'_>, operand: Operand, function: &str) -> Option<Operand> {
    let span = operand.span();
    match &operand.ty {
        Ty::Str(_) => Some(operand),
        Ty::Pointer { to, .. } if matches!(**to, Ty::Int { size: 1, .. }) => {
            let text = calls::str(checker, vec![Argument::Value(operand)], span);
            (!text.ty.is_unknown()).then_some(text)
        }
        other => {
            let error = Diagnostic::error(span, format!("`{function}()` expects a text here"));
            let error = error.label(format!("this is of type `{other}`"));
            let error = match other {
                Ty::Int { .. } | Ty::Pointer { .. } => error.help("`str(…)` is the text at an address"),
                _ => error,
            };
            checker.report(error);
            None
        }
    }
}
