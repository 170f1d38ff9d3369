//! What only the kernel knows of its own: addresses of symbols, paths of files, cookies of sockets.

use super::super::operand::{binary, constant, convert};
use super::super::{Argument, Checker, Operand};
use super::call;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::sema::functions::Function;
use crate::compile::sema::policy::Data;
use crate::compile::sema::probes::Event;
use crate::compile::sema::typed::{self, Builtin, Expr, ExprKind};
use crate::compile::sema::types::Ty;
use crate::compile::source::Span;
use crate::compile::target::CPU_OFFSETS;

/// `kaddr("symbol")`: its address.
pub fn kaddr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let Some(Argument::Literal(name, at)) = arguments.into_iter().next() else { return Operand::unknown(span) };
    match symbol(checker, &name, at) {
        Some(address) => Operand { ty: Ty::U64, expr: constant(&Ty::U64, address as i64, span), literal: false },
        None => Operand::unknown(span),
    }
}

/// `percpu_kaddr("symbol")`, `percpu_kaddr("symbol", cpu)`: the address of this CPU's own, or of another one's; 0 if there is no
/// such CPU.
pub fn percpu_kaddr(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let mut arguments = arguments.into_iter();
    let Some(Argument::Literal(name, at)) = arguments.next() else { return Operand::unknown(span) };
    let cpu = match arguments.next() {
        Some(Argument::Value(cpu)) if cpu.ty.is_unknown() => return cpu,
        Some(Argument::Value(cpu)) => convert(cpu, &Ty::U64),
        _ => convert(Operand::new(Ty::U32, ExprKind::Builtin(Builtin::Cpu), span), &Ty::U64),
    };
    let (Some(address), Some(offsets)) = (symbol(checker, &name, at), symbol(checker, CPU_OFFSETS, at)) else {
        return Operand::unknown(span);
    };
    let number = |value: u64| constant(&Ty::U64, value as i64, span);
    let op = |op, a: Expr, b: Expr, ty: &Ty| binary(op, a, b, ty, span);
    let cpus = checker.target.possible_cpus;
    // What is read where there is no such CPU is that of the first.
    let there = op(typed::BinaryOp::Lt, cpu.clone(), number(cpus.into()), &Ty::Bool);
    let index = ExprKind::Ternary(Box::new(there.clone()), Box::new(cpu), Box::new(number(0)));
    let index = Expr { kind: index, ty: Ty::U64.typed(), span };
    let place =
        op(typed::BinaryOp::Add, number(offsets), op(typed::BinaryOp::Mul, index, number(8), &Ty::U64), &Ty::U64);
    let offset = ExprKind::Read { address: Box::new(place), user: false };
    let own = op(typed::BinaryOp::Add, number(address), Expr { kind: offset, ty: Ty::U64.typed(), span }, &Ty::U64);
    let kind = ExprKind::Ternary(Box::new(there), Box::new(own), Box::new(number(0)));
    let expr = Expr { kind, ty: Ty::U64.typed(), span };
    Operand { expr: convert(Operand { ty: Ty::U64, expr, literal: false }, &pointer()), ty: pointer(), literal: false }
}

/// What the address of a symbol is, whose type is not known.
fn pointer() -> Ty {
    Ty::Pointer { to: Box::new(Ty::U64), user: false }
}

fn symbol(checker: &mut Checker<'_>, name: &str, at: Span) -> Option<u64> {
    checker.allow(Data::KernelMemory, "the address of a symbol of the kernel", at);
    let found = checker.target.kernel_symbols.get(name).copied();
    if found.is_none() {
        let error = Diagnostic::error(
            at,
            format!("there is no symbol `{name}` in /proc/kallsyms, or its address is not shown"),
        );
        checker
            .report(error.help(
                "addresses are shown to those with CAP_SYSLOG, data to all whose kernel has CONFIG_KALLSYMS_ALL",
            ));
    }
    found
}

/// Functions that the kernel lets a program name files in: `btf_allowlist_d_path` in kernel/trace/bpf_trace.c.
const WITH_PATHS: [&str; 9] = [
    "dentry_open",
    "filp_close",
    "security_file_open",
    "security_file_permission",
    "security_inode_getattr",
    "security_path_truncate",
    "vfs_fallocate",
    "vfs_getattr",
    "vfs_truncate",
];

/// `path(p)`, `path(p, size)`: the name of a file, from the root of the process on.
pub fn path(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let allowed = match checker.event() {
        Event::KernelCall { function, .. } => {
            WITH_PATHS.contains(&checker.target.kernel_functions[function].name.as_str())
        }
        Event::Iterator { .. } => true,
        _ => false,
    };
    if !allowed {
        let error = Diagnostic::error(span, "the kernel does not let a program name files here");
        let error = error.label(format!("it does in `iter`, and in `fentry` and `fexit` of {}", WITH_PATHS.join(", ")));
        return checker
            .refuse_with(error.help("at a system call, `str(args.filename)` is the name that the program gives"));
    }
    let mut arguments = arguments.into_iter();
    let Some(Argument::Value(path)) = arguments.next() else { return Operand::unknown(span) };
    let most = checker.settings.max_strlen;
    let size = match arguments.next() {
        Some(Argument::Value(Operand { expr: Expr { kind: ExprKind::Int(size), .. }, literal: true, .. })) => {
            u32::try_from(size).unwrap_or(most).clamp(1, most)
        }
        None => most,
        _ => return checker.refuse(span, "the size of a path must be written out"),
    };
    if path.ty.is_unknown() {
        return path;
    }
    let at = path.span();
    let is_path = |ty: &Ty| ty.to_string() == "struct path";
    let address = match (path.expr.kind, &path.ty) {
        (ExprKind::Read { address, user: false }, ty) if is_path(ty) => *address,
        (kind, Ty::Pointer { to, user: false }) if is_path(to) => Expr { kind, ..path.expr },
        (_, ty) => {
            let error = Diagnostic::error(at, "`path()` expects a `struct path` of the kernel here");
            return checker.refuse_with(error.label(format!("this is of type `{ty}`")));
        }
    };
    if !is_typed(&address) {
        let error = Diagnostic::error(
            at,
            "the kernel names the file of an argument only, or of what lies in what that points to",
        );
        return checker.refuse_with(error.help("as in `path(args.file.f_path)`"));
    }
    checker.allow(Data::KernelMemory, "`path`", span);
    call(Function::ReadPath, vec![address], Ty::Str(size), span)
}

/// `socket_cookie(socket)`: the number that the kernel has given to a socket.
pub fn socket_cookie(checker: &mut Checker<'_>, arguments: Vec<Argument<'_>>, span: Span) -> Operand {
    let help = "the kernel gives cookies only where it knows that an argument is a `struct sock *`";
    if !matches!(checker.event(), Event::KernelCall { .. }) {
        let error = Diagnostic::error(span, "`socket_cookie()` can only be used in `fentry` and `fexit` probes");
        return checker.refuse_with(error.help(help));
    }
    let Some([socket]) = super::values(arguments) else { return Operand::unknown(span) };
    let at = socket.span();
    if !matches!(socket.ty, Ty::Pointer { user: false, .. }) || !is_typed(&socket.expr) {
        let error = Diagnostic::error(at, "`socket_cookie()` expects an argument of the function here");
        return checker.refuse_with(error.help(help));
    }
    call(Function::SocketCookie, vec![socket.expr], Ty::U64, span)
}

/// Whether the verifier knows what is there: a word of the context, or a place in what that points to.
fn is_typed(address: &Expr) -> bool {
    match &address.kind {
        ExprKind::ContextWord(_) => true,
        ExprKind::Convert(inner) => is_typed(inner),
        ExprKind::Binary(typed::BinaryOp::Add, base, offset) => {
            is_typed(base) && matches!(offset.kind, ExprKind::Int(_))
        }
        _ => false,
    }
}
