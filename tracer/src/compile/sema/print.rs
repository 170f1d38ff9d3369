//! The typed program as text, for `--emit typed` and tests: maps with how they are kept, records, then each program with
//! its clauses. Numbers carry their type (`1i64`), conversions look like casts.

use super::check::function;
use super::typed::{
    BinaryOp, Builtin, Clause, Context, Expr, ExprKind, Program, Question, Script, Selector, Stmt, StmtKind, Subject,
    Type, UnaryOp,
};
use crate::plan::{
    self, Aggregation, Attach, Frames, KprobeSite, Map, MapId, Piece, Plan, ProbeId, Record, Sample, Shape, Storage,
    Unit, Value,
};
use std::fmt::Write;

/// The whole script. Ends with a newline.
pub fn script(script: &Script) -> String {
    let plan = &script.plan;
    let mut printer = Printer { plan, text: String::new() };
    for map in &plan.maps {
        printer.line(0, &map_line(map));
    }
    for (id, record) in plan.records.iter().enumerate() {
        let record = printer.record(record);
        printer.line(0, &format!("record {id}: {record}"));
    }
    for (program, planned) in script.programs.iter().zip(&plan.programs) {
        printer.program(program, planned);
    }
    printer.text
}

struct Printer<'p> {
    plan: &'p Plan,
    text: String,
}

/// `map @x[int64]: hdr() in an array from -1 of 513 for each CPU`.
fn map_line(map: &Map) -> String {
    let key = map.key.as_ref().map_or(String::new(), |key| format!("[{}]", shape(key)));
    let value = match &map.value {
        Value::Plain(value) => shape(value),
        Value::Aggregation(aggregation) => aggregation_name(*aggregation),
    };
    let storage = match map.storage {
        Storage::Hash => format!("hash of {}", map.max_entries),
        Storage::HashByThread => format!("hash of {}, and a table by thread", map.max_entries),
        Storage::LruHash => format!("hash of the last {}", map.max_entries),
        Storage::PerCpuHash => format!("per-CPU hash of {}", map.max_entries),
        Storage::HashByCpu => format!("hash by CPU of {}", map.max_entries),
        Storage::LiveHash { drops_oldest: false } => format!("live hash of {}", map.max_entries),
        Storage::LiveHash { drops_oldest: true } => format!("live hash of the last {}", map.max_entries),
        Storage::PerCpuArray { first, entries } => format!("per-CPU array of {entries} from {first}"),
        Storage::TaskStorage => "task storage".into(),
    };
    format!("map {}{key}: {value} in {storage}", map.name)
}

impl Printer<'_> {
    fn line(&mut self, depth: usize, line: &str) {
        writeln!(self.text, "{:width$}{line}", "", width = 2 * depth).expect("a string takes all text");
    }

    fn map(&self, map: MapId) -> &str {
        &self.plan.maps[map.0 as usize].name
    }

    fn record(&self, record: &Record) -> String {
        match record {
            Record::Printf { format, arguments } => {
                format!("printf({:?}, {})", pieces(&format.pieces), shape(&Shape::Tuple(arguments.clone())))
            }
            Record::Cat { format, arguments } => {
                format!("cat({:?}, {})", pieces(&format.pieces), shape(&Shape::Tuple(arguments.clone())))
            }
            Record::System { format, arguments } => {
                format!("system({:?}, {})", pieces(&format.pieces), shape(&Shape::Tuple(arguments.clone())))
            }
            Record::Message { severity, format, arguments, .. } => {
                let function = match severity {
                    plan::Severity::Warning => "warnf",
                    plan::Severity::Error => "errorf",
                };
                format!("{function}({:?}, {})", pieces(&format.pieces), shape(&Shape::Tuple(arguments.clone())))
            }
            Record::Time { format } => format!("time({format:?})"),
            Record::Join { separator } => format!("join({separator:?})"),
            Record::PrintValue { value } => format!("print({})", shape(value)),
            Record::PrintMap { map, top, div, emptied: _ } => format!("print({}, {top}, {div})", self.map(*map)),
            Record::PrintEntry { map } => format!("print({}[…])", self.map(*map)),
            Record::PrintTable { maps, headings, top, unit, emptied: _ } => {
                let maps: Vec<&str> = maps.iter().map(|&map| self.map(map)).collect();
                let unit = match unit {
                    Unit::Nanoseconds => "ns",
                    Unit::Plain => "",
                };
                format!("table({}, {top}, {unit:?}) with headings {headings:?}", maps.join(", "))
            }
            Record::Clear { map, printed } => format!("clear({}{})", self.map(*map), kept(*printed)),
            Record::Zero { map, printed } => format!("zero({}{})", self.map(*map), kept(*printed)),
            Record::Exit => "exit".into(),
        }
    }

    fn program(&mut self, program: &Program, planned: &plan::Program) {
        let attach = match &planned.attach {
            Attach::Begin => "begin".into(),
            Attach::End => "end".into(),
            Attach::Interval { period } => format!("every {period} ns"),
            Attach::Signal => "on SIGUSR1".into(),
            Attach::Iterator { over, .. } => format!("over every {over}"),
            Attach::RawTracepoint { event } => format!("raw tracepoint {event}"),
            Attach::Tracepoint { event, .. } => format!("tracepoint {event}, with its record"),
            Attach::Uprobe { file, exit, sites } => {
                let when = if *exit { "returns from" } else { "calls of" };
                let offsets: Vec<String> = sites.iter().take(3).map(|site| format!("{:#x}", site.offset)).collect();
                let more = if sites.len() > 3 { ", …" } else { "" };
                format!("{when} {file} at {}{more}", offsets.join(", "))
            }
            Attach::Sample(Sample { event, every }) => format!("sample of {event:?}, {every:?}"),
            Attach::Kprobe { exit, sites } => {
                let when = if *exit { "returns from" } else { "calls of" };
                let name = |site: &KprobeSite| match site.offset {
                    0 => site.function.clone(),
                    offset => format!("{}+{offset}", site.function),
                };
                let names: Vec<String> = sites.iter().take(3).map(name).collect();
                let more = if sites.len() > 3 { ", …" } else { "" };
                format!("{when} the kernel's {}{more}", names.join(", "))
            }
            Attach::Fentry { exit, sites } => {
                let when = if *exit { "trampoline at returns from" } else { "trampoline at calls of" };
                let names: Vec<&str> = sites.iter().take(3).map(|site| site.function.as_str()).collect();
                let more = if sites.len() > 3 { ", …" } else { "" };
                format!("{when} the kernel's {}{more}", names.join(", "))
            }
        };
        let context = match program.context {
            Context::None
            | Context::SysEnter
            | Context::SysExit
            | Context::Words
            | Context::TypedWords
            | Context::Iterator { .. }
            | Context::Record
            | Context::Registers => "",
            Context::Sample => "",
            Context::FollowFork => ", following forks",
            Context::NoteRequest => ", noting requests",
            Context::NoteStarted { .. } => ", noting requests that begin",
            Context::ForgetTask => ", forgetting followed tasks",
        };
        let scoped = match program.subject {
            Subject::Anybody => String::new(),
            Subject::Current => ", scoped".into(),
            Subject::Task(word) => format!(", scoped by the task in word{word}"),
            Subject::Either(word) => format!(", scoped, or by the task in word{word}"),
            Subject::Socket(word) => format!(", scoped by the socket in word{word}"),
            Subject::Packet(word) => format!(", scoped by the packet in word{word}"),
            Subject::Request { word, or_current: false, .. } => format!(", scoped by the request in word{word}"),
            Subject::Request { word, or_current: true, .. } => format!(", scoped, or by the request in word{word}"),
        };
        self.line(0, &format!("program {}: {attach}{scoped}{context}", planned.symbol));
        for clause in &program.clauses {
            self.clause(clause);
        }
    }

    fn clause(&mut self, clause: &Clause) {
        let probes = match &clause.selector {
            Selector::Always | Selector::Cookie => {
                clause.probes.iter().map(|id| self.probe(*id)).collect::<Vec<_>>().join(", ")
            }
            Selector::Syscalls(numbers) => self.selected(numbers, &clause.probes),
        };
        self.line(1, &format!("clause {probes}"));
        for local in &clause.locals {
            self.line(2, &format!("let ${}: {}", local.name, type_name(&local.ty)));
        }
        if let Some(predicate) = &clause.predicate {
            let predicate = self.expr(predicate, clause);
            self.line(2, &format!("where {predicate}"));
        }
        self.stmts(2, &clause.body, clause);
    }

    fn probe(&self, id: ProbeId) -> String {
        self.plan.probes[id.0 as usize].clone()
    }

    /// The first few of the system calls, and how many there are.
    fn selected(&self, numbers: &[u32], probes: &[ProbeId]) -> String {
        let each = numbers.iter().zip(probes).map(|(number, id)| format!("{} = {number}", self.probe(*id)));
        let shown: Vec<String> = each.take(3).collect();
        match numbers.len() - shown.len() {
            0 => shown.join(", "),
            more => format!("{}, and {more} more", shown.join(", ")),
        }
    }

    fn stmts(&mut self, depth: usize, stmts: &[Stmt], clause: &Clause) {
        for stmt in stmts {
            self.stmt(depth, stmt, clause);
        }
    }

    fn stmt(&mut self, depth: usize, stmt: &Stmt, clause: &Clause) {
        let line = match &stmt.kind {
            StmtKind::Expr(expr) => self.expr(expr, clause),
            StmtKind::SetLocal(local, value) => {
                format!("${} = {}", clause.locals[local.0 as usize].name, self.expr(value, clause))
            }
            StmtKind::SetMap { map, key, value } => {
                format!("{} = {}", self.entry(*map, key.as_ref(), clause), self.expr(value, clause))
            }
            StmtKind::Aggregate { map, key, aggregation, argument, weight } => {
                let arguments: Vec<String> =
                    argument.iter().chain(weight).map(|argument| self.expr(argument, clause)).collect();
                let name = aggregation_name(*aggregation);
                format!("{} = {name} of {}", self.entry(*map, key.as_ref(), clause), arguments.join(", "))
                    .trim_end_matches(" of ")
                    .to_string()
            }
            StmtKind::Delete { map, key } => format!("delete {}", self.entry(*map, key.as_ref(), clause)),
            StmtKind::Emit { record, arguments } => {
                format!("emit {}({})", record.0, self.list(arguments, clause))
            }
            StmtKind::If { condition, then, otherwise } => {
                let condition = self.expr(condition, clause);
                self.line(depth, &format!("if {condition}"));
                self.stmts(depth + 1, then, clause);
                if !otherwise.is_empty() {
                    self.line(depth, "else");
                    self.stmts(depth + 1, otherwise, clause);
                }
                return;
            }
            StmtKind::Block(stmts) => return self.stmts(depth, stmts, clause),
            StmtKind::Loop { condition, body, step } => {
                let condition = self.expr(condition, clause);
                self.line(depth, &format!("while {condition}"));
                self.stmts(depth + 1, body, clause);
                if !step.is_empty() {
                    self.line(depth, "after each turn");
                    self.stmts(depth + 1, step, clause);
                }
                return;
            }
            StmtKind::ForEach { map, entry, body } => {
                let entry = &clause.locals[entry.0 as usize].name;
                self.line(depth, &format!("for ${entry} in {}", self.map(*map)));
                self.stmts(depth + 1, body, clause);
                return;
            }
            StmtKind::Break => "break".into(),
            StmtKind::Continue => "continue".into(),
            StmtKind::Return => "return".into(),
        };
        self.line(depth, &line);
    }

    fn entry(&self, map: MapId, key: Option<&Expr>, clause: &Clause) -> String {
        match key {
            Some(Expr { kind: ExprKind::Tuple(parts), .. }) => {
                format!("{}[{}]", self.map(map), self.list(parts, clause))
            }
            Some(key) => format!("{}[{}]", self.map(map), self.expr(key, clause)),
            None => self.map(map).to_string(),
        }
    }

    fn list(&self, exprs: &[Expr], clause: &Clause) -> String {
        exprs.iter().map(|expr| self.expr(expr, clause)).collect::<Vec<_>>().join(", ")
    }

    fn expr(&self, expr: &Expr, clause: &Clause) -> String {
        let of = |expr: &Expr| self.expr(expr, clause);
        let local = |local: &super::typed::LocalId| format!("${}", clause.locals[local.0 as usize].name);
        match &expr.kind {
            ExprKind::Int(value) => literal(*value, &expr.ty),
            ExprKind::Str(text) => format!("{text:?}:{}", type_name(&expr.ty)),
            ExprKind::Local(id) => local(id),
            ExprKind::MapGet { map, key } => self.entry(*map, key.as_deref(), clause),
            ExprKind::HasKey { map, key } => format!("has {}", self.entry(*map, key.as_deref(), clause)),
            ExprKind::MapAdd { map, key, delta, post } => {
                added(&self.entry(*map, key.as_deref(), clause), *delta, *post)
            }
            ExprKind::LocalAdd { local: id, delta, post } => added(&local(id), *delta, *post),
            ExprKind::Builtin(builtin) => builtin_name(*builtin),
            ExprKind::SyscallArgument(register) => format!("arg{register}:{}", type_name(&expr.ty)),
            ExprKind::Ask(question, of_what) => {
                let question = match question {
                    Question::InScope => "in_scope",
                    Question::TaskId => "task_id",
                    Question::ProcessId => "process_id",
                    Question::PidNumber => "pid_number",
                    Question::RequestLetters => "request_letters",
                };
                format!("{question}({})", of(of_what))
            }
            ExprKind::ContextWord(word) => format!("word{word}:{}", type_name(&expr.ty)),
            ExprKind::Stack { user, depth } => format!("stack({}, {depth})", space(*user)),
            ExprKind::Address(address) => format!("address({})", of(address)),
            ExprKind::ContextAddress => "record".into(),
            ExprKind::ReadStr { address, user, length } => {
                let length = length.as_ref().map_or(String::new(), |length| format!(", {}", of(length)));
                format!("text({} {}{length}):{}", space(*user), of(address), type_name(&expr.ty))
            }
            ExprKind::Read { address, user } => {
                format!("read({} {}):{}", space(*user), of(address), type_name(&expr.ty))
            }
            ExprKind::Call(function, arguments) => {
                format!("{}({}):{}", function.name(), self.list(arguments, clause), type_name(&expr.ty))
            }
            ExprKind::Convert(inner) => format!("({}){}", type_name(&expr.ty), of(inner)),
            ExprKind::Unary(op, operand) => format!("{}{}", unary(*op), of(operand)),
            ExprKind::Binary(op, a, b) => format!("({} {} {})", of(a), binary(*op), of(b)),
            ExprKind::And(a, b) => format!("({} && {})", of(a), of(b)),
            ExprKind::Or(a, b) => format!("({} || {})", of(a), of(b)),
            ExprKind::StrEqual { a, b, length } => {
                let length = length.map_or(String::new(), |length| format!(", {length}"));
                format!("same({}, {}{length})", of(a), of(b))
            }
            ExprKind::Ternary(condition, then, otherwise) => {
                format!("({} ? {} : {})", of(condition), of(then), of(otherwise))
            }
            ExprKind::OrElse(a, b) => format!("({} ?: {})", of(a), of(b)),
            ExprKind::Index { base, index } => format!("{}[{}]", of(base), of(index)),
            ExprKind::Tuple(parts) => format!("({})", self.list(parts, clause)),
            ExprKind::Block(block, value) => {
                let mut inside = Printer { plan: self.plan, text: String::new() };
                inside.stmts(0, block, clause);
                let statements: String = inside.text.lines().map(|line| format!("{}; ", line.trim())).collect();
                format!("{{ {statements}{} }}", of(value))
            }
            ExprKind::Element(tuple, index) => format!("{}.{index}", of(tuple)),
        }
    }
}

fn literal(value: i64, ty: &Type) -> String {
    match ty {
        Type::Data(Shape::Int { size, signed: true }) => format!("{value}i{}", 8 * u32::from(*size)),
        Type::Data(Shape::Int { size, signed: false }) => format!("{}u{}", value as u64, 8 * u32::from(*size)),
        Type::Data(Shape::Bool) => (value != 0).to_string(),
        other => format!("{value}:{}", type_name(other)),
    }
}

fn added(target: &str, delta: i64, post: bool) -> String {
    match (delta, post) {
        (1, true) => format!("{target}++"),
        (-1, true) => format!("{target}--"),
        (1, false) => format!("++{target}"),
        (-1, false) => format!("--{target}"),
        (delta, _) => format!("({target} += {delta})"),
    }
}

fn space(user: bool) -> &'static str {
    if user { "user" } else { "kernel" }
}

fn type_name(ty: &Type) -> String {
    match ty {
        Type::Void => "void".into(),
        Type::Data(data) => shape(data),
    }
}

fn shape(data: &Shape) -> String {
    match data {
        Shape::Int { size, signed } => format!("{}int{}", if *signed { "" } else { "u" }, 8 * u32::from(*size)),
        Shape::Bool => "bool".into(),
        Shape::Str { size } => format!("string[{size}]"),
        Shape::Tuple(parts) => format!("({})", parts.iter().map(shape).collect::<Vec<_>>().join(",")),
        Shape::Pointer => "pointer".into(),
        Shape::Probe => "probe".into(),
        Shape::Syscall => "syscall".into(),
        Shape::Enum { size, signed, .. } => format!("enum{}", shape(&Shape::Int { size: *size, signed: *signed })),
        Shape::Array { element, length } => format!("{}[{length}]", shape(element)),
        Shape::Record { members, .. } => {
            let members =
                members.iter().map(|member| format!("{}@{}: {}", member.name, member.offset, shape(&member.shape)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Shape::Name(naming) => format!("name of {naming:?}"),
        Shape::Buffer { size } => format!("buffer[{size}]"),
        Shape::Inet => "inet".into(),
        Shape::Mac => "mac".into(),
        Shape::Stack(Frames { user, style, lines }) => {
            let whose = if *user { "ustack" } else { "kstack" };
            let lines = if *lines { " with lines" } else { "" };
            format!("{whose}({}{lines})", format!("{style:?}").to_lowercase())
        }
    }
}

fn aggregation_name(aggregation: Aggregation) -> String {
    match aggregation {
        Aggregation::Hist { bits } => format!("hist({bits})"),
        Aggregation::Linear { min, max, step } => format!("lhist({min}, {max}, {step})"),
        Aggregation::Series(crate::plan::Series { interval, intervals, function, signed }) => {
            let sign = if signed { "signed " } else { "" };
            format!("{sign}tseries({interval}, {intervals}, {function:?})")
        }
        other if other.signed() => format!("signed {}", function(other)),
        other => function(other).into(),
    }
}

/// The format as it could have been written, without what has no effect.
fn pieces(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace('%', "%%"),
        Piece::Argument { left, zero, plus, space, alternate, width, precision, bytes, conversion } => {
            let flags = [(left, '-'), (zero, '0'), (plus, '+'), (space, ' '), (alternate, '#')];
            let flags: String = flags.iter().filter(|(set, _)| **set).map(|(_, flag)| *flag).collect();
            let width = width.map_or(String::new(), |width| width.to_string());
            let precision = precision.map_or(String::new(), |precision| format!(".{precision}"));
            let length = match bytes {
                1 => "hh",
                2 => "h",
                8 => "l",
                _ => "",
            };
            format!("%{flags}{width}{precision}{length}{}", conversion_letter(*conversion))
        }
    };
    pieces.iter().map(piece).collect()
}

fn conversion_letter(conversion: plan::Conversion) -> &'static str {
    match conversion {
        plan::Conversion::Signed => "d",
        plan::Conversion::Unsigned => "u",
        plan::Conversion::Hex => "x",
        plan::Conversion::HexUpper => "X",
        plan::Conversion::Octal => "o",
        plan::Conversion::Pointer => "p",
        plan::Conversion::Char => "c",
        plan::Conversion::Text => "s",
        plan::Conversion::Escaped => "r",
        plan::Conversion::Hexadecimal => "rx",
        plan::Conversion::Spaced => "rh",
        plan::Conversion::AllocationFlags => "gr",
    }
}

fn builtin_name(builtin: Builtin) -> String {
    let name = match builtin {
        Builtin::Register(register) => return format!("register_{}", register.0),
        Builtin::Pid => "pid",
        Builtin::Tid => "tid",
        Builtin::Uid => "uid",
        Builtin::Gid => "gid",
        Builtin::Comm => "comm",
        Builtin::Nsecs => "nsecs",
        Builtin::Elapsed => "elapsed",
        Builtin::Cpu => "cpu",
        Builtin::CurrentTask => "curtask",
        Builtin::Cgroup => "cgroup",
        Builtin::Rand => "rand",
        Builtin::Probe => "probe",
        Builtin::SyscallNumber => "syscall_number",
        Builtin::SyscallResult => "syscall_result",
    };
    name.into()
}

fn unary(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Negate => "-",
        UnaryOp::BitNot => "~",
        UnaryOp::Not => "!",
    }
}

fn binary(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Mod => "%",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "^",
        BinaryOp::Shl => "<<",
        BinaryOp::Shr => ">>",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
    }
}

/// What `clear` and `zero` leave.
fn kept(printed: bool) -> &'static str {
    if printed { " as printed" } else { "" }
}
