//! Functions of bpftrace that are refused for good, or until what they work on is there, each with its reason.

use super::super::{Argument, Checker, Operand};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::typed::StmtKind;
use crate::compile::source::Span;

fn refuse(checker: &mut Checker<'_>, span: Span, message: &str, help: &str) -> Operand {
    checker.refuse_with(Diagnostic::error(span, message).help(help))
}

/// `skboutput(file, packet, length, offset)`.
pub fn skboutput(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let help = "it would hand out packets of others than the container that is traced";
    refuse(checker, span, "`skboutput()` is not supported: ctrace does not record packets", help)
}

/// `write_user(to, from, length)`.
pub fn write_user(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let help = "a tracer that changes what it traces is no tracer";
    refuse(checker, span, "`write_user()` is not supported: ctrace does not write to the memory of processes", help)
}

/// `debugf(format, …)`.
pub fn debugf(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let help = "`printf()` prints the same; `print()` what a value is";
    refuse(checker, span, "`debugf()` is not supported: it writes to the log of traces of the whole machine", help);
    Vec::new()
}

/// `override(result)`.
pub fn override_return(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    let help = "a tracer that changes what it traces is no tracer";
    refuse(
        checker,
        span,
        "`override()` is not supported: ctrace does not keep functions of the kernel from running",
        help,
    );
    Vec::new()
}

/// `dw_ustack`.
pub fn dw_ustack(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let help = "`ustack` follows frame pointers";
    refuse(checker, span, "`dw_ustack` is not supported: ctrace does not unwind stacks by debug information", help)
}

/// `unwatch(address)`.
pub fn unwatch(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    refuse(checker, span, "`unwatch()` is not supported yet", "there are no watchpoints yet");
    Vec::new()
}
