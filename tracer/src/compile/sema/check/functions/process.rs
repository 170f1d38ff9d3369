//! The process at hand: who started it, what it runs as, and signals to it.

use super::super::operand::{binary, constant, convert};
use super::super::{Argument, Checker, Operand, calls, output};
use super::call;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::Function;
use crate::compile::sema::policy::ProbeKind;
use crate::compile::sema::registers;
use crate::compile::sema::typed::{self, ExprKind, Stmt, StmtKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::syntax::ast;
use crate::plan::Severity;

/// `jiffies`.
pub fn jiffies(_: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    call(Function::Jiffies, Vec::new(), Ty::U64, span)
}

/// `numaid`.
pub fn numaid(_: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let node = call(Function::NumaNode, Vec::new(), Ty::U32, span);
    Operand { expr: convert(node, &Ty::U64), ty: Ty::U64, literal: false }
}

/// `ppid`: the pid of the parent process.
pub fn ppid(_: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    call(Function::ParentPid, Vec::new(), Ty::U32, span)
}

/// `pcomm`: the name of the parent's thread that has started this process.
pub fn pcomm(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    of_task(checker, &["real_parent", "comm"], span)
}

/// `leader_comm`: the name of the process's first thread.
pub fn leader_comm(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    of_task(checker, &["group_leader", "comm"], span)
}

fn of_task(checker: &mut Checker<'_>, path: &[&str], span: Span) -> Operand {
    let task = calls::curtask(checker, Vec::new(), span);
    path.iter().fold(task, |base, name| checker.field_of(base, &ast::Name { text: (*name).to_owned(), span }, span))
}

/// `usermode`: 1 where the process itself was running, 0 where the kernel was.
pub fn usermode(checker: &mut Checker<'_>, _: Vec<Argument<'_>>, span: Span) -> Operand {
    let u8 = Ty::int(1, false);
    let known = |value: i64| Operand { expr: constant(&u8, value, span), ty: u8.clone(), literal: false };
    match checker.event().kind() {
        // User space runs these itself.
        ProbeKind::Timer => known(1),
        ProbeKind::Syscall | ProbeKind::KernelEvent | ProbeKind::KernelFunction => known(0),
        ProbeKind::UserFunction | ProbeKind::Sample => {
            // The lowest two bits of the code segment say how privileged the code is: 3 is the least.
            let segment = checker.register(registers::CODE_SEGMENT, "`usermode`", span);
            let number = |value: i64| constant(&Ty::U64, value, span);
            let level = binary(typed::BinaryOp::BitAnd, segment.expr, number(3), &Ty::U64, span);
            let is_user = binary(typed::BinaryOp::Eq, level, number(3), &Ty::Bool, span);
            Operand {
                expr: convert(Operand { ty: Ty::Bool, expr: is_user, literal: false }, &u8),
                ty: u8,
                literal: false,
            }
        }
    }
}

/// `is_err(pointer)`: whether it is an error of the kernel in the place of an address.
pub fn is_err(_: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    /// MAX_ERRNO: include/linux/err.h.
    const MAX_ERRNO: i64 = 4095;
    let Some([pointer]) = super::values(arguments) else { return Operand::unknown(span) };
    let address = convert(pointer, &Ty::U64);
    let least = constant(&Ty::U64, -MAX_ERRNO, span);
    let expr = binary(typed::BinaryOp::Ge, address, least, &Ty::Bool, span);
    Operand { ty: Ty::Bool, expr, literal: false }
}

/// `signal("SIGTERM")`, `signal(15)`: to the process.
pub fn signal(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    send(checker, arguments, false, span)
}

/// `signal_thread("SIGTERM")`, `signal_thread(15)`: to the thread at hand.
pub fn signal_thread(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Vec<StmtKind> {
    send(checker, arguments, true, span)
}

/// The greatest number of a signal.
const LAST_SIGNAL: i64 = 64;

/// Signals by number, from 1 on: arch/x86/include/uapi/asm/signal.h.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

fn send(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, thread: bool, span: Span) -> Vec<StmtKind> {
    let name = if thread { "signal_thread" } else { "signal" };
    let Some([given]) = super::values(arguments) else { return Vec::new() };
    if checker.event().kind() == ProbeKind::Timer {
        let error = Diagnostic::error(span, format!("`{name}()` cannot be used here"));
        checker.report(error.label("in this probe, the process at hand is ctrace itself"));
        return Vec::new();
    }
    let at = given.span();
    let number = match (&given.expr.kind, &given.ty) {
        (ExprKind::Str(text), _) => {
            let short = text.strip_prefix("SIG").unwrap_or(text);
            match SIGNALS.iter().position(|known| *known == short) {
                Some(index) => constant(&Ty::U32, index as i64 + 1, at),
                None => {
                    let error = Diagnostic::error(at, format!("there is no signal `{text}`"));
                    checker.report(error.help("`kill -l` lists them"));
                    return Vec::new();
                }
            }
        }
        (ExprKind::Int(number), Ty::Int { .. }) if given.literal => {
            if !(1..=LAST_SIGNAL).contains(number) {
                checker.error(at, format!("signals have the numbers 1 to {LAST_SIGNAL}, not {number}"));
                return Vec::new();
            }
            constant(&Ty::U32, *number, at)
        }
        (_, Ty::Int { .. }) => return send_if_valid(checker, given, name, thread, span),
        (_, other) => {
            let error = Diagnostic::error(at, format!("`{name}()` expects a number or the name of a signal"));
            let error = error.label(format!("this is of type `{other}`"));
            checker.report(error);
            return Vec::new();
        }
    };
    send_and_look(checker, number, thread, span)
}

/// Sends the signal of a number that is only known when the program runs.
fn send_if_valid(checker: &mut Checker<'_>, given: Operand, name: &str, thread: bool, span: Span) -> Vec<StmtKind> {
    let number = checker.hidden_local(&format!("{name} number"), span);
    let keep = StmtKind::SetLocal(number, convert(given, &Ty::I64));
    let read = || typed::Expr { kind: ExprKind::Local(number), ty: Ty::I64.typed(), span };
    let bound = |op, value| binary(op, read(), constant(&Ty::I64, value, span), &Ty::Bool, span);
    let low = Box::new(bound(typed::BinaryOp::Ge, 1));
    let high = Box::new(bound(typed::BinaryOp::Le, LAST_SIGNAL));
    let condition = typed::Expr { kind: ExprKind::And(low, high), ty: Ty::Bool.typed(), span };
    let signal = convert(Operand { ty: Ty::I64, expr: read(), literal: false }, &Ty::U32);
    let then = send_and_look(checker, signal, thread, span);
    let message = format!("{name}() expects an integer between 1 and 64 (inclusive). Got %ld");
    let got = Operand { ty: Ty::I64, expr: read(), literal: false };
    let otherwise = output::say(checker, Severity::Error, &message, got, span);
    let stmts = |kinds: Vec<StmtKind>| kinds.into_iter().map(|kind| Stmt { kind, span }).collect();
    vec![keep, StmtKind::If { condition, then: stmts(then), otherwise: stmts(otherwise) }]
}

/// Sends a signal, and says so if the kernel will not.
fn send_and_look(checker: &mut Checker<'_>, number: typed::Expr, thread: bool, span: Span) -> Vec<StmtKind> {
    let result = checker.hidden_local("signal result", span);
    let sent = call(Function::Signal { thread }, vec![number], Ty::I64, span);
    let read = || Operand {
        ty: Ty::I64,
        expr: typed::Expr { kind: ExprKind::Local(result), ty: Ty::I64.typed(), span },
        literal: false,
    };
    let failed = binary(typed::BinaryOp::Ne, read().expr, constant(&Ty::I64, 0, span), &Ty::Bool, span);
    let complain = output::say(checker, Severity::Warning, "signal call failed with error %ld", read(), span);
    let then = complain.into_iter().map(|kind| Stmt { kind, span }).collect();
    vec![StmtKind::SetLocal(result, sent.expr), StmtKind::If { condition: failed, then, otherwise: Vec::new() }]
}
