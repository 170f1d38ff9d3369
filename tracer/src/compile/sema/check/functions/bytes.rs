//! Functions on bytes of any kind.

use super::super::operand::{constant, convert};
use super::super::{Argument, Checker, Operand};
use super::call;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::Function;
use crate::compile::sema::policy::Data;
use crate::compile::sema::typed::{Expr, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;

/// Where the bytes of a value are.
enum Bytes {
    /// In memory that has not been read yet.
    Memory { address: Expr, user: bool },
    /// In a value.
    Value(Expr),
}

/// `buf(data)`, `buf(data, length)`.
pub fn buf(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Value(data)) = arguments.next() else { return Operand::unknown(span) };
    let length = match arguments.next() {
        Some(Argument::Value(length)) => Some(length),
        _ => None,
    };
    if data.ty.is_unknown() || length.as_ref().is_some_and(|length| length.ty.is_unknown()) {
        return Operand::unknown(span);
    }
    let (ty, data_span) = (data.ty.clone(), data.span());
    let own = match &ty {
        Ty::Array(..) | Ty::Str(_) => ty.size(),
        _ => None,
    };
    let bytes = match (data.expr.kind, &ty) {
        (ExprKind::Read { address, user }, Ty::Array(..)) => Bytes::Memory { address: *address, user },
        (ExprKind::ReadStr { address, user, length: None }, _) => Bytes::Memory { address: *address, user },
        (kind, Ty::Array(..) | Ty::Str(_)) => Bytes::Value(Expr { kind, ..data.expr }),
        (kind, Ty::Pointer { user, .. }) => Bytes::Memory { address: Expr { kind, ..data.expr }, user: *user },
        (kind, Ty::Int { .. }) => {
            let address = Operand { expr: Expr { kind, ..data.expr }, ty: ty.clone(), literal: false };
            Bytes::Memory { address: convert(address, &Ty::U64), user: true }
        }
        _ => {
            let error = Diagnostic::error(span, "`buf()` expects an address, an array or a text");
            return checker.refuse_with(error.label(format!("this is of type `{ty}`")));
        }
    };
    let most = checker.settings.max_strlen;
    let (size, length) = match (length, own) {
        (None, Some(own)) => (own, constant(&Ty::U64, own.into(), span)),
        (None, None) => {
            let error = Diagnostic::error(data_span, "`buf()` needs to know how many bytes there are");
            let error = error.label(format!("this is of type `{ty}`"));
            return checker.refuse_with(error.help("give a length: `buf(address, 16)`"));
        }
        (Some(length), own) => match length.expr.kind {
            ExprKind::Int(number) if length.literal => match u32::try_from(number) {
                Ok(number) => (number, constant(&Ty::U64, number.into(), length.span())),
                Err(_) => {
                    let message = format!("a length cannot be negative ({number})");
                    return checker.refuse(length.span(), message);
                }
            },
            _ => (own.unwrap_or(most).min(most), convert(length, &Ty::U64)),
        },
    };
    if size > most {
        let warning = format!("the buffer is cut to {most} bytes, the most that one can have (config: max_strlen)");
        checker.report(Diagnostic::warning(span, warning));
    }
    let ty = Ty::Buffer(size.min(most));
    match bytes {
        Bytes::Memory { address, user } => {
            let data = if user { Data::UserMemory } else { Data::KernelMemory };
            checker.allow(data, "reading memory", span);
            call(Function::ReadBytes { user }, vec![address, length], ty, span)
        }
        Bytes::Value(value) => call(Function::TakeBytes, vec![value, length], ty, span),
    }
}

/// `bswap(number)`: its bytes in reverse order.
pub fn bswap(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some([number]) = super::values(arguments) else { return Operand::unknown(span) };
    let size = number.ty.size().expect("integers have a size") as u8;
    let ty = Ty::int(size, false);
    if let (ExprKind::Int(value), true) = (&number.expr.kind, number.literal) {
        let swapped = (*value as u64).swap_bytes() >> (64 - 8 * u32::from(size));
        return Operand { literal: true, expr: constant(&ty, swapped as i64, span), ty };
    }
    let number = convert(number, &ty);
    call(Function::SwapBytes, vec![number], ty, span)
}
