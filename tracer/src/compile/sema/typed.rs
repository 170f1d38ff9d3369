//! The typed program: what analysis hands to lowering. Every name is looked up, every type known, every constant
//! argument checked; nothing in it can be wrong any more.
//!
//! Evaluation is as written, left to right. Conversions are explicit ([`ExprKind::Convert`]); operands of an operator
//! have the operator's type; conditions have type `Bool` or an integer, which is true when it is not zero.

pub use super::functions::Function;
use crate::compile::source::Span;
use crate::plan::{Aggregation, MapId, Plan, ProbeId, RecordId, Shape};

/// A whole script, ready for lowering.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// In the order of the plan's programs.
    pub programs: Vec<Program>,
    /// Programs, probes, maps, records.
    pub plan: Plan,
}

/// One BPF program: all that happens at one place of attachment.
#[derive(Clone, Debug)]
pub struct Program {
    /// How the program reaches its arguments.
    pub context: Context,
    /// Whose its events are. Those of others than the scope's are dropped first.
    pub subject: Subject,
    /// Whether the program may be pre-empted by another run of a program on the same CPU that updates the same per-CPU
    /// value (uprobes and the like): aggregations are then atomic.
    pub preemptible: bool,
    /// In script order. A `return` leaves its clause only.
    pub clauses: Vec<Clause>,
}

/// Whose the events of a program are. A word is that of the context; an offset is where that, or what it points to, has a
/// pointer to a `struct bio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nobody's in particular: all of them count.
    Anybody,
    /// The current task's.
    Current,
    /// Those of the `struct task_struct` in this word.
    Task(u8),
    /// Those of the current task, and those of the `struct task_struct` in this word.
    Either(u8),
    /// Those of the `struct sock` in this word.
    Socket(u8),
    /// Those of the `struct sk_buff` in this word.
    Packet(u8),
    /// Those of whoever made a request to a block device.
    Request {
        /// A `struct bio`, a `struct request` that was noted when it began, or one that has a pointer to a `struct bio`.
        word: u8,
        /// Where that pointer is; `None` if the word itself has been noted.
        bio: Option<u32>,
        /// The current task's, too.
        or_current: bool,
    },
}

/// What a program's context pointer points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Nothing of interest.
    None,
    /// Raw tracepoint `sys_enter`: `u64 regs` (a `struct pt_regs *`), `u64 id`.
    SysEnter,
    /// Raw tracepoint `sys_exit`: `u64 regs`, `u64 ret`.
    SysExit,
    /// Words of 64 bits, one for each argument: raw tracepoints.
    Words,
    /// The same at calls and returns of functions of the kernel, with the result behind them at returns. To the verifier
    /// some of the words are typed pointers.
    TypedWords,
    /// `struct bpf_iter__NAME`: words, some of them typed pointers. The first is a `struct bpf_iter_meta *`, the second what the
    /// kernel has come to, or 0 when there is no more.
    Iterator {
        /// Where the former has the file to write to, whose reader is told that way how far it is.
        output: u32,
    },
    /// `struct pt_regs`, the registers of the process where it was stopped.
    Registers,
    /// `struct bpf_perf_event_data`, which begins with the registers of whatever was interrupted.
    Sample,
    /// The record of a tracepoint's event, as tracefs describes it, but for its first eight bytes.
    Record,
    /// Raw tracepoint `sched_process_fork`, where [`Clause`]s are empty and the runtime follows the traced tree. Wanted,
    /// together with [`Context::ForgetTask`], whenever the scope's process filter is `Tree`.
    FollowFork,
    /// Raw tracepoint `block_bio_queue`, where [`Clause`]s are empty and the runtime notes the scope's requests. Wanted
    /// whenever a program's subject is [`Subject::Request`].
    NoteRequest,
    /// Raw tracepoint `block_io_start`, where [`Clause`]s are empty and the runtime notes the scope's requests under
    /// their own address: at their end, they have no `struct bio` any more.
    NoteStarted {
        /// Where in a `struct request` the pointer to its `struct bio` is.
        bio: u32,
    },
    /// Raw tracepoint `sched_process_free`, where [`Clause`]s are empty and the runtime forgets a followed task.
    ForgetTask,
}

/// A probe's predicate and action.
#[derive(Clone, Debug)]
pub struct Clause {
    /// Which of the program's events it is for.
    pub selector: Selector,
    /// The probes it was written for that this program covers; one unless the selector tells them apart.
    pub probes: Vec<ProbeId>,
    /// Whether it asks for the current task, so that it runs only where that one is in scope, whoever the event is about.
    pub of_current: bool,
    /// Variables, parameters first.
    pub locals: Vec<Local>,
    /// The condition; the action runs when it is true.
    pub predicate: Option<Expr>,
    /// The action.
    pub body: Vec<Stmt>,
    /// The probe in the source.
    pub span: Span,
}

/// Which events of a program a clause is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All.
    Always,
    /// Native (not 32-bit) system calls with these numbers, sorted, each with its probe: `Clause::probes[i]` belongs to
    /// the i-th.
    Syscalls(Vec<u32>),
    /// All; the cookie of the place is the probe's index.
    Cookie,
}

/// A `$variable`, or one made by the compiler.
#[derive(Clone, Debug)]
pub struct Local {
    /// As the script names it.
    pub name: String,
    /// What it holds. It starts as zero.
    pub ty: Type,
}

/// Index into [`Clause::locals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalId(pub u32);

/// The type of a value: its layout in memory, and what the compiler knows besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// No value.
    Void,
    /// Has a layout. Integers, `Bool`, `Pointer`, `Probe` and `Syscall` are numbers of the IR; `Str` and `Tuple` live in
    /// memory.
    Data(Shape),
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// Which.
    pub kind: StmtKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a statement.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// Evaluates for effect (`@x++`, `delete(@x[1])` as a value, …).
    Expr(Expr),
    /// `$x = value`; the value has the variable's type.
    SetLocal(LocalId, Expr),
    /// `@x[key] = value` of a plain map; key and value have the map's types.
    SetMap {
        /// The map.
        map: MapId,
        /// Its key, if it has keys.
        key: Option<Expr>,
        /// The new value.
        value: Expr,
    },
    /// `@x[key] = count()` and its like.
    Aggregate {
        /// The map.
        map: MapId,
        /// Its key, if it has keys.
        key: Option<Expr>,
        /// Which.
        aggregation: Aggregation,
        /// What is aggregated, an 8-byte integer; `None` for `count()`.
        argument: Option<Expr>,
        /// How often it counts (`hist` and `lhist` with a weight): 1 unless said. Of a series, when it is: atomic time in ns.
        weight: Option<Expr>,
    },
    /// `delete(@x[key])`, of any map.
    Delete {
        /// The map.
        map: MapId,
        /// Its key, if it has keys.
        key: Option<Expr>,
    },
    /// Writes a record: the arguments are its payload, laid out as a tuple.
    Emit {
        /// Which.
        record: RecordId,
        /// The payload.
        arguments: Vec<Expr>,
    },
    /// `if`.
    If {
        /// What is tested.
        condition: Expr,
        /// When it is true.
        then: Vec<Stmt>,
        /// When it is not.
        otherwise: Vec<Stmt>,
    },
    /// `unroll` with its count resolved, and blocks: statements in a row.
    Block(Vec<Stmt>),
    /// Turns as long as the condition holds.
    Loop {
        /// What is tested before each turn.
        condition: Expr,
        /// What is done in each.
        body: Vec<Stmt>,
        /// What is done after each, also after one that `continue` has ended.
        step: Vec<Stmt>,
    },
    /// `for $entry : @map`: a turn for each entry of a plain map in a hash.
    ForEach {
        /// The map.
        map: MapId,
        /// A tuple of the entry's key and value.
        entry: LocalId,
        /// What is done in each turn.
        body: Vec<Stmt>,
    },
    /// Leaves the innermost loop.
    Break,
    /// Ends the turn of the innermost loop.
    Continue,
    /// Leaves the clause.
    Return,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Which.
    pub kind: ExprKind,
    /// Its type.
    pub ty: Type,
    /// Where it stands.
    pub span: Span,
}

impl StmtKind {
    /// The expressions directly in the statement, in the order of their evaluation.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Self::Expr(expr)
            | Self::SetLocal(_, expr)
            | Self::If { condition: expr, .. }
            | Self::Loop { condition: expr, .. } => {
                vec![expr]
            }
            Self::SetMap { key, value, .. } => key.iter().chain([value]).collect(),
            Self::Aggregate { key, argument, weight, .. } => key.iter().chain(argument).chain(weight).collect(),
            Self::Delete { key, .. } => key.iter().collect(),
            Self::Emit { arguments, .. } => arguments.iter().collect(),
            Self::Block(_) | Self::ForEach { .. } | Self::Break | Self::Continue | Self::Return => Vec::new(),
        }
    }

    /// The blocks inside the statement.
    pub fn blocks(&self) -> Vec<&[Stmt]> {
        match self {
            Self::If { then, otherwise, .. } => vec![then, otherwise],
            Self::Loop { body, step, .. } => vec![body, step],
            Self::Block(block) | Self::ForEach { body: block, .. } => vec![block],
            _ => Vec::new(),
        }
    }
}

impl Stmt {
    /// The expressions in the statement and in those inside it, in their order.
    fn all_exprs(&self) -> Vec<&Expr> {
        let inside = self.kind.blocks().into_iter().flatten().flat_map(Self::all_exprs);
        self.kind.exprs().into_iter().chain(inside).collect()
    }

    /// Whether the statement, or one inside it, is such; those in blocks that stand as values included.
    pub fn any(&self, is_such: &mut impl FnMut(&Stmt) -> bool) -> bool {
        is_such(self)
            || self.kind.exprs().into_iter().any(|expr| expr.any_stmt(is_such))
            || self.kind.blocks().into_iter().flatten().any(|stmt| stmt.any(is_such))
    }
}

impl Expr {
    /// Whether a statement inside the expression is such.
    pub fn any_stmt(&self, is_such: &mut impl FnMut(&Stmt) -> bool) -> bool {
        self.any(&mut |expr| match &expr.kind {
            ExprKind::Block(block, _) => block.iter().any(|stmt| stmt.any(is_such)),
            _ => false,
        })
    }

    /// Whether the expression, or one inside it, is such.
    pub fn any(&self, is_such: &mut impl FnMut(&Expr) -> bool) -> bool {
        is_such(self) || self.kind.parts().into_iter().any(|part| part.any(is_such))
    }
}

impl ExprKind {
    /// The expressions directly inside, in the order of their evaluation.
    pub fn parts(&self) -> Vec<&Expr> {
        match self {
            Self::Int(_)
            | Self::Str(_)
            | Self::Local(_)
            | Self::LocalAdd { .. }
            | Self::Builtin(_)
            | Self::SyscallArgument(_)
            | Self::Stack { .. }
            | Self::ContextWord(_)
            | Self::ContextAddress => Vec::new(),
            Self::MapGet { key, .. } | Self::HasKey { key, .. } | Self::MapAdd { key, .. } => {
                key.as_deref().into_iter().collect()
            }
            Self::ReadStr { address, length, .. } => [address].into_iter().chain(length).map(|part| &**part).collect(),
            Self::Ask(_, part)
            | Self::Read { address: part, .. }
            | Self::Address(part)
            | Self::Convert(part)
            | Self::Unary(_, part)
            | Self::Element(part, _) => vec![part],
            Self::OrElse(a, b) | Self::Index { base: a, index: b } => vec![a, b],
            Self::Binary(_, a, b) | Self::And(a, b) | Self::Or(a, b) | Self::StrEqual { a, b, .. } => vec![a, b],
            Self::Ternary(a, b, c) => vec![a, b, c],
            Self::Tuple(parts) | Self::Call(_, parts) => parts.iter().collect(),
            Self::Block(block, value) => {
                let inside = block.iter().flat_map(Stmt::all_exprs);
                inside.chain([&**value]).collect()
            }
        }
    }
}

/// The forms of an expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A number, sign- or zero-extended as its type asks for.
    Int(i64),
    /// A text; its type's size includes the NUL.
    Str(String),
    /// A variable's value.
    Local(LocalId),
    /// A plain map's value, zero where there is no such key.
    MapGet {
        /// The map.
        map: MapId,
        /// Its key, if it has keys.
        key: Option<Box<Expr>>,
    },
    /// Whether a key is there.
    HasKey {
        /// The map.
        map: MapId,
        /// Its key.
        key: Option<Box<Expr>>,
    },
    /// `@x++` and its like on a plain integer map; the value before or after.
    MapAdd {
        /// The map.
        map: MapId,
        /// Its key, if it has keys.
        key: Option<Box<Expr>>,
        /// What is added.
        delta: i64,
        /// Whether the value is the one before.
        post: bool,
    },
    /// `$x++` and its like.
    LocalAdd {
        /// The variable.
        local: LocalId,
        /// What is added.
        delta: i64,
        /// Whether the value is the one before.
        post: bool,
    },
    /// Something the kernel knows.
    Builtin(Builtin),
    /// Register `n` of the system call's arguments (`args.…`, 0 to 5).
    SyscallArgument(u8),
    /// Word `n` of a context that begins with words ([`Context::Words`], `SysEnter`, `SysExit`).
    ContextWord(u8),
    /// Where the record of [`Context::Record`] lies, or the words of [`Context::Iterator`].
    ContextAddress,
    /// The stack here, of the process or of the kernel: a `Shape::Stack`.
    Stack {
        /// The process's.
        user: bool,
        /// Most frames.
        depth: u32,
    },
    /// An address of the process as something that can be named later: a `Shape::Stack` of one frame.
    Address(Box<Expr>),
    /// What the runtime library knows of something in the kernel, given its address.
    Ask(Question, Box<Expr>),
    /// `str(address, length)`: text from the traced process's or the kernel's memory.
    ReadStr {
        /// Where.
        address: Box<Expr>,
        /// The address is the process's.
        user: bool,
        /// At most so many bytes, the NUL included; never more than the type's size.
        length: Option<Box<Expr>>,
    },
    /// A value read from memory: a number, an array or a C structure. Zero where it cannot be read.
    Read {
        /// Where.
        address: Box<Expr>,
        /// The address is the process's.
        user: bool,
    },
    /// `function(arguments)`.
    Call(Function, Vec<Expr>),
    /// To the expression's type: integers to another width or signedness, text to a longer size, an integer to an array
    /// of as many bytes and back.
    Convert(Box<Expr>),
    /// One operand.
    Unary(UnaryOp, Box<Expr>),
    /// Two operands of one type, which is the result's, but for comparisons (`Bool`) and shifts.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `&&`: the right operand only if the left is true.
    And(Box<Expr>, Box<Expr>),
    /// `||`: the right operand only if the left is false.
    Or(Box<Expr>, Box<Expr>),
    /// Whether two texts are equal, up to `length` bytes or the end (`strncmp(a, b, n) == 0`, `a == b`).
    StrEqual {
        /// Left.
        a: Box<Expr>,
        /// Right.
        b: Box<Expr>,
        /// At most so many bytes.
        length: Option<u32>,
    },
    /// `condition ? then : otherwise`.
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `a ?: b`: a number that is not zero, a text that is not empty, or else the other.
    OrElse(Box<Expr>, Box<Expr>),
    /// `(a, b)`: the parts of a tuple, the members of a record, the elements of an array.
    Tuple(Vec<Expr>),
    /// `{ …; value }`: statements, then a value.
    Block(Vec<Stmt>, Box<Expr>),
    /// `tuple.n`: a part by its place, a member of a record, an element of an array. Of a bit-field, the integer that it
    /// lies in.
    Element(Box<Expr>, u32),
    /// A number in an array, or a byte of a text; 0 where there is no such element.
    Index {
        /// The array or text.
        base: Box<Expr>,
        /// Which, a `uint64`.
        index: Box<Expr>,
    },
}

/// What the kernel knows without being given anything. Evaluated at most once in a run of a program, but for `Nsecs`,
/// `Elapsed` and `Rand`, which are looked at anew wherever they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// Process id, `u32`, in the scope's namespace.
    Pid,
    /// Thread id, `u32`, in the scope's namespace.
    Tid,
    /// User id, `u32`.
    Uid,
    /// Group id, `u32`.
    Gid,
    /// Name of the thread, `Str { size: 16 }`.
    Comm,
    /// Nanoseconds since boot, suspension included as bpftrace's `nsecs` does, `u64`.
    Nsecs,
    /// Nanoseconds since the script began, `u64`.
    Elapsed,
    /// The CPU, `u32`.
    Cpu,
    /// The address of the current `task_struct`, `u64`.
    CurrentTask,
    /// The cgroup (v2) id, `u64`.
    Cgroup,
    /// A random number, `u32`.
    Rand,
    /// The probe that fired.
    Probe,
    /// The number of the system call at `sys_enter` or `sys_exit`, `i64`.
    SyscallNumber,
    /// What a system call returned, `i64`.
    SyscallResult,
    /// A register of the process at [`Context::Registers`], `u64`.
    Register(Register),
}

/// What can be asked of the runtime library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether a task is in scope, `Bool`.
    InScope,
    /// A task's number in the scope's pid namespace, `u32`; 0 if it has none there.
    TaskId,
    /// The number of a task's process there, likewise.
    ProcessId,
    /// The number of a `struct pid` in that namespace, `u32`.
    PidNumber,
    /// What the flags of a block request mean, in letters, the first in the lowest byte, `u64`.
    RequestLetters,
}

/// Where `struct pt_regs` keeps a register: the offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register(pub u8);

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `~`
    BitNot,
    /// `!`, of type `Bool`.
    Not,
}

/// Operators with two operands. Signedness is the operands' type's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Shl,
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}
