//! The process at hand: who started it, what it runs as, and signals to it.

use super::super::operand::{binary, constant, convert};
use super::super::{Argument, Checker, Operand, calls, output};
use super::call;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::Function;
use crate::compile::sema::policy::ProbeKind;
use crate::compile::sema::registers;
use crate::compile::sema::typed::{self, Builtin, ExprKind, Question, Stmt, StmtKind};
use crate::compile::sema::types::{COMM_SIZE, Ty};
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

/// `pid`, `pid(curr_ns)`, `pid(init)`: the process's number, as the container has it or as the machine has.
pub fn pid(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    number(checker, arguments, Builtin::Pid, span)
}

/// `tid`: the same of the thread.
pub fn tid(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    number(checker, arguments, Builtin::Tid, span)
}

fn number(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, builtin: Builtin, span: Span) -> Operand {
    let here = Operand::new(Ty::U32, ExprKind::Builtin(builtin), span);
    match arguments.into_iter().next() {
        None => here,
        Some(Argument::Word(word, _)) if word == "curr_ns" => here,
        Some(Argument::Word(word, _)) if word == "init" => {
            call(Function::InitialId { thread: builtin == Builtin::Tid }, Vec::new(), Ty::U32, span)
        }
        Some(Argument::Word(_, at) | Argument::Number(_, at)) => {
            let error = Diagnostic::error(at, "this is no namespace of processes that is known");
            checker.refuse_with(error.help("there are `curr_ns`, the container's, and `init`, the machine's"))
        }
        _ => Operand::unknown(span),
    }
}

/// `comm`, `comm(pid)`.
pub fn comm(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    if arguments.is_empty() {
        return Operand::new(Ty::Str(COMM_SIZE), ExprKind::Builtin(Builtin::Comm), span);
    }
    let error = Diagnostic::error(span, "`comm()` of another process is not supported: it may be of another container");
    checker.refuse_with(
        error.help("keep names in a map by their pids, `@names[pid] = comm`, where processes show themselves"),
    )
}

/// `ppid`, `ppid(task)`: the pid of the parent process.
pub fn ppid(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    if arguments.is_empty() {
        return call(Function::ParentPid, Vec::new(), Ty::U32, span);
    }
    number_of(checker, arguments, "real_parent", span)
}

/// `leader_tid`, `leader_tid(task)`: the number of the process's first thread, which is the process's.
pub fn leader_tid(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    if arguments.is_empty() {
        return Operand::new(Ty::U32, ExprKind::Builtin(Builtin::Pid), span);
    }
    number_of(checker, arguments, "group_leader", span)
}

/// The number of a task that a task refers to, in the scope's namespace.
fn number_of(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, member: &str, span: Span) -> Operand {
    let task = of_task(checker, arguments, &[member], span);
    if task.ty.is_unknown() {
        return task;
    }
    Operand::new(Ty::U32, ExprKind::Ask(Question::TaskId, Box::new(convert(task, &Ty::U64))), span)
}

/// `pcomm`, `pcomm(task)`: the name of the parent's thread that has started this process.
pub fn pcomm(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    of_task(checker, arguments, &["real_parent", "comm"], span)
}

/// `leader_comm`, `leader_comm(task)`: the name of the process's first thread.
pub fn leader_comm(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    of_task(checker, arguments, &["group_leader", "comm"], span)
}

/// What a task refers to: the one at hand, if none is given.
fn of_task(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, path: &[&str], span: Span) -> Operand {
    let task = match arguments.into_iter().next() {
        Some(Argument::Value(task)) if task.ty.is_unknown() => return task,
        Some(Argument::Value(task)) => task,
        _ => calls::curtask(checker, Vec::new(), span),
    };
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
