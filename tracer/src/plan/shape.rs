//! How values lie in memory, and what they are printed as.

use serde::Serialize;

/// The layout of a value in memory: in keys, map values and records. Little-endian; every part is aligned to
/// [`Shape::align`], and what lies between parts is zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Shape {
    /// An integer of 1, 2, 4 or 8 bytes.
    Int {
        /// Bytes.
        size: u8,
        /// Two's complement.
        signed: bool,
    },
    /// One byte, 0 or 1.
    Bool,
    /// Text, ended by NUL and zero from there on, in so many bytes.
    Str {
        /// Bytes, the NUL included.
        size: u32,
    },
    /// Parts one after the other, as C would lay them out.
    Tuple(Vec<Shape>),
    /// A pointer, printed in hexadecimal.
    Pointer,
    /// A `u64` that is an index into the plan's probe names.
    Probe,
    /// A `u64` that is a system call's number, printed as its name.
    Syscall,
    /// An integer that stands for a name.
    Enum {
        /// Bytes.
        size: u8,
        /// Two's complement.
        signed: bool,
        /// What it may be; any other value is printed as a number.
        names: Vec<(i64, String)>,
    },
    /// Elements in a row.
    Array {
        /// What each is.
        element: Box<Shape>,
        /// How many.
        length: u32,
    },
    /// Named values: a C structure or union, or a record of the language.
    Record {
        /// Bytes.
        size: u32,
        /// The power of two that its address is a multiple of.
        align: u32,
        /// In order; they may overlap, and need not be aligned.
        members: Vec<Member>,
    },
    /// A `u64` that is printed as what it stands for.
    Name(Naming),
    /// So many bytes at most: a `u32`, how many there are, then the bytes, zero from there on.
    Buffer {
        /// Most bytes.
        size: u32,
    },
    /// An address of the internet: a `u64`, its family (`AF_INET`, `AF_INET6`), then 16 bytes.
    Inet,
    /// The 6 bytes of a hardware address, and two zeros.
    Mac,
    /// A `tracer_common::stack::StackId`: a stack, or an address of a process.
    Stack(Frames),
}

/// Whose frames those of a [`Shape::Stack`] are, and how they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Frames {
    /// A process's, not the kernel's.
    pub user: bool,
    /// How they are shown.
    pub style: FrameStyle,
    /// With lines of source, and the functions that the compiler has put into others, where there is debugging
    /// information.
    pub lines: bool,
}

/// How frames are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FrameStyle {
    /// `function+offset`.
    Named,
    /// Address, function and file, as perf(1) shows them.
    Perf,
    /// Addresses.
    Raw,
    /// Which build of which file, and where in it.
    Build,
    /// The name of the only one, and nothing else: what `usym()` gives.
    Symbol,
}

/// What a number stands for, which is looked up when it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Naming {
    /// An error of errno(3), as `strerror()` shows it.
    Error,
    /// A signal, as `signal_name()` shows it.
    Signal,
    /// A user id: the user's name.
    User,
    /// The id of a cgroup: its paths.
    Cgroup {
        /// A pattern with `*`: in which hierarchies.
        hierarchies: String,
    },
    /// Nanoseconds since boot: the wall-clock time.
    Time {
        /// As for strftime(3).
        format: String,
    },
    /// An address of the kernel: what is there, as `ksym()` shows it.
    KernelSymbol,
    /// The index of a probe in a program or library: its function.
    Function,
}

/// A named value in a [`Shape::Record`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Bytes from the start of the record.
    pub offset: u32,
    /// What it is.
    pub shape: Shape,
    /// Which bits of the integer it is, if it is a bit-field.
    pub bits: Option<Bits>,
}

/// Some of the bits of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bits {
    /// Less significant bits that do not belong to it.
    pub shift: u8,
    /// How many bits it has, 1 to 64.
    pub width: u8,
}

impl Bits {
    /// The bits out of the integer that they lie in, extended to 64 bits.
    pub fn of(self, integer: u64, signed: bool) -> u64 {
        let unused = 64 - u32::from(self.width);
        let high = integer >> self.shift << unused;
        if signed { (high as i64 >> unused) as u64 } else { high >> unused }
    }
}

impl Shape {
    /// A signed 8-byte integer, the type of most of the language's numbers.
    pub const I64: Shape = Shape::Int { size: 8, signed: true };
    /// An unsigned 8-byte integer.
    pub const U64: Shape = Shape::Int { size: 8, signed: false };

    /// Bytes.
    pub fn size(&self) -> u32 {
        match self {
            Self::Int { size, .. } => u32::from(*size),
            Self::Bool => 1,
            Self::Str { size } => *size,
            Self::Tuple(parts) => {
                let end = Self::offsets(parts).last().map_or(0, |(offset, part)| offset + part.size());
                end.next_multiple_of(self.align())
            }
            Self::Pointer | Self::Probe | Self::Syscall | Self::Name(_) | Self::Mac => 8,
            Self::Enum { size, .. } => u32::from(*size),
            Self::Array { element, length } => element.size() * length,
            Self::Record { size, .. } => *size,
            Self::Buffer { size } => (4 + size).next_multiple_of(4),
            Self::Inet => 24,
            Self::Stack(_) => 16,
        }
    }

    /// The layout of the value in a record. A text that may be long is a `u32` there, how many bytes it has with its NUL; the
    /// texts themselves follow behind all else, in their order and without space between them.
    pub fn sent(&self) -> Shape {
        match self {
            Self::Str { .. } if self.is_sent_behind() => Self::Int { size: 4, signed: false },
            Self::Tuple(parts) => Self::Tuple(parts.iter().map(Self::sent).collect()),
            other => other.clone(),
        }
    }

    /// Whether a record holds the value behind all else, and no more of it than there is.
    pub fn is_sent_behind(&self) -> bool {
        /// Shorter ones are not worth the search for their ends, in bytes.
        const SHORT: u32 = 64;
        matches!(self, Self::Str { size } if *size > SHORT)
    }

    /// Bytes that may follow behind all else for the value.
    pub fn sent_behind(&self) -> u32 {
        match self {
            Self::Str { size } if self.is_sent_behind() => *size,
            Self::Tuple(parts) => parts.iter().map(Self::sent_behind).sum(),
            _ => 0,
        }
    }

    /// The power of two that its address is a multiple of.
    pub fn align(&self) -> u32 {
        match self {
            Self::Bool | Self::Str { .. } => 1,
            Self::Tuple(parts) => parts.iter().map(Self::align).max().unwrap_or(1),
            Self::Int { .. } | Self::Enum { .. } | Self::Pointer | Self::Probe | Self::Syscall | Self::Name(_) => {
                self.size()
            }
            Self::Array { element, .. } => element.align(),
            Self::Record { align, .. } => *align,
            Self::Buffer { .. } => 4,
            Self::Inet | Self::Mac | Self::Stack(_) => 8,
        }
    }

    /// The parts of a tuple with their offsets.
    pub fn offsets(parts: &[Shape]) -> impl Iterator<Item = (u32, &Shape)> {
        parts.iter().scan(0, |end, part| {
            let offset = u32::next_multiple_of(*end, part.align());
            *end = offset + part.size();
            Some((offset, part))
        })
    }
}
