//! Functions that give values, by what they are about. Each is named by its row of the table.

pub mod bytes;
pub mod clock;
pub mod globals;
pub mod join;
pub mod kernel;
pub mod known;
pub mod net;
pub mod process;
pub mod refused;
pub mod text;

use super::{Argument, Operand};
use crate::compile::sema::functions::Function;
use crate::compile::sema::typed::{Expr, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;

/// A call of a function.
fn call(function: Function, arguments: Vec<Expr>, ty: Ty, span: Span) -> Operand {
    Operand::new(ty, ExprKind::Call(function, arguments), span)
}

/// The values among the arguments; `None` if one is not known yet.
fn values<const N: usize>(arguments: Vec<Argument<'_>>) -> Option<[Operand; N]> {
    let values: Option<Vec<Operand>> = arguments
        .into_iter()
        .map(|argument| match argument {
            Argument::Value(operand) if !operand.ty.is_unknown() => Some(operand),
            _ => None,
        })
        .collect();
    values?.try_into().ok()
}
