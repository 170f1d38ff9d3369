//! Functions whose value is a number that is printed as what it stands for.

use super::calls::Argument;
use super::functions::clock;
use super::operand::convert;
use super::{Checker, Operand};
use crate::compile::sema::probes::Event;
use crate::compile::sema::typed::{Builtin, Expr, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::plan::Naming;

/// `strerror(number)`.
pub fn strerror(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    named(Naming::Error, arguments.into_iter().next(), span)
}

/// `signal_name(number)`.
pub fn signal_name(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    named(Naming::Signal, arguments.into_iter().next(), span)
}

/// `username`: the name of who runs the process.
pub fn username(_: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let uid = Expr { kind: ExprKind::Builtin(Builtin::Uid), ty: Ty::U32.typed(), span };
    let uid = Expr { kind: ExprKind::Convert(Box::new(uid)), ty: Ty::I64.typed(), span };
    of_number(Naming::User, uid, span)
}

/// `func`: the function that is called or returns, as the probe's name has it.
pub fn func(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let of_function =
        matches!(checker.event(), Event::Uprobe { .. } | Event::KernelFunction { .. } | Event::KernelCall { .. });
    if !of_function {
        return checker.refuse(span, "`func` can only be used in functions of programs, libraries and the kernel");
    }
    let probe = Expr { kind: ExprKind::Builtin(Builtin::Probe), ty: Ty::Probe.typed(), span };
    of_number(Naming::Function, probe, span)
}

/// `cgroup_path(id)`, `cgroup_path(id, hierarchies)`.
pub fn cgroup_path(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let id = arguments.next();
    let hierarchies = match arguments.next() {
        Some(Argument::Literal(pattern, _)) => pattern,
        _ => "*".to_owned(),
    };
    named(Naming::Cgroup { hierarchies }, id, span)
}

/// `strftime(format, nanoseconds)`.
pub fn strftime(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Literal(format, _)) = arguments.next() else { return Operand::unknown(span) };
    let time = arguments.next();
    if let Some(Argument::Value(Operand { expr: Expr { kind: ExprKind::Int(time), .. }, literal: true, .. })) = time
        && time < 0
    {
        return checker.refuse(span, format!("`strftime()` takes a time since boot, which is not negative ({time})"));
    }
    match time {
        Some(Argument::Value(time)) if !time.ty.is_unknown() => match clock::since_boot(checker, time) {
            Some(time) => of_number(Naming::Time { format }, time, span),
            None => Operand::unknown(span),
        },
        _ => Operand::unknown(span),
    }
}

fn named(naming: Naming, argument: Option<Argument<'_>>, span: Span) -> Operand {
    match argument {
        Some(Argument::Value(number)) if !number.ty.is_unknown() => of_number(naming, convert(number, &Ty::I64), span),
        _ => Operand::unknown(span),
    }
}

fn of_number(naming: Naming, number: Expr, span: Span) -> Operand {
    Operand::new(Ty::Name(naming), ExprKind::Convert(Box::new(number)), span)
}
