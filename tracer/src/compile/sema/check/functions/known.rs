//! What is known when the script is compiled: types, the probe, the machine; and what ends compilation.

use super::super::operand::{bool_literal, constant, literal_record, string};
use super::super::{Argument, Checker, Operand, output, stacks};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::typed::{ExprKind, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::plan::Piece;

/// `ncpus`: how many CPUs there can be.
pub fn ncpus(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let expr = constant(&Ty::U64, checker.target.possible_cpus.into(), span);
    Operand { ty: Ty::U64, expr, literal: true }
}

/// `config`: the settings that have an effect here, as they are for this script.
pub fn config(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let settings = checker.settings;
    let number = |value: u64| Operand { literal: true, ..Operand::new(Ty::U64, ExprKind::Int(value as i64), span) };
    let parts = [
        ("print_maps_on_exit", bool_literal(settings.print_maps_on_exit, span)),
        ("max_map_keys", number(settings.max_map_keys.into())),
        ("max_probes", number(settings.max_probes.map_or(u64::from(u32::MAX), |most| most as u64))),
        ("max_strlen", number(settings.max_strlen.into())),
        ("perf_rb_pages", number(settings.ring_pages())),
        ("missing_probes", string(settings.missing_probes.word(), span)),
        ("stack_mode", string(stacks::mode_of(settings.stack_style), span)),
        ("license", string("Dual MIT/GPL", span)),
    ];
    literal_record(parts, span)
}

/// `has_cpid`: whether there is a command of `-c`.
pub fn has_cpid(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    bool_literal(checker.target.command_pid.is_some(), span)
}

/// `probetype`: the kind of probe; `special` for begin and end.
pub fn probetype(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let name = &checker.instance().sites[0].name;
    let kind = name.split(':').next().unwrap_or_default();
    string(if matches!(kind, "begin" | "end" | "BEGIN" | "END") { "special" } else { kind }, span)
}

/// `cgroupid("path")`: the number of a cgroup.
pub fn cgroupid(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(Argument::Literal(path, at)) = arguments.into_iter().next() else { return Operand::unknown(span) };
    match checker.target.cgroups.get(&path) {
        Some(Ok(id)) => Operand { ty: Ty::U64, expr: constant(&Ty::U64, *id as i64, span), literal: true },
        Some(Err(error)) => checker.refuse(at, format!("the cgroup `{path}` cannot be looked at: {error}")),
        None => {
            let error = Diagnostic::error(at, format!("the cgroup `{path}` has not been looked at"));
            checker.refuse_with(error.help("write its path as one text, in the call"))
        }
    }
}

/// `kfunc_exist("name")`: whether the kernel has such a function, by its types.
pub fn kfunc_exist(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(Argument::Literal(name, _)) = arguments.into_iter().next() else { return Operand::unknown(span) };
    let types = checker.target.types.as_ref();
    bool_literal(types.is_some_and(|types| types.function(&name).is_ok()), span)
}

/// `kfunc_allowed("name")`: never, since what calls such a function is C that would have to be compiled.
pub fn kfunc_allowed(_: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    bool_literal(false, span)
}

/// `is_str(value)` and its like.
fn is(arguments: Vec<Argument<'_>>, span: Span, such: impl FnOnce(&Operand) -> bool) -> Operand {
    match super::values::<1>(arguments) {
        Some([operand]) => bool_literal(such(&operand), span),
        None => Operand::unknown(span),
    }
}

/// `is_str(value)`: whether it is a text.
pub fn is_str(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    is(arguments, span, |operand| matches!(operand.ty, Ty::Str(_)))
}

/// `is_ptr(value)`: whether it is an address with a type.
pub fn is_ptr(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    is(arguments, span, |operand| matches!(operand.ty, Ty::Pointer { .. }))
}

/// `is_array(value)`.
pub fn is_array(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    is(arguments, span, |operand| matches!(operand.ty, Ty::Array(..)))
}

/// `is_integer(value)`.
pub fn is_integer(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    is(arguments, span, |operand| operand.ty.is_int())
}

/// `is_unsigned_integer(value)`.
pub fn is_unsigned_integer(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    is(arguments, span, |operand| operand.ty.is_int() && !operand.ty.is_signed())
}

/// `is_literal(value)`: whether it is written out.
pub fn is_literal(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    is(arguments, span, |operand| operand.literal)
}

/// `fail(format, …)`: an error wherever it is looked at.
pub fn fail(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Literal(text, at)) = arguments.next() else { return Vec::new() };
    let mut operands = Vec::new();
    for argument in arguments {
        match argument {
            Argument::Value(operand) if operand.ty.is_unknown() => return Vec::new(),
            Argument::Value(operand) if operand.literal => operands.push(operand),
            Argument::Value(operand) => {
                checker.error(operand.span(), "`fail()` takes what is known when the script is compiled");
                return Vec::new();
            }
            _ => return Vec::new(),
        }
    }
    if let Some(format) = output::parsed(checker, &text, at, &operands, span) {
        let mut operands = operands.into_iter();
        let piece = |piece: Piece| match piece {
            Piece::Text(text) => text,
            Piece::Argument { .. } => operands.next().map(written).unwrap_or_default(),
        };
        let message: String = format.pieces.into_iter().map(piece).collect();
        checker.error(span, message.trim_end().to_owned());
    }
    Vec::new()
}

/// `static_assert(condition, message)`: an error if the condition does not hold.
pub fn static_assert(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let mut arguments = arguments.into_iter();
    let (Some(Argument::Value(condition)), Some(Argument::Literal(message, _))) = (arguments.next(), arguments.next())
    else {
        return Vec::new();
    };
    match condition.expr.kind {
        _ if condition.ty.is_unknown() => {}
        ExprKind::Int(0) if condition.literal => checker.error(span, message),
        ExprKind::Int(_) if condition.literal => {}
        _ => checker.error(condition.span(), "this is not known when the script is compiled"),
    }
    Vec::new()
}

/// A literal as text.
fn written(operand: Operand) -> String {
    match operand.expr.kind {
        ExprKind::Str(text) => text,
        ExprKind::Int(value) if operand.ty == Ty::Bool => (value != 0).to_string(),
        ExprKind::Int(value) if operand.ty.is_signed() => value.to_string(),
        ExprKind::Int(value) => (value as u64).to_string(),
        _ => String::new(),
    }
}
