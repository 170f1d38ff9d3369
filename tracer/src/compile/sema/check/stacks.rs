//! Stacks and symbols: `ustack`, `kstack`, `usym`, `ksym`, `func` and their like.

use super::calls::Argument;
use super::operand::convert;
use super::{Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::probes::Event;
use crate::compile::sema::proposing;
use crate::compile::sema::typed::ExprKind;
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::plan::{FrameStyle, Frames, Naming};
use tracer_common::stack::MAX_FRAMES;

/// What a mode is called.
pub const MODES: [(&str, FrameStyle); 4] = [
    ("bpftrace", FrameStyle::Named),
    ("perf", FrameStyle::Perf),
    ("raw", FrameStyle::Raw),
    ("build_id", FrameStyle::Build),
];

/// What the mode of a style is called.
pub fn mode_of(style: FrameStyle) -> &'static str {
    MODES.iter().find(|(_, known)| *known == style).map_or("", |(name, _)| name)
}

/// `ustack`, `ustack(mode)`, `ustack(depth)`, `ustack(mode, depth)`.
pub fn ustack(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    stack(checker, true, arguments, span)
}

/// The same of the kernel.
pub fn kstack(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    stack(checker, false, arguments, span)
}

fn stack(checker: &mut Checker<'_>, user: bool, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let name = if user { "ustack" } else { "kstack" };
    if let Event::Iterator { .. } = checker.event() {
        return checker.refuse(span, format!("`{name}` would be the stack of ctrace here, which goes over the others"));
    }
    let mut style = if checker.settings.stack_style == FrameStyle::Build && !user {
        FrameStyle::Named
    } else {
        checker.settings.stack_style
    };
    let mut depth = MAX_FRAMES as u32;
    let both = arguments.len() > 1;
    for (index, argument) in arguments.into_iter().enumerate() {
        match argument {
            Argument::Word(mode, at) if index == 0 => match MODES.iter().find(|(known, _)| *known == mode) {
                Some((_, FrameStyle::Build)) if !user => {
                    return checker.refuse(at, "only files of processes have a build id: use `ustack(build_id)`");
                }
                Some(&(_, known)) => style = known,
                None => {
                    let error = Diagnostic::error(at, format!("there is no way `{mode}` to show a stack"));
                    let error = proposing(error, &mode, MODES.iter().map(|(known, _)| *known));
                    let known = MODES.map(|(known, _)| format!("`{known}`")).join(", ");
                    let error = if error.help.is_empty() { error.help(format!("there are {known}")) } else { error };
                    return checker.refuse_with(error);
                }
            },
            Argument::Number(_, at) if index == 0 && both => {
                let error = Diagnostic::error(at, format!("`{name}()` expects how it is to be shown here"));
                return checker.refuse_with(error.help(format!("write `{name}(perf, 3)`")));
            }
            Argument::Number(number, at) => match u32::try_from(number) {
                Ok(number @ 1..) if number as usize <= MAX_FRAMES => depth = number,
                _ => {
                    let message = format!("a stack has 1 to {MAX_FRAMES} frames");
                    return checker.refuse(at, message);
                }
            },
            Argument::Word(word, at) => {
                return checker.refuse(at, format!("`{name}()` expects a number of frames here, not `{word}`"));
            }
            _ => return Operand::unknown(span),
        }
    }
    // There is no debugging information of the kernel to look into.
    let lines = checker.settings.show_debug_info && user;
    Operand::new(Ty::Stack(Frames { user, style, lines }), ExprKind::Stack { user, depth }, span)
}

/// `len(stack)`: how many frames it has.
pub fn frames(stack: Operand, span: Span) -> Operand {
    Operand::new(Ty::U64, ExprKind::Element(Box::new(stack.expr), 1), span)
}

/// `len(stack)`, `stack_len(stack)`.
pub fn stack_len(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    match arguments.into_iter().next() {
        Some(Argument::Value(operand)) if operand.ty.is_unknown() => Operand::unknown(span),
        Some(Argument::Value(operand)) if matches!(operand.ty, Ty::Stack(_)) => frames(operand, span),
        Some(Argument::Value(operand)) => {
            let error = Diagnostic::error(operand.span(), "`len()` expects a stack here");
            checker.refuse_with(error.label(format!("this is of type `{}`", operand.ty)))
        }
        _ => Operand::unknown(span),
    }
}

/// An address as a number, if the argument is one.
fn address(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Option<Operand> {
    match arguments.into_iter().next() {
        Some(Argument::Value(operand)) => match operand.ty {
            Ty::Unknown => None,
            Ty::Int { .. } => Some(Operand { expr: convert(operand, &Ty::U64), ty: Ty::U64, literal: false }),
            Ty::Pointer { .. } => Some(operand),
            ref other => {
                let error = Diagnostic::error(span, "an address is expected here");
                checker.report(error.label(format!("this is of type `{other}`")));
                None
            }
        },
        _ => None,
    }
}

/// `usym(address)`: what is there in the current process.
pub fn usym(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    match address(checker, arguments, span) {
        Some(address) => user_symbol(address, span),
        None => Operand::unknown(span),
    }
}

fn user_symbol(address: Operand, span: Span) -> Operand {
    let frames = Frames { user: true, style: FrameStyle::Symbol, lines: false };
    Operand::new(Ty::Stack(frames), ExprKind::Address(Box::new(address.expr)), span)
}

/// `ksym(address)`: what is there in the kernel.
pub fn ksym(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(address) = address(checker, arguments, span) else { return Operand::unknown(span) };
    kernel_symbol(address, span)
}

fn kernel_symbol(address: Operand, span: Span) -> Operand {
    let ty = Ty::Name(Naming::KernelSymbol);
    let expr = convert(Operand { ty: Ty::U64, ..address }, &ty);
    Operand { expr: crate::compile::sema::typed::Expr { span, ..expr }, ty, literal: false }
}
