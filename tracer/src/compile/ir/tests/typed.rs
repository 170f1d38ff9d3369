//! Short ways to write typed programs.

use tracer_common::scope::{Scope, ScopeKind};

use crate::compile::sema::policy::Level;
use crate::compile::sema::typed::*;
use crate::compile::source::Span;
use crate::compile::target::Target;
use crate::plan::{self, Attach, Map, Plan, ProbeId, Shape, Storage};

/// A recent kernel, and a container.
pub fn target() -> Target {
    Target {
        kernel: (6, 12, 0),
        possible_cpus: 2,
        task_storage: true,
        task_registers: true,
        types: None,
        scope: Scope { kind: ScopeKind::Cgroup as u32, ..Scope::default() },
        positional: Vec::new(),
        named: Vec::new(),
        environment: Default::default(),
        command_pid: None,
        binaries: Default::default(),
        cgroups: Default::default(),
        kernel_symbols: std::collections::BTreeMap::new(),
        tai_offset: 0,
        kernel_functions: Vec::new(),
        formats: Vec::new(),
        level: Level::default(),
        allow_unsafe: false,
    }
}

/// A script of one program.
pub fn script(context: Context, maps: Vec<Map>, clauses: Vec<Clause>) -> Script {
    let attach = Attach::RawTracepoint { event: "sys_enter".into() };
    let program = plan::Program { symbol: "p".into(), attach, probes: Vec::new() };
    let subject = if context == Context::None { Subject::Anybody } else { Subject::Current };
    Script {
        programs: vec![Program { context, subject, preemptible: false, clauses }],
        plan: Plan { programs: vec![program], maps, ..Plan::default() },
    }
}

/// A map, of so few keys that there is nothing before its hash.
pub fn map(storage: Storage, key: Option<Shape>, value: plan::Value) -> Map {
    Map { name: "@".into(), storage, key, value, max_keys: 1024, max_entries: 1024 }
}

/// A clause for all events.
pub fn clause(locals: Vec<Local>, predicate: Option<Expr>, body: Vec<StmtKind>) -> Clause {
    let body = body.into_iter().map(stmt).collect();
    Clause {
        selector: Selector::Always,
        probes: vec![ProbeId(0)],
        of_current: false,
        locals,
        predicate,
        body,
        span: Span::default(),
    }
}

/// A statement.
pub fn stmt(kind: StmtKind) -> Stmt {
    Stmt { kind, span: Span::default() }
}

/// An expression.
pub fn expr(shape: Shape, kind: ExprKind) -> Expr {
    Expr { kind, ty: Type::Data(shape), span: Span::default() }
}

/// An `i64`.
pub fn int(number: i64) -> Expr {
    expr(Shape::I64, ExprKind::Int(number))
}

/// A built-in.
pub fn builtin(builtin: Builtin) -> Expr {
    let shape = match builtin {
        Builtin::Comm => Shape::Str { size: 16 },
        Builtin::Register(_) => Shape::U64,
        Builtin::SyscallNumber | Builtin::SyscallResult => Shape::I64,
        Builtin::Pid | Builtin::Tid | Builtin::Uid | Builtin::Gid | Builtin::Cpu | Builtin::Rand => {
            Shape::Int { size: 4, signed: false }
        }
        Builtin::Probe => Shape::Probe,
        Builtin::Nsecs | Builtin::Elapsed | Builtin::CurrentTask | Builtin::Cgroup => Shape::U64,
    };
    expr(shape, ExprKind::Builtin(builtin))
}

/// `a op b`, of the type of `a`; a `Bool` if it is a relation.
pub fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    use BinaryOp::*;
    let Type::Data(operands) = a.ty.clone() else { panic!("an operand of type void") };
    let shape = if matches!(op, Eq | Ne | Lt | Le | Gt | Ge) { Shape::Bool } else { operands };
    expr(shape, ExprKind::Binary(op, Box::new(a), Box::new(b)))
}

/// `(a, b, …)`.
pub fn tuple(parts: Vec<Expr>) -> Expr {
    let shapes = parts.iter().map(|part| match &part.ty {
        Type::Data(shape) => shape.clone(),
        Type::Void => panic!("a part of type void"),
    });
    expr(Shape::Tuple(shapes.collect()), ExprKind::Tuple(parts))
}
