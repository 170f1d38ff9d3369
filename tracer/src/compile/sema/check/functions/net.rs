//! Addresses of networks.

use std::net::IpAddr;

use super::super::operand::{constant, convert};
use super::super::{Argument, Checker, Operand};
use super::call;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::Function;
use crate::compile::sema::policy::Data;
use crate::compile::sema::typed::{Expr, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;

/// AF_INET and AF_INET6: include/linux/socket.h.
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

/// `ntop(address)`, `ntop(family, address)`.
pub fn ntop(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut operands = Vec::new();
    for argument in arguments {
        match argument {
            Argument::Value(operand) if !operand.ty.is_unknown() => operands.push(operand),
            _ => return Operand::unknown(span),
        }
    }
    let Some(address) = operands.pop() else { return Operand::unknown(span) };
    let (address, known) = match &address.ty {
        Ty::Int { .. } => (convert(address, &Ty::U32), AF_INET),
        _ => match bytes_of(address) {
            Ok((address, 4)) => (address, AF_INET),
            Ok((address, 16)) => (address, AF_INET6),
            Ok((Expr { span: at, .. }, size)) => {
                let error = Diagnostic::error(at, "`ntop()` expects a number or an array of 4 or 16 bytes");
                return checker.refuse_with(error.label(format!("this has {size} bytes")));
            }
            Err((other, at)) => {
                let error = Diagnostic::error(at, "`ntop()` expects a number or an array of 4 or 16 bytes");
                return checker.refuse_with(error.label(format!("this is of type `{other}`")));
            }
        },
    };
    let family = match operands.pop() {
        None => constant(&Ty::U64, known, span),
        Some(family) if family.ty.is_int() => convert(family, &Ty::U64),
        Some(family) => {
            let error = Diagnostic::error(family.span(), "an address's family is an integer, as AF_INET");
            return checker.refuse_with(error.label(format!("this is of type `{}`", family.ty)));
        }
    };
    call(Function::Inet, vec![family, address], Ty::Inet, span)
}

/// `pton("127.0.0.1")`: the bytes of an address, as the network sends them.
pub fn pton(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(Argument::Literal(text, at)) = arguments.into_iter().next() else { return Operand::unknown(span) };
    let bytes = match text.parse() {
        Ok(IpAddr::V4(address)) => address.octets().to_vec(),
        Ok(IpAddr::V6(address)) => address.octets().to_vec(),
        Err(_) => return checker.refuse(at, format!("`{text}` is no address of IPv4 or IPv6")),
    };
    let byte = Ty::int(1, false);
    let ty = Ty::Array(Box::new(byte.clone()), bytes.len() as u32);
    let bytes = bytes.into_iter().map(|value| constant(&byte, value.into(), span)).collect();
    Operand::new(ty, ExprKind::Tuple(bytes), span)
}

/// `macaddr(bytes)`, `macaddr(address)`.
pub fn macaddr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some([bytes]) = super::values(arguments) else { return Operand::unknown(span) };
    let bytes = if let Ty::Int { .. } | Ty::Pointer { .. } = bytes.ty { at_address(checker, bytes) } else { bytes };
    match bytes_of(bytes) {
        Ok((bytes, 6)) => Operand::new(Ty::Mac, ExprKind::Convert(Box::new(bytes)), span),
        Ok((Expr { span: at, .. }, size)) => {
            let error = Diagnostic::error(at, "`macaddr()` expects an array of 6 bytes");
            checker.refuse_with(error.label(format!("this has {size} bytes")))
        }
        Err((other, at)) => {
            let error = Diagnostic::error(at, "`macaddr()` expects an array of 6 bytes");
            checker.refuse_with(error.label(format!("this is of type `{other}`")))
        }
    }
}

/// The six bytes at an address.
fn at_address(checker: &mut Checker<'_>, address: Operand) -> Operand {
    let user = match address.ty {
        Ty::Pointer { user, .. } => user,
        _ => checker.event().in_user_memory(),
    };
    let data = if user { Data::UserMemory } else { Data::KernelMemory };
    checker.allow(data, "memory", address.span());
    let span = address.span();
    let address = Box::new(convert(address, &Ty::U64));
    Operand::new(Ty::Array(Box::new(Ty::int(1, false)), 6), ExprKind::Read { address, user }, span)
}

/// An array of bytes, and how many there are; anything else is told by its type. One of characters, which is a text else, is one of bytes here.
fn bytes_of(operand: Operand) -> Result<(Expr, u32), (Ty, Span)> {
    let byte = |ty: &Ty| matches!(ty, Ty::Int { size: 1, .. });
    match (&operand.ty, operand.expr.kind) {
        (Ty::Array(of, length), kind) if byte(of) => Ok((Expr { kind, ..operand.expr }, *length)),
        (&Ty::Str(length), ExprKind::ReadStr { address, user, length: None }) => {
            let ty = Ty::Array(Box::new(Ty::int(1, false)), length).typed();
            Ok((Expr { kind: ExprKind::Read { address, user }, ty, span: operand.expr.span }, length))
        }
        _ => Err((operand.ty, operand.expr.span)),
    }
}
