//! The syntax tree: what was written, nothing about what it means.
//!
//! It is fit for both dialects (bpftrace's language now, D later): a probe specification is a list of colon-separated
//! fields, names are kept as they were written, and no name has been looked up.
//! Every node knows its span.

use crate::compile::source::Span;

/// A whole script, in source order.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// `config = { … }`
    pub config: Vec<ConfigEntry>,
    /// `import "path";` outside of any block.
    pub imports: Vec<Import>,
    /// `struct`, `union`, `enum` definitions.
    pub definitions: Vec<Definition>,
    /// `let @name = kind(size);`
    pub maps: Vec<MapDeclaration>,
    /// `macro name($a, @b, c) { … }`, and `#define NAME expression`, which means the same.
    pub macros: Vec<Macro>,
    /// `fn name($a : type) : type { … }`
    pub functions: Vec<Function>,
    /// Probes with their predicates and actions.
    pub probes: Vec<Probe>,
}

impl Script {
    /// Adds what another file holds.
    pub fn append(&mut self, other: Script) {
        let Script { config, imports, definitions, maps, macros, functions, probes } = other;
        self.config.extend(config);
        self.imports.extend(imports);
        self.definitions.extend(definitions);
        self.maps.extend(maps);
        self.macros.extend(macros);
        self.functions.extend(functions);
        self.probes.extend(probes);
    }
}

/// A name with its place. Sigils (`$`, `@`) are not part of `text`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The name itself; empty for the map `@`.
    pub text: String,
    /// Where it stands, sigil included.
    pub span: Span,
}

/// `name = value` of the config block.
#[derive(Clone, Debug)]
pub struct ConfigEntry {
    /// As written: `max_map_keys`, `BPFTRACE_MAX_MAP_KEYS`, …
    pub name: Name,
    /// A literal, or a bare word as a string.
    pub value: Expr,
}

/// `import "path"`
#[derive(Clone, Debug)]
pub struct Import {
    /// What is between the quotes.
    pub path: String,
    /// The whole statement, without the semicolon.
    pub span: Span,
}

/// A C type definition in the script. One that is written inside another stands before it; if it has no tag, its name
/// is the outer one's, a dot and a number, which nothing in a script can spell.
#[derive(Clone, Debug)]
pub struct Definition {
    /// `struct foo`, `union foo`, `enum foo`.
    pub kind: DefinitionKind,
    /// The tag.
    pub name: Name,
    /// `__attribute__((packed))`: no padding between members.
    pub packed: bool,
    /// From the keyword to the closing brace.
    pub span: Span,
}

/// What a definition defines.
#[derive(Clone, Debug)]
pub enum DefinitionKind {
    /// Members in order.
    Struct(Vec<Member>),
    /// Members in order.
    Union(Vec<Member>),
    /// Enumerators with their explicit values.
    Enum(Vec<(Name, Option<Expr>)>),
}

/// One member of a struct or union.
#[derive(Clone, Debug)]
pub struct Member {
    /// The declared type, array suffixes and pointers applied.
    pub ty: TypeName,
    /// `None`: the members of this struct or union are reached as if they were the outer one's.
    pub name: Option<Name>,
    /// The width of a bit field.
    pub bits: Option<u32>,
}

/// A type as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// What it names.
    pub kind: TypeNameKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a written type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeNameKind {
    /// `uint64`, `unsigned long`, `string`, `pid_t`, …: words joined by one space.
    Named(String),
    /// `struct foo`.
    Struct(String),
    /// `union foo`.
    Union(String),
    /// `enum foo`.
    Enum(String),
    /// `string[64]`, `buf[16]`, `inet[…]`: a named type with a size.
    Sized(String, u64),
    /// `T *`.
    Pointer(Box<TypeName>),
    /// `T[n]`; `None` for `T[]`.
    Array(Box<TypeName>, Option<u64>),
    /// `(T, U)`.
    Tuple(Vec<TypeName>),
    /// `typeof(expr)`, with the expression kept aside.
    TypeOf(Box<ExprKey>),
}

/// An expression inside a type: compared by place only.
#[derive(Clone, Debug)]
pub struct ExprKey(pub Expr);

impl PartialEq for ExprKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.span == other.0.span
    }
}

impl Eq for ExprKey {}

/// `let @name = kind(size);`
#[derive(Clone, Debug)]
pub struct MapDeclaration {
    /// The map.
    pub name: Name,
    /// `hash`, `lruhash`, `percpuhash`, `percpulruhash`, …
    pub kind: Name,
    /// The number of entries.
    pub size: Option<Expr>,
    /// The whole declaration.
    pub span: Span,
}

/// `macro name(…) { … }`
#[derive(Clone, Debug)]
pub struct Macro {
    /// Its name.
    pub name: Name,
    /// Parameters in order.
    pub parameters: Vec<MacroParameter>,
    /// The body.
    pub body: Block,
    /// The whole definition.
    pub span: Span,
}

/// How a macro takes an argument.
#[derive(Clone, Debug)]
pub enum MacroParameter {
    /// `$x`: a variable, by reference.
    Variable(Name),
    /// `@x`: a map, by reference.
    Map(Name),
    /// `x`: an expression, evaluated where it is used.
    Expression(Name),
}

/// `fn name($a : type) : type { … }`
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// Parameters with their types.
    pub parameters: Vec<(Name, TypeName)>,
    /// The type it returns.
    pub returns: TypeName,
    /// The body.
    pub body: Block,
    /// The whole definition.
    pub span: Span,
}

/// `spec, spec / predicate / { body }`
#[derive(Clone, Debug)]
pub struct Probe {
    /// Where it attaches; at least one.
    pub specs: Vec<ProbeSpec>,
    /// The condition between slashes.
    pub predicate: Option<Expr>,
    /// The action.
    pub body: Block,
    /// The whole probe.
    pub span: Span,
}

/// `provider:field:field…`, still text: `tracepoint:syscalls:sys_enter_*`, `uprobe:/bin/sh:main+8`, `BEGIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The fields between colons, unquoted; wildcards as written, positional parameters substituted.
    pub fields: Vec<Name>,
    /// The whole specification.
    pub span: Span,
}

/// `{ statement; … }`, with the value of a block expression if it ends in one without a semicolon.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// In order.
    pub statements: Vec<Stmt>,
    /// The last expression, when the block stands where a value is wanted.
    pub value: Option<Box<Expr>>,
    /// Braces included.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// Which.
    pub kind: StmtKind,
    /// Without the semicolon.
    pub span: Span,
}

/// The forms of a statement.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// An expression for its effect: a call, `@x++`, …
    Expr(Expr),
    /// `let $x : type = value`.
    Let {
        /// The variable.
        name: Name,
        /// Its declared type.
        ty: Option<TypeName>,
        /// Its first value.
        value: Option<Expr>,
    },
    /// `target = value`, or `target op= value`.
    Assign {
        /// A variable, a map entry, a field or an element.
        target: Expr,
        /// The operator of a compound assignment.
        op: Option<BinaryOp>,
        /// The right-hand side.
        value: Expr,
    },
    /// `if (condition) { … } else …`; an `else if` is a block that holds one statement.
    If {
        /// What is tested.
        condition: Expr,
        /// When it is true.
        then: Block,
        /// When it is not.
        otherwise: Option<Block>,
    },
    /// `while (condition) { … }`.
    While {
        /// What is tested before each turn.
        condition: Expr,
        /// The body.
        body: Block,
    },
    /// `unroll(count) { … }`.
    Unroll {
        /// How often; must be known at compile time.
        count: Expr,
        /// The body.
        body: Block,
    },
    /// `for $x : iterable { … }`.
    For {
        /// The variable of each turn.
        variable: Name,
        /// A map or a range.
        iterable: Iterable,
        /// The body.
        body: Block,
    },
    /// `{ … }`.
    Block(Block),
    /// `return value`.
    Return(Option<Expr>),
    /// `_ = value`: the value is not wanted.
    Discard(Expr),
    /// `import "path"` inside a block.
    Import(Import),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// What `for` goes over.
#[derive(Clone, Debug)]
pub enum Iterable {
    /// The entries of a map, as (key, value) tuples.
    Map(Name),
    /// `start..end`, the end not included.
    Range(Expr, Expr),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Which.
    pub kind: ExprKind,
    /// Where it stands, parentheses included.
    pub span: Span,
}

/// The forms of an expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `42`, `0x2a`, `1e6`, `1_000`, `'a'`, durations such as `5s` as nanoseconds. Negative literals are unary minus.
    Integer {
        /// The value.
        value: u64,
        /// `u`, `l`, `ull`, …: whether it was marked unsigned.
        unsigned: bool,
    },
    /// `"text"`, escapes resolved.
    String(String),
    /// `true`, `false`.
    Bool(bool),
    /// `pid`, `curtask`, a macro's parameter, an enumerator: a bare word.
    Identifier(String),
    /// `$x`.
    Variable(String),
    /// `@x` or `@x[key]`; a key of several parts is one tuple.
    Map {
        /// Without the `@`; may be empty.
        name: String,
        /// What is between the brackets.
        key: Option<Box<Expr>>,
    },
    /// `$1`.
    Positional(u32),
    /// `$#`.
    PositionalCount,
    /// `name(arguments)`.
    Call {
        /// The function or macro.
        name: Name,
        /// In order.
        arguments: Vec<Expr>,
    },
    /// `sizeof(type)`, `offsetof(type, a.b)`, `typeinfo(type)`.
    TypeQuery {
        /// `sizeof` or `offsetof`.
        query: TypeQuery,
        /// Of a type, or of an expression's type.
        of: TypeOrExpr,
    },
    /// `op operand`.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// Its operand.
        operand: Box<Expr>,
    },
    /// `left op right`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where it stands.
        op_span: Span,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand.
        right: Box<Expr>,
    },
    /// `condition ? then : otherwise`; without `then`, the condition's own value.
    Ternary {
        /// What is tested.
        condition: Box<Expr>,
        /// When it is not zero; `None` in `a ?: b`.
        then: Option<Box<Expr>>,
        /// When it is zero.
        otherwise: Box<Expr>,
    },
    /// `(type)operand`.
    Cast {
        /// The type named.
        ty: TypeName,
        /// What is converted.
        operand: Box<Expr>,
    },
    /// `base.field`, `base.1`.
    Field {
        /// A struct, record or tuple.
        base: Box<Expr>,
        /// A name, or a number for tuples.
        field: Name,
    },
    /// `base->field`.
    Arrow {
        /// A pointer.
        base: Box<Expr>,
        /// The name.
        field: Name,
    },
    /// `base[index]`.
    Index {
        /// An array, a pointer or a string.
        base: Box<Expr>,
        /// Which element.
        index: Box<Expr>,
    },
    /// `(a, b)`; `(a,)` has one element.
    Tuple(Vec<Expr>),
    /// `(name = value, …)`.
    Record(Vec<(Name, Expr)>),
    /// `{ …; value }` where a value is wanted.
    Block(Block),
    /// `if condition { value } else { value }` where a value is wanted.
    If {
        /// What is tested.
        condition: Box<Expr>,
        /// When it is true.
        then: Block,
        /// When it is not.
        otherwise: Block,
    },
    /// `comptime operand`: must be known when the script is compiled.
    Comptime(Box<Expr>),
    /// `typeof(…)` where a value could stand: a type, for a macro.
    Type(Box<TypeName>),
    /// Could not be parsed; an error has been reported.
    Error,
}

/// `sizeof`, `offsetof` and `typeinfo`.
#[derive(Clone, Debug)]
pub enum TypeQuery {
    /// Bytes of a type.
    SizeOf,
    /// Bytes from the start to a (nested) member.
    OffsetOf(Vec<Name>),
    /// The type's names and kind, as a record.
    TypeInfo,
}

/// A type, or an expression standing for its type. A bare word that is no well-known type name is an expression here:
/// only analysis knows whether it names a type.
#[derive(Clone, Debug)]
pub enum TypeOrExpr {
    /// `struct foo`, `uint64`.
    Type(TypeName),
    /// Anything else.
    Expr(Box<Expr>),
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `~`
    BitNot,
    /// `-`
    Negate,
    /// `*`
    Dereference,
    /// `&`
    AddressOf,
    /// `++x`
    PreIncrement,
    /// `--x`
    PreDecrement,
    /// `x++`
    PostIncrement,
    /// `x--`
    PostDecrement,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `&&`
    And,
    /// `||`
    Or,
}

impl UnaryOp {
    /// As it is written, with `_` for the operand where that says which of two is meant.
    pub fn spelling(self) -> &'static str {
        match self {
            Self::Not => "!",
            Self::BitNot => "~",
            Self::Negate => "-",
            Self::Dereference => "*",
            Self::AddressOf => "&",
            Self::PreIncrement => "++_",
            Self::PreDecrement => "--_",
            Self::PostIncrement => "_++",
            Self::PostDecrement => "_--",
        }
    }
}

impl BinaryOp {
    /// As it is written.
    pub fn spelling(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::BitAnd => "&",
            Self::BitOr => "|",
            Self::BitXor => "^",
            Self::Shl => "<<",
            Self::Shr => ">>",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}
