//! The clocks of the kernel.

use super::super::operand::{binary, constant, convert};
use super::super::{Argument, Checker, Operand};
use super::call;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::{Clock, Function};
use crate::compile::sema::typed::{self, Builtin, Expr, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;

/// `nsecs`, `nsecs(clock)`: nanoseconds of a clock, that of `boot` unless another one is named.
pub fn nsecs(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let clock = match arguments.into_iter().next() {
        None => return Operand::new(Ty::U64, ExprKind::Builtin(Builtin::Nsecs), span),
        Some(Argument::Word(word, at)) => (word, at),
        Some(Argument::Number(_, at)) => (String::new(), at),
        _ => return Operand::unknown(span),
    };
    let clock = match (clock.0.as_str(), clock.1) {
        ("boot", _) => return Operand::new(Ty::U64, ExprKind::Builtin(Builtin::Nsecs), span),
        ("monotonic", _) => Clock::Monotonic,
        ("sw_tai", _) => Clock::ComputedTai,
        ("tai", at) if checker.target.kernel < (6, 1, 0) => {
            let error = Diagnostic::error(at, "this kernel gives programs no atomic time: that came with Linux 6.1");
            return checker.refuse_with(error.help("`nsecs(sw_tai)` computes it"));
        }
        ("tai", _) => Clock::Tai,
        (_, at) => {
            let error = Diagnostic::error(at, "this is no clock");
            return checker.refuse_with(error.help("there are `boot`, `monotonic`, `tai` and `sw_tai`"));
        }
    };
    call(Function::Clock(clock), Vec::new(), Ty::U64, span)
}

/// The atomic time, as the kernel gives or as it computes it.
pub fn atomic_time(checker: &Checker<'_>, span: Span) -> Operand {
    let clock = if checker.target.kernel < (6, 1, 0) { Clock::ComputedTai } else { Clock::Tai };
    call(Function::Clock(clock), Vec::new(), Ty::U64, span)
}

/// A time that `nsecs(clock)` gives, in ns since boot; an error where that clock does not tell when it was.
pub fn since_boot(checker: &mut Checker<'_>, time: Operand) -> Option<Expr> {
    let ExprKind::Call(Function::Clock(clock), _) = &time.expr.kind else { return Some(convert(time, &Ty::I64)) };
    let span = time.span();
    match clock {
        Clock::Monotonic => {
            let error = Diagnostic::error(
                span,
                "the monotonic clock does not tell the time: it stands while the machine sleeps",
            );
            checker.report(error.help("`nsecs` or `nsecs(boot)` does"));
            None
        }
        Clock::Tai | Clock::ComputedTai => {
            let ahead = constant(&Ty::U64, checker.target.tai_offset, span);
            let since = binary(typed::BinaryOp::Sub, time.expr, ahead, &Ty::U64, span);
            Some(convert(Operand { ty: Ty::U64, expr: since, literal: false }, &Ty::I64))
        }
    }
}
