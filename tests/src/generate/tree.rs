//! A script as a tree. Whoever makes one sees to its types: every node says which it has.

use super::types::{Int, Ty};

/// A script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// `@m0`, `@m1`, …
    pub maps: Vec<Map>,
    /// The types of `$v0`, `$v1`, …; none is used in two clauses.
    pub locals: Vec<Ty>,
    /// In order.
    pub clauses: Vec<Clause>,
}

/// A map.
#[derive(Clone, Debug)]
pub struct Map {
    /// Its key, if it has keys.
    pub key: Option<Ty>,
    /// What it holds.
    pub value: Holds,
}

/// What a map holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Values of this type.
    Plain(Ty),
    /// An aggregation.
    Aggregation(Aggregation),
}

/// An aggregation; the arguments of those with a sign are cast to `int64` or `uint64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the language's")]
pub enum Aggregation {
    Count,
    Sum { signed: bool },
    Min { signed: bool },
    Max { signed: bool },
    Avg { signed: bool },
    Stats { signed: bool },
    Hist,
    Linear { min: i64, max: i64, step: i64 },
}

/// A probe and its action.
#[derive(Clone, Debug)]
pub struct Clause {
    /// The probe.
    pub probe: Probe,
    /// What stands between the slashes.
    pub predicate: Option<Expr>,
    /// The action.
    pub body: Vec<Stmt>,
}

/// When a clause runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// At once.
    Begin,
    /// At the end.
    End,
    /// Never, in a script that ends in its first `BEGIN`: the program is only loaded.
    Event(&'static str),
}

/// A map, or an entry of one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Index into [`Script::maps`].
    pub map: usize,
    /// Of the map's key type, or one that it holds.
    pub key: Option<Box<Expr>>,
}

/// A statement.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// `$v = …`
    Set(usize, Expr),
    /// `$v op= …`
    Change(usize, Binary, Expr),
    /// `@m[…] = …`
    SetEntry(Entry, Expr),
    /// `@m[…] op= …`
    ChangeEntry(Entry, Binary, Expr),
    /// `@m[…] = sum(…)` and its like.
    Aggregate(Entry, Option<Expr>),
    /// `delete(@m, …)`
    Delete(Entry),
    /// `clear(@m)`
    Clear(usize),
    /// `zero(@m)`
    Zero(usize),
    /// `print(@m)`
    PrintMap(usize),
    /// `print(…)`
    Print(Expr),
    /// `printf("…", …)`: each value with the text before it.
    Printf(Vec<(String, Conversion, Expr)>),
    /// `$v++;` and its like.
    Count(Expr),
    /// `if (…) { … } else { … }`
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    /// `$v = 0; while ($v < n) { $v++; … }`
    While(usize, u32, Vec<Stmt>),
    /// `for $v : a..b { … }`
    Range(usize, Expr, Expr, Vec<Stmt>),
    /// `for $v : @m { … }`, where the order of turns makes no difference.
    ForEach(usize, usize, Vec<Stmt>),
    /// `unroll(n) { … }`
    Unroll(u32, Vec<Stmt>),
    /// `break;`
    Break,
    /// `continue;`
    Continue,
    /// `return;`
    Return,
}

/// How `printf` prints a value.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Flags and width.
    pub field: &'static str,
    /// Length and letter.
    pub letter: &'static str,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Its type.
    pub ty: Ty,
    /// Which.
    pub kind: Kind,
}

/// The forms of an expression.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A number as it is written.
    Number(i128),
    /// `true`, `false`
    Truth(bool),
    /// A text as it is written.
    Text(String),
    /// What only the kernel knows, as it is written.
    Opaque(&'static str),
    /// `$v`
    Local(usize),
    /// `@m[…]`
    Entry(Entry),
    /// `has_key(@m, …)`
    HasKey(Entry),
    /// `$v++` and its like; whether up, whether the value is the one before.
    CountLocal(usize, bool, bool),
    /// The same of an entry.
    CountEntry(Entry, bool, bool),
    /// `-`, `~` or `!`
    Unary(char, Box<Expr>),
    /// An operator between two values.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `a ? b : c`
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `a ?: b`
    OrElse(Box<Expr>, Box<Expr>),
    /// `(type)a`
    Cast(Box<Expr>),
    /// `(a, b)`, or `(a = …, b = …)`
    Tuple(Vec<Expr>),
    /// `a.n`, or by the part's name
    Part(Box<Expr>, usize),
    /// `strncmp(a, b, n)`
    Compare(Box<Expr>, Box<Expr>, u32),
    /// A function of values.
    Call(Function, Vec<Expr>),
    /// `len(@m)`
    Entries(usize),
    /// `{ …; a }`
    Block(Vec<Stmt>, Box<Expr>),
}

/// Functions of values, under their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the language's")]
pub enum Function {
    Strlen,
    Strstr,
    Strcontains,
    StrConcat,
    Bswap,
}

impl Holds {
    /// The type of what an entry is read as; `None` of aggregations that are more than a number.
    pub fn number_or_plain(&self) -> Option<Ty> {
        let signed = match *self {
            Self::Plain(ref ty) => return Some(ty.clone()),
            Self::Aggregation(Aggregation::Count) => true,
            Self::Aggregation(
                Aggregation::Sum { signed }
                | Aggregation::Avg { signed }
                | Aggregation::Min { signed }
                | Aggregation::Max { signed },
            ) => signed,
            Self::Aggregation(Aggregation::Stats { .. } | Aggregation::Hist | Aggregation::Linear { .. }) => {
                return None;
            }
        };
        Some(Ty::Int(if signed { Int::I64 } else { Int::U64 }))
    }
}

impl Function {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strlen => "strlen",
            Self::Strstr => "strstr",
            Self::Strcontains => "strcontains",
            Self::StrConcat => "str_concat",
            Self::Bswap => "bswap",
        }
    }
}

/// Operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Binary {
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
    And,
    Or,
}

impl Binary {
    /// Those that give an integer.
    pub const ARITHMETIC: [Self; 10] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::BitAnd,
        Self::Div,
        Self::Mod,
        Self::BitOr,
        Self::BitXor,
        Self::Shl,
        Self::Shr,
    ];

    /// Those that compare.
    pub const RELATIONS: [Self; 6] = [Self::Eq, Self::Ne, Self::Lt, Self::Le, Self::Gt, Self::Ge];

    /// As it is written.
    pub fn symbol(self) -> &'static str {
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

    /// The type of the result of integers: 64 bits, signed if either side is or it is a subtraction; a shift has the sign
    /// of what is shifted.
    pub fn result(self, a: Int, b: Int) -> Int {
        let (a, b) = match (a.literal, b.literal) {
            (true, false) => (b.signed, b.signed),
            (false, true) => (a.signed, a.signed),
            _ => (a.signed, b.signed),
        };
        let signed = match self {
            Self::Sub => true,
            Self::Shl | Self::Shr => a,
            _ => a || b,
        };
        if signed { Int::I64 } else { Int::U64 }
    }
}

impl Expr {
    /// A number as it is written.
    pub fn number(value: i128) -> Self {
        Self { ty: Ty::Int(Int::of_literal(value)), kind: Kind::Number(value) }
    }

    /// A text as it is written.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { ty: Ty::Str(text.len() + 1), kind: Kind::Text(text) }
    }

    /// The value of a variable.
    pub fn local(local: usize, ty: Ty) -> Self {
        Self { ty, kind: Kind::Local(local) }
    }

    /// A cast.
    pub fn cast(self, to: Ty) -> Self {
        Self { ty: to, kind: Kind::Cast(Box::new(self)) }
    }

    /// `a ? b : c`, of a type that both results have room in: where all are written out, of the type of the one that it
    /// decides for, which stands in the place of all.
    pub fn ternary(condition: Self, then: Self, otherwise: Self, ty: Ty) -> Self {
        let whole = Self { ty, kind: Kind::Ternary(Box::new(condition), Box::new(then), Box::new(otherwise)) };
        let ty = whole.written_out().ty.clone();
        Self { ty, ..whole }
    }

    /// Whether what is written out is true; `None` of anything else.
    fn truth(&self) -> Option<bool> {
        match self.written_out().kind {
            Kind::Number(number) => Some(number != 0),
            Kind::Truth(truth) => Some(truth),
            _ => None,
        }
    }

    /// What stands in the place of a decided `?:`, or the expression itself.
    pub fn written_out(&self) -> &Self {
        match &self.kind {
            Kind::Ternary(condition, then, otherwise) if then.is_literal() && otherwise.is_literal() => {
                match condition.truth() {
                    Some(true) => then.written_out(),
                    Some(false) => otherwise.written_out(),
                    None => self,
                }
            }
            _ => self,
        }
    }

    /// The integer that `~`, `-` and functions of bytes take it for: `~x` and `-x` have 64 bits elsewhere, but those of `x`
    /// there.
    pub fn own_int(&self) -> Option<Int> {
        match &self.kind {
            Kind::Unary('~' | '-', operand) => operand.own_int(),
            _ => self.ty.int(),
        }
    }

    /// Whether it is `~x` or `-x`, but does not look like it.
    pub fn hides_complement(&self) -> bool {
        let last = match &self.kind {
            Kind::Block(_, value) => value.written_out(),
            _ => self.written_out(),
        };
        !std::ptr::eq(last, self) && (matches!(last.kind, Kind::Unary(..)) || last.hides_complement())
    }

    /// Whether it is a number that is written out and has no room in `int64`.
    pub fn is_large(&self) -> bool {
        matches!(self.written_out().kind, Kind::Number(number) if i64::try_from(number).is_err())
    }

    /// Whether the compiler may take it for a number that is written out.
    pub fn is_literal(&self) -> bool {
        matches!(self.written_out().kind, Kind::Number(_) | Kind::Truth(_) | Kind::Text(_))
    }
}
