//! The kernel's own description of its types (BTF): structures, members, offsets.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux`. Out: [`Type`]s by id or name, and [`Field`]s by path. One pass over the
//! types notes where each begins and checks that it lies within the data, so that reading one later is a few loads. What
//! types refer to is checked when it is followed: damaged data gives a [`BtfError`], never a panic or an endless loop.
//!
//! The format is in the kernel's Documentation/bpf/btf.rst and include/uapi/linux/btf.h.

mod declare;
mod define;

use std::path::Path;
use std::{fs, io};

use thiserror::Error;

/// Where the kernel shows its BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why BTF could not be read, or does not have what was asked for.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It does not begin as BTF does on this machine.
    #[error("not BTF of this machine's byte order")]
    NotBtf,
    /// It ends within something.
    #[error("BTF is cut short in {0}")]
    Truncated(&'static str),
    /// A kind of type that is newer than this reader; what follows it cannot be found.
    #[error("BTF has a kind of type ({kind}) that is not known")]
    UnknownKind {
        /// Its number.
        kind: u32,
    },
    /// A reference to a type that there is not, or types that contain themselves.
    #[error("BTF refers to type {0}, which leads nowhere")]
    BadReference(u32),
    /// This kernel has no such type or member.
    #[error("the kernel's types have no {0}")]
    Missing(String),
}

/// Index of a type. 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A type, with the parts that it has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type<'a> {
    /// No value.
    Void,
    /// An integer.
    Int {
        /// As C names it.
        name: &'a str,
        /// Bytes.
        size: u32,
        /// Two's complement.
        signed: bool,
    },
    /// A floating-point number of so many bytes.
    Float {
        /// Bytes.
        size: u32,
    },
    /// An address of something.
    Pointer(TypeId),
    /// Elements in a row.
    Array {
        /// Of what type.
        element: TypeId,
        /// How many; 0 also for an array without a stated length.
        len: u32,
    },
    /// A structure or union: see [`Btf::members`].
    Composite {
        /// Empty if it has none.
        name: &'a str,
        /// Bytes.
        size: u32,
        /// Whether all members begin at 0.
        union: bool,
    },
    /// An enumeration: see [`Btf::enumerators`].
    Enum {
        /// Empty if it has none.
        name: &'a str,
        /// Bytes.
        size: u32,
        /// Whether values may be negative.
        signed: bool,
    },
    /// A structure, union or enumeration that is declared only.
    Forward {
        /// Its name.
        name: &'a str,
    },
    /// `typedef`: another name for a type.
    Typedef {
        /// The other name.
        name: &'a str,
        /// The type.
        of: TypeId,
    },
    /// `const`, `volatile`, `restrict` and type tags, which change nothing about the layout.
    Qualified(TypeId),
    /// A function.
    Function {
        /// Its name.
        name: &'a str,
        /// Its [`Type::Prototype`].
        prototype: TypeId,
    },
    /// What a function takes and returns: see [`Btf::parameters`].
    Prototype {
        /// What it returns.
        result: TypeId,
    },
    /// Variables, sections and declaration tags.
    Other,
}

/// A member of a structure or union, a parameter of a function: a name and a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Empty for an anonymous member.
    pub name: &'a str,
    /// Of what type.
    pub ty: TypeId,
}

/// Where a member lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bits from the beginning of the outermost structure.
    pub bit_offset: u32,
    /// How many bits, for a bit-field.
    pub bits: Option<u8>,
    /// Of what type.
    pub ty: TypeId,
}

impl Field {
    /// Bytes from the beginning of the outermost structure.
    pub fn offset(self) -> u32 {
        self.bit_offset / 8
    }
}

/// The types of one kernel.
pub struct Btf {
    data: Vec<u8>,
    /// Where in `data` the names are.
    strings: std::ops::Range<usize>,
    /// Where in `data` each type's record begins; the first is type 1.
    records: Vec<u32>,
}

/// Kinds as include/uapi/linux/btf.h numbers them.
mod kind {
    pub const INT: u32 = 1;
    pub const POINTER: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FORWARD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNCTION: u32 = 12;
    pub const PROTOTYPE: u32 = 13;
    pub const VARIABLE: u32 = 14;
    pub const SECTION: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// `struct btf_header`: magic, version, flags, hdr_len; then offset and length of types and of strings.
const HEADER_SIZE: usize = 24;
/// `struct btf_type`: name_off, info, size or type.
const RECORD_SIZE: usize = 12;
/// A longer chain of typedefs, qualifiers and arrays than any compiler makes.
const MAX_DEPTH: u32 = 64;
/// More anonymous members than any structure has.
const MAX_ANONYMOUS: usize = 10_000;

/// The first words of a type's record.
#[derive(Clone, Copy)]
struct Record {
    at: usize,
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Record {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// How many members, enumerators or parameters follow.
    fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Bit-field sizes are kept with the offsets, enumerators are signed, a forward declaration is a union's.
    fn flag(self) -> bool {
        self.info >> 31 != 0
    }

    /// Bytes after the record that belong to it.
    fn tail(self) -> Result<usize, BtfError> {
        Ok(match self.kind() {
            kind::INT | kind::VARIABLE | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::SECTION | kind::ENUM64 => 12 * self.count(),
            kind::ENUM | kind::PROTOTYPE => 8 * self.count(),
            kind::POINTER
            | kind::FORWARD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNCTION
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            kind => return Err(BtfError::UnknownKind { kind }),
        })
    }
}

/// The little-endian word at `at`, if it lies within.
fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Btf of {} types", self.count())
    }
}

impl Btf {
    /// The running kernel's.
    pub fn of_kernel() -> Result<Self, BtfError> {
        Self::read(Path::new(VMLINUX))
    }

    /// That of a file, which holds nothing else.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let data = fs::read(path).map_err(|error| BtfError::Read { path: path.display().to_string(), error })?;
        Self::parse(data)
    }

    /// Notes where each type is.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        if data.get(..2) != Some(&[0x9f, 0xeb]) {
            return Err(BtfError::NotBtf);
        }
        let header = |at| word(&data, at).map(|word| word as usize).ok_or(BtfError::Truncated("the header"));
        let section = |at: usize, what| {
            let start = header(4)?.checked_add(header(at)?);
            let end = start.and_then(|start| start.checked_add(header(at + 4).ok()?));
            match (start, end) {
                (Some(start), Some(end)) if end <= data.len() => Ok(start..end),
                _ => Err(BtfError::Truncated(what)),
            }
        };
        if header(4)? < HEADER_SIZE {
            return Err(BtfError::Truncated("the header"));
        }
        let types = section(8, "the types")?;
        let strings = section(16, "the names")?;
        if data[strings.clone()].last() != Some(&0) {
            return Err(BtfError::Truncated("the names"));
        }

        let mut records = Vec::with_capacity(types.len() / 32);
        let mut at = types.start;
        while at < types.end {
            let record = record_at(&data[..types.end], at).ok_or(BtfError::Truncated("the types"))?;
            if record.name as usize >= strings.len() {
                return Err(BtfError::Truncated("the names"));
            }
            at += RECORD_SIZE + record.tail()?;
            if at > types.end {
                return Err(BtfError::Truncated("the types"));
            }
            records.push(record.at as u32);
        }
        Ok(Self { data, strings, records })
    }

    /// How many types there are; their ids go from 1 to this.
    pub fn count(&self) -> u32 {
        self.records.len() as u32
    }

    /// The structure or union of this name, without `struct`.
    pub fn composite(&self, name: &str) -> Result<TypeId, BtfError> {
        self.find(&[kind::STRUCT, kind::UNION], name)
    }

    /// The enumeration of this name, without `enum`.
    pub fn enumeration(&self, name: &str) -> Result<TypeId, BtfError> {
        self.find(&[kind::ENUM, kind::ENUM64], name)
    }

    /// The `typedef` of this name, or the integer.
    pub fn typedef(&self, name: &str) -> Result<TypeId, BtfError> {
        self.find(&[kind::TYPEDEF, kind::INT], name)
    }

    /// The enumeration that has this enumerator, and its value. Looks at all of them.
    pub fn enumerator(&self, name: &str) -> Option<(TypeId, i64)> {
        (1..=self.count()).map(TypeId).find_map(|id| {
            let (_, value) = self.enumerators(id).find(|&(known, _)| known == name)?;
            Some((id, value))
        })
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Result<TypeId, BtfError> {
        self.find(&[kind::FUNCTION], name)
    }

    /// All functions, with their names.
    pub fn functions(&self) -> impl Iterator<Item = (&str, TypeId)> {
        (1..).zip(&self.records).filter_map(|(id, &at)| {
            let record = record_at(&self.data, at as usize)?;
            (record.kind() == kind::FUNCTION).then(|| (self.name(record.name), TypeId(id)))
        })
    }

    /// The first type of one of these kinds with this name. Looks at all of them.
    fn find(&self, kinds: &[u32], name: &str) -> Result<TypeId, BtfError> {
        let wanted = name.as_bytes();
        let strings = &self.data[self.strings.clone()];
        let position = self.records.iter().position(|&at| {
            record_at(&self.data, at as usize).is_some_and(|record| {
                let text = &strings[record.name as usize..];
                kinds.contains(&record.kind()) && text.starts_with(wanted) && text.get(wanted.len()) == Some(&0)
            })
        });
        match position {
            Some(position) => Ok(TypeId(position as u32 + 1)),
            None => Err(BtfError::Missing(name.to_owned())),
        }
    }

    /// A type as it is declared.
    pub fn ty(&self, id: TypeId) -> Result<Type<'_>, BtfError> {
        if id.0 == 0 {
            return Ok(Type::Void);
        }
        let record = self.record(id)?;
        let name = self.name(record.name);
        let (size, of) = (record.size_or_type, TypeId(record.size_or_type));
        Ok(match record.kind() {
            // The word that follows has the encoding in its top bits; 1 is signed.
            kind::INT => Type::Int { name, size, signed: self.tail_word(record, 0)? >> 24 & 1 != 0 },
            kind::FLOAT => Type::Float { size },
            kind::POINTER => Type::Pointer(of),
            // Element, index type, length.
            kind::ARRAY => Type::Array { element: TypeId(self.tail_word(record, 0)?), len: self.tail_word(record, 2)? },
            kind::STRUCT | kind::UNION => Type::Composite { name, size, union: record.kind() == kind::UNION },
            kind::ENUM | kind::ENUM64 => Type::Enum { name, size, signed: record.flag() },
            kind::FORWARD => Type::Forward { name },
            kind::TYPEDEF => Type::Typedef { name, of },
            kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => Type::Qualified(of),
            kind::FUNCTION => Type::Function { name, prototype: of },
            kind::PROTOTYPE => Type::Prototype { result: of },
            _ => Type::Other,
        })
    }

    /// The type behind typedefs and qualifiers.
    pub fn resolve(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let mut at = id;
        for _ in 0..MAX_DEPTH {
            match self.ty(at)? {
                Type::Typedef { of, .. } | Type::Qualified(of) => at = of,
                _ => return Ok(at),
            }
        }
        Err(BtfError::BadReference(id.0))
    }

    /// Bytes that a value takes.
    pub fn size(&self, id: TypeId) -> Result<u32, BtfError> {
        let (mut at, mut times) = (id, 1u32);
        for _ in 0..MAX_DEPTH {
            at = self.resolve(at)?;
            let size = match self.ty(at)? {
                Type::Int { size, .. }
                | Type::Float { size }
                | Type::Composite { size, .. }
                | Type::Enum { size, .. } => size,
                Type::Pointer(_) => 8,
                Type::Array { element, len } => {
                    times = times.checked_mul(len).ok_or(BtfError::BadReference(id.0))?;
                    at = element;
                    continue;
                }
                _ => return Err(BtfError::Missing(format!("size of type {}", id.0))),
            };
            return times.checked_mul(size).ok_or(BtfError::BadReference(id.0));
        }
        Err(BtfError::BadReference(id.0))
    }

    /// The members of a structure or union, in order, with where they lie; nothing for other types.
    pub fn members(&self, id: TypeId) -> impl Iterator<Item = (Named<'_>, Field)> {
        self.tails(id, &[kind::STRUCT, kind::UNION], 12).map(|(record, member)| {
            let [name, ty, offset] = [0, 4, 8].map(|at| word(member, at).unwrap_or_default());
            let (bit_offset, bits) = match record.flag() {
                true => (offset & 0xff_ffff, (offset >> 24) as u8),
                false => (offset, 0),
            };
            let named = Named { name: self.name(name), ty: TypeId(ty) };
            (named, Field { bit_offset, bits: (bits != 0).then_some(bits), ty: TypeId(ty) })
        })
    }

    /// The parameters of a prototype, in order; nothing for other types. `...` is one without a name and of type void.
    pub fn parameters(&self, id: TypeId) -> impl Iterator<Item = Named<'_>> {
        self.tails(id, &[kind::PROTOTYPE], 8).map(|(_, parameter)| {
            let [name, ty] = [0, 4].map(|at| word(parameter, at).unwrap_or_default());
            Named { name: self.name(name), ty: TypeId(ty) }
        })
    }

    /// The names and values of an enumeration, in order; nothing for other types.
    pub fn enumerators(&self, id: TypeId) -> impl Iterator<Item = (&str, i64)> {
        let narrow = self.tails(id, &[kind::ENUM], 8).map(|(record, item)| {
            let [name, value] = [0, 4].map(|at| word(item, at).unwrap_or_default());
            (self.name(name), if record.flag() { i64::from(value as i32) } else { i64::from(value) })
        });
        let wide = self.tails(id, &[kind::ENUM64], 12).map(|(_, item)| {
            let [name, low, high] = [0, 4, 8].map(|at| word(item, at).unwrap_or_default());
            (self.name(name), (u64::from(high) << 32 | u64::from(low)) as i64)
        });
        narrow.chain(wide)
    }

    /// Where the member at `path` (`ns.inum`) of a structure lies. Anonymous members are looked into; pointers are not
    /// followed.
    pub fn field(&self, structure: TypeId, path: &str) -> Result<Field, BtfError> {
        let mut found = Field { bit_offset: 0, bits: None, ty: structure };
        for name in path.split('.') {
            let member = self
                .member(self.resolve(found.ty)?, name)?
                .ok_or_else(|| BtfError::Missing(format!("{}.{path}", self.describe(structure))))?;
            found = Field { bit_offset: add(found.bit_offset, member.bit_offset)?, ..member };
        }
        Ok(found)
    }

    /// The member of this name, looked for in anonymous members too.
    fn member(&self, structure: TypeId, name: &str) -> Result<Option<Field>, BtfError> {
        let mut pending = vec![(structure, 0)];
        let mut looked_into = 0;
        while let Some((composite, base)) = pending.pop() {
            looked_into += 1;
            for (named, field) in self.members(composite) {
                if named.name == name {
                    return Ok(Some(Field { bit_offset: add(base, field.bit_offset)?, ..field }));
                }
                if named.name.is_empty() {
                    pending.push((self.resolve(field.ty)?, add(base, field.bit_offset)?));
                }
            }
            if looked_into + pending.len() > MAX_ANONYMOUS {
                return Err(BtfError::BadReference(structure.0));
            }
        }
        Ok(None)
    }

    /// A type's name for a message.
    fn describe(&self, id: TypeId) -> String {
        match self.ty(id) {
            Ok(Type::Composite { name, .. }) => name.to_owned(),
            _ => format!("type {}", id.0),
        }
    }

    fn record(&self, id: TypeId) -> Result<Record, BtfError> {
        let index = (id.0 as usize).checked_sub(1);
        index
            .and_then(|index| self.records.get(index))
            .and_then(|&at| record_at(&self.data, at as usize))
            .ok_or(BtfError::BadReference(id.0))
    }

    /// The items of `size` bytes that follow the record of a type, if it is of one of these kinds.
    fn tails(&self, id: TypeId, kinds: &[u32], size: usize) -> impl Iterator<Item = (Record, &[u8])> {
        let record = self.record(id).ok().filter(|record| kinds.contains(&record.kind()));
        record.into_iter().flat_map(move |record| {
            let start = record.at + RECORD_SIZE;
            self.data[start..start + size * record.count()].chunks_exact(size).map(move |item| (record, item))
        })
    }

    fn tail_word(&self, record: Record, index: usize) -> Result<u32, BtfError> {
        word(&self.data, record.at + RECORD_SIZE + 4 * index).ok_or(BtfError::Truncated("the types"))
    }

    /// The name at an offset into the names; empty if there is none, or none that is text.
    fn name(&self, offset: u32) -> &str {
        let text = self.data[self.strings.clone()].get(offset as usize..).unwrap_or_default();
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        std::str::from_utf8(&text[..end]).unwrap_or_default()
    }
}

fn record_at(data: &[u8], at: usize) -> Option<Record> {
    Some(Record { at, name: word(data, at)?, info: word(data, at + 4)?, size_or_type: word(data, at + 8)? })
}

fn add(a: u32, b: u32) -> Result<u32, BtfError> {
    a.checked_add(b).ok_or(BtfError::Truncated("a member's offset"))
}

#[cfg(test)]
mod tests;
