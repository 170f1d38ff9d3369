//! The types of the language: how they are written, how two of them become one, and how they lie in memory.
//!
//! The rules are bpftrace's as of 0.27: a number takes the smallest signed type that holds it; a variable or map takes
//! the smallest type that holds all that is assigned to it anywhere in the script; arithmetic is 64 bits wide.

use super::typed;
use crate::plan::{Bits, FrameStyle, Frames, Member, Naming, Shape};
use std::fmt;
use std::sync::Arc;

/// Bytes of a thread's name.
pub const COMM_SIZE: u32 = 16;

/// The type of a value, a variable, or a map's keys or values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// Not known yet: nothing has been assigned so far. Only while types are being inferred.
    Unknown,
    /// No value: what `printf` gives.
    Void,
    /// An integer.
    Int {
        /// Bytes: 1, 2, 4 or 8.
        size: u8,
        /// Two's complement.
        signed: bool,
        /// Written as a number that is not negative: takes the sign of what it meets.
        flexible: bool,
    },
    /// True or false.
    Bool,
    /// Text in so many bytes, the NUL included.
    Str(u32),
    /// An address.
    Pointer {
        /// What is there.
        to: Box<Ty>,
        /// In the process's memory, not the kernel's.
        user: bool,
    },
    /// A C type that is only ever pointed to: `struct stat`, `void`.
    Named(String),
    /// The same, of the kernel: its number among the kernel's types, and its name.
    Btf(u32, String),
    /// So many elements of one type.
    Array(Box<Ty>, u32),
    /// A C structure or union, or a record of the language.
    Record(Arc<Record>),
    /// A number that stands for a name, in so many bytes.
    Enum {
        /// What it may be.
        of: Arc<Enumeration>,
        /// Bytes: as declared in a structure, else 8.
        size: u8,
    },
    /// Several values.
    Tuple(Vec<Ty>),
    /// The name of a probe, kept as its number.
    Probe,
    /// The name of a system call, kept as its number.
    Syscall,
    /// What is printed as what it stands for.
    Name(Naming),
    /// So many bytes at most, of any kind.
    Buffer(u32),
    /// An address of the internet.
    Inet,
    /// A hardware address.
    Mac,
    /// A stack, or an address of a process.
    Stack(Frames),
    /// The arguments of a probe: `args`.
    Args,
}

/// The members of a structure, union or record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// `struct foo`; empty for a record of the language.
    pub name: String,
    /// Bytes.
    pub size: u32,
    /// The power of two that its address is a multiple of.
    pub align: u32,
    /// In order; those of anonymous members among them.
    pub fields: Vec<Field>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Bytes from the start.
    pub offset: u32,
    /// Which bits of the integer there, if it is a bit-field.
    pub bits: Option<Bits>,
    /// Its type.
    pub ty: Ty,
}

/// An enumeration.
#[derive(Debug, PartialEq, Eq)]
pub struct Enumeration {
    /// `enum foo`.
    pub name: String,
    /// Whether a value is negative.
    pub signed: bool,
    /// In order of declaration.
    pub names: Vec<(i64, String)>,
}

impl Enumeration {
    /// With these values.
    pub fn new(name: String, names: Vec<(i64, String)>) -> Self {
        Self { name, signed: names.iter().any(|&(value, _)| value < 0), names }
    }
}

impl Field {
    /// The same in a structure that has this one's structure so many bytes from its start.
    pub fn moved(&self, bytes: u32) -> Field {
        Field { offset: self.offset + bytes, ..self.clone() }
    }
}

impl Record {
    /// A record of the language: laid out as C would.
    pub fn of(parts: impl IntoIterator<Item = (String, Ty)>) -> Option<Record> {
        let (mut end, mut align) = (0, 1);
        let mut fields = Vec::new();
        for (name, ty) in parts {
            let offset = u32::next_multiple_of(end, ty.align());
            end = offset + ty.size()?;
            align = align.max(ty.align());
            fields.push(Field { name, offset, bits: None, ty });
        }
        Some(Record { name: String::new(), size: end.next_multiple_of(align), align, fields })
    }

    /// The member of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether it is a record of the language, not a C structure.
    pub fn is_literal(&self) -> bool {
        self.name.is_empty()
    }
}

impl Ty {
    /// What most built-ins give.
    pub const U64: Ty = Ty::Int { size: 8, signed: false, flexible: false };
    /// What signed arithmetic gives.
    pub const I64: Ty = Ty::Int { size: 8, signed: true, flexible: false };
    /// A pid's.
    pub const U32: Ty = Ty::Int { size: 4, signed: false, flexible: false };
    /// The system call number's in a tracepoint's record.
    pub const I32: Ty = Ty::Int { size: 4, signed: true, flexible: false };
    /// The narrowest, which a map that is only ever counted up starts from.
    pub const I8: Ty = Ty::Int { size: 1, signed: true, flexible: false };

    /// An integer.
    pub fn int(size: u8, signed: bool) -> Ty {
        Ty::Int { size, signed, flexible: false }
    }

    /// The type of a number as it is written: the smallest signed one, or `uint64` where that is too small.
    pub fn of_literal(value: u64) -> Ty {
        match i64::try_from(value) {
            Ok(value) => Ty::Int { size: signed_size(value), signed: true, flexible: true },
            Err(_) => Ty::U64,
        }
    }

    /// The type of a negative number as it is written.
    pub fn of_negative_literal(value: i64) -> Ty {
        Ty::int(signed_size(value), true)
    }

    /// The type that a name such as `uint32` stands for.
    pub fn named(name: &str) -> Option<Ty> {
        Some(match name {
            "int8" | "int8_t" | "s8" | "__s8" | "signed char" => Ty::int(1, true),
            "int16" | "int16_t" | "s16" | "__s16" | "short" => Ty::int(2, true),
            "int32" | "int32_t" | "s32" | "__s32" | "int" => Ty::int(4, true),
            "int64" | "int64_t" | "s64" | "__s64" | "long" | "long long" => Ty::int(8, true),
            "uint8" | "uint8_t" | "u8" | "__u8" | "unsigned char" | "char" => Ty::int(1, false),
            "uint16" | "uint16_t" | "u16" | "__u16" | "unsigned short" => Ty::int(2, false),
            "uint32" | "uint32_t" | "u32" | "__u32" | "unsigned int" | "unsigned" => Ty::int(4, false),
            "uint64" | "uint64_t" | "u64" | "__u64" | "unsigned long" | "unsigned long long" | "size_t" => Ty::U64,
            "pid_t" => Ty::int(4, true),
            "uid_t" | "gid_t" => Ty::int(4, false),
            "bool" => Ty::Bool,
            _ => return None,
        })
    }

    /// Whether it is an integer.
    pub fn is_int(&self) -> bool {
        matches!(self, Ty::Int { .. })
    }

    /// Whether arithmetic takes it.
    pub fn is_number(&self) -> bool {
        matches!(self, Ty::Int { .. } | Ty::Bool)
    }

    /// Whether a condition takes it.
    pub fn is_condition(&self) -> bool {
        matches!(self, Ty::Int { .. } | Ty::Bool | Ty::Enum { .. } | Ty::Pointer { .. } | Ty::Unknown)
    }

    /// Whether it is a signed integer.
    pub fn is_signed(&self) -> bool {
        matches!(self, Ty::Int { signed: true, .. })
    }

    /// Whether it is, or has in it, something that is not known yet.
    pub fn is_unknown(&self) -> bool {
        match self {
            Ty::Unknown => true,
            Ty::Tuple(parts) => parts.iter().any(Ty::is_unknown),
            Ty::Record(record) => record.fields.iter().any(|field| field.ty.is_unknown()),
            _ => false,
        }
    }

    /// The integer behind an enumeration; any other type as it is.
    pub fn decayed(&self) -> Ty {
        match self {
            Ty::Enum { of, size } => Ty::int(*size, of.signed),
            other => other.clone(),
        }
    }

    /// Bytes of a value; `None` for what never lies in memory.
    pub fn size(&self) -> Option<u32> {
        match self {
            Ty::Record(record) => Some(record.size),
            Ty::Array(of, length) => of.size()?.checked_mul(*length),
            other => other.shape().map(|shape| shape.size()),
        }
    }

    /// The power of two that a value's address is a multiple of.
    pub fn align(&self) -> u32 {
        match self {
            Ty::Record(record) => record.align,
            Ty::Array(of, _) => of.align(),
            other => other.shape().map_or(1, |shape| shape.align()),
        }
    }

    /// The smallest type that holds the values of both, if there is one.
    pub fn promoted(&self, other: &Ty) -> Option<Ty> {
        Some(match (self, other) {
            (Ty::Unknown, ty) | (ty, Ty::Unknown) => ty.clone(),
            (Ty::Int { .. }, Ty::Int { .. }) => promote_ints(self, other),
            (Ty::Str(a), Ty::Str(b)) => Ty::Str(*a.max(b)),
            (Ty::Buffer(a), Ty::Buffer(b)) => Ty::Buffer(*a.max(b)),
            (Ty::Tuple(a), Ty::Tuple(b)) if a.len() == b.len() => {
                Ty::Tuple(a.iter().zip(b).map(|(a, b)| a.promoted(b)).collect::<Option<_>>()?)
            }
            (Ty::Record(a), Ty::Record(b)) if a != b && a.is_literal() && a.fields.len() == b.fields.len() => {
                let part = |field: &Field| Some((field.name.clone(), field.ty.promoted(&b.field(&field.name)?.ty)?));
                Ty::Record(Arc::new(Record::of(a.fields.iter().map(part).collect::<Option<Vec<_>>>()?)?))
            }
            (Ty::Enum { .. }, Ty::Int { .. } | Ty::Enum { .. }) | (Ty::Int { .. }, Ty::Enum { .. })
                if self != other =>
            {
                promote_ints(&self.decayed(), &other.decayed())
            }
            (Ty::Pointer { .. }, Ty::Pointer { .. }) => self.clone(),
            (a, b) if a == b => a.clone(),
            _ => return None,
        })
    }

    /// How it lies in memory; `None` for what never does.
    pub fn shape(&self) -> Option<Shape> {
        Some(match self {
            Ty::Int { size, signed, .. } => Shape::Int { size: *size, signed: *signed },
            Ty::Bool => Shape::Bool,
            Ty::Str(size) => Shape::Str { size: *size },
            Ty::Pointer { .. } => Shape::Pointer,
            Ty::Tuple(parts) => Shape::Tuple(parts.iter().map(Ty::shape).collect::<Option<_>>()?),
            Ty::Probe => Shape::Probe,
            Ty::Syscall => Shape::Syscall,
            Ty::Name(naming) => Shape::Name(naming.clone()),
            Ty::Buffer(size) => Shape::Buffer { size: *size },
            Ty::Inet => Shape::Inet,
            Ty::Mac => Shape::Mac,
            Ty::Stack(frames) => Shape::Stack(*frames),
            Ty::Enum { of, size } => Shape::Enum { size: *size, signed: of.signed, names: of.names.clone() },
            Ty::Array(of, length) => Shape::Array { element: Box::new(of.shape()?), length: *length },
            Ty::Record(record) => {
                let member = |field: &Field| {
                    let shape = field.ty.shape()?;
                    Some(Member { name: field.name.clone(), offset: field.offset, shape, bits: field.bits })
                };
                let members = record.fields.iter().map(member).collect::<Option<_>>()?;
                Shape::Record { size: record.size, align: record.align, members }
            }
            Ty::Unknown | Ty::Void | Ty::Named(_) | Ty::Btf(..) | Ty::Args => return None,
        })
    }

    /// The same for the typed program.
    pub fn typed(&self) -> typed::Type {
        self.shape().map_or(typed::Type::Void, typed::Type::Data)
    }
}

/// Bytes of the smallest signed integer that holds `value`.
fn signed_size(value: i64) -> u8 {
    match value {
        _ if i8::try_from(value).is_ok() => 1,
        _ if i16::try_from(value).is_ok() => 2,
        _ if i32::try_from(value).is_ok() => 4,
        _ => 8,
    }
}

/// A written number takes the other's sign; otherwise a signed type must be wider than an unsigned one to hold it, and
/// `int64` stands for both where there is nothing wider.
fn promote_ints(a: &Ty, b: &Ty) -> Ty {
    let (
        &Ty::Int { size: a_size, signed: a_signed, flexible: a_flexible },
        &Ty::Int { size: b_size, signed: b_signed, flexible: b_flexible },
    ) = (a, b)
    else {
        unreachable!("both are integers");
    };
    let size = a_size.max(b_size);
    if a_flexible && b_flexible {
        return Ty::Int { size, signed: true, flexible: true };
    }
    let a_signed = if a_flexible { b_signed } else { a_signed };
    let b_signed = if b_flexible { a_signed } else { b_signed };
    if a_signed == b_signed {
        return Ty::int(size, a_signed);
    }
    let (signed_size, unsigned_size) = if a_signed { (a_size, b_size) } else { (b_size, a_size) };
    if signed_size > unsigned_size { Ty::int(signed_size, true) } else { Ty::int((unsigned_size * 2).min(8), true) }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Unknown => f.write_str("none"),
            Ty::Void => f.write_str("void"),
            Ty::Int { size, signed, .. } => write!(f, "{}int{}", if *signed { "" } else { "u" }, u32::from(*size) * 8),
            Ty::Bool => f.write_str("bool"),
            Ty::Str(size) => write!(f, "string[{size}]"),
            Ty::Pointer { to, .. } => write!(f, "{to} *"),
            Ty::Named(name) | Ty::Btf(_, name) => f.write_str(name),
            Ty::Enum { of, .. } => f.write_str(&of.name),
            Ty::Record(record) if record.is_literal() => {
                let parts = record.fields.iter().map(|field| format!("{} = {}", field.name, field.ty));
                write!(f, "({})", parts.collect::<Vec<_>>().join(", "))
            }
            Ty::Record(record) => f.write_str(&record.name),
            Ty::Array(of, length) => write!(f, "{of}[{length}]"),
            Ty::Tuple(parts) => {
                f.write_str("(")?;
                for (i, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
            Ty::Probe => f.write_str("probe name"),
            Ty::Syscall => f.write_str("system call name"),
            Ty::Name(naming) => f.write_str(match naming {
                Naming::Error => "error name",
                Naming::Signal => "signal name",
                Naming::User => "user name",
                Naming::Cgroup { .. } => "cgroup path",
                Naming::Time { .. } => "timestamp",
                Naming::KernelSymbol => "kernel symbol",
                Naming::Function => "function name",
            }),
            Ty::Buffer(size) => write!(f, "buffer[{size}]"),
            Ty::Inet => f.write_str("inet"),
            Ty::Mac => f.write_str("mac address"),
            Ty::Stack(Frames { style: FrameStyle::Symbol, .. }) => f.write_str("user symbol"),
            Ty::Stack(Frames { user, .. }) => f.write_str(if *user { "ustack" } else { "kstack" }),
            Ty::Args => f.write_str("args"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(value: i64) -> Ty {
        u64::try_from(value).map_or_else(|_| Ty::of_negative_literal(value), Ty::of_literal)
    }

    #[test]
    fn a_number_has_the_smallest_signed_type_that_holds_it() {
        let of = |value: i64| literal(value).to_string();
        assert_eq!([of(0), of(127), of(128), of(-128), of(-129)], ["int8", "int8", "int16", "int8", "int16"]);
        assert_eq!([of(255), of(40_000), of(1 << 31), of(i64::MAX)], ["int16", "int32", "int64", "int64"]);
        assert_eq!(Ty::of_literal(u64::MAX).to_string(), "uint64");
    }

    /// Each row was seen in `bpftrace -d types` 0.27.1: `@ = a; @ = b;`.
    #[test]
    fn two_types_become_the_smallest_that_holds_both() {
        let u8 = Ty::int(1, false);
        let i8 = Ty::int(1, true);
        let cases = [
            (literal(1), literal(300), "int16"),
            (Ty::U32, literal(5), "uint32"),
            (Ty::U32, literal(-1), "int64"),
            (Ty::U64, literal(-1), "int64"),
            (Ty::U32, Ty::U64, "uint64"),
            (Ty::U64, literal(1), "uint64"),
            (Ty::I64, Ty::U64, "int64"),
            (Ty::I64, Ty::U32, "int64"),
            (Ty::I32, Ty::U32, "int64"),
            (i8, Ty::U32, "int64"),
            (u8.clone(), literal(4), "uint8"),
            (u8, literal(255), "uint16"),
            (literal(300), Ty::U32, "uint32"),
            (Ty::Str(2), Ty::Str(16), "string[16]"),
            (
                Ty::Tuple(vec![literal(1), literal(2), Ty::Str(2)]),
                Ty::Tuple(vec![literal(3), literal(4000), Ty::Str(4)]),
                "(int8,int16,string[4])",
            ),
        ];
        for (a, b, expected) in cases {
            assert_eq!(a.promoted(&b).unwrap().to_string(), expected, "{a} and {b}");
            assert_eq!(b.promoted(&a).unwrap().to_string(), expected, "{b} and {a}");
        }
    }

    #[test]
    fn text_and_numbers_do_not_mix() {
        assert_eq!(Ty::Str(2).promoted(&Ty::I64), None);
        assert_eq!(Ty::Tuple(vec![Ty::I64]).promoted(&Ty::Tuple(vec![Ty::I64, Ty::I64])), None);
        assert_eq!(Ty::Tuple(vec![Ty::I64]).promoted(&Ty::I64), None);
    }
}
