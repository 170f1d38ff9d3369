//! Types, and the rules by which values are converted: those of bpftrace as of 0.27.

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ty {
    /// An integer.
    Int(Int),
    /// True or false.
    Bool,
    /// Text in so many bytes, the NUL included.
    Str(usize),
    /// Several values.
    Tuple(Vec<Ty>),
    /// Several values with names: see [`MEMBERS`].
    Record(Vec<Ty>),
}

/// What the parts of a record are called, in order.
pub const MEMBERS: [&str; 3] = ["a", "b", "c"];

/// The type of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int {
    /// 1, 2, 4 or 8.
    pub bytes: u32,
    /// Two's complement.
    pub signed: bool,
    /// Written as a number that is not negative: takes the sign of what it meets.
    pub literal: bool,
}

impl Int {
    /// `int64`
    pub const I64: Self = Self { bytes: 8, signed: true, literal: false };
    /// `uint64`
    pub const U64: Self = Self { bytes: 8, signed: false, literal: false };
    /// `uint32`
    pub const U32: Self = Self { bytes: 4, signed: false, literal: false };

    /// The type of a number as it is written.
    pub fn of_literal(value: i128) -> Self {
        let fits = |bytes: u32| (-(1_i128 << (8 * bytes - 1))..1 << (8 * bytes - 1)).contains(&value);
        match [1, 2, 4, 8].into_iter().find(|&bytes| fits(bytes)) {
            Some(bytes) => Self { bytes, signed: true, literal: value >= 0 },
            None => Self::U64,
        }
    }

    /// The smallest type that holds both.
    pub fn promoted(self, other: Self) -> Self {
        let bytes = self.bytes.max(other.bytes);
        let (a, b) = match (self.literal, other.literal) {
            (true, true) => return Self { bytes, signed: true, literal: true },
            (true, false) => (Self { signed: other.signed, ..self }, other),
            (false, true) => (self, Self { signed: self.signed, ..other }),
            (false, false) => (self, other),
        };
        if a.signed == b.signed {
            return Self { bytes, signed: a.signed, literal: false };
        }
        let (signed, unsigned) = if a.signed { (a.bytes, b.bytes) } else { (b.bytes, a.bytes) };
        Self { bytes: if signed > unsigned { signed } else { (2 * unsigned).min(8) }, signed: true, literal: false }
    }

    /// What is left of a number in this type.
    pub fn cut(self, value: i128) -> i128 {
        let bits = 8 * self.bytes;
        let low = value & ((1 << bits) - 1);
        if self.signed && low >> (bits - 1) != 0 { low - (1 << bits) } else { low }
    }

    /// As it is written.
    pub fn name(self) -> String {
        format!("{}int{}", if self.signed { "" } else { "u" }, 8 * self.bytes)
    }
}

impl Ty {
    /// The smallest type that holds both; the types must be of one kind.
    pub fn promoted(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.promoted(*b)),
            (Self::Str(a), Self::Str(b)) => Self::Str(*a.max(b)),
            (a, b) => {
                assert_eq!(a, b, "types of one kind");
                a.clone()
            }
        }
    }

    /// The types of what it is made of.
    pub fn parts(&self) -> Option<&[Ty]> {
        match self {
            Self::Tuple(parts) | Self::Record(parts) => Some(parts),
            Self::Int(_) | Self::Bool | Self::Str(_) => None,
        }
    }

    /// The integer.
    pub fn int(&self) -> Option<Int> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_smallest_type_that_holds_them() {
        let of = |value| Int::of_literal(value).name();
        assert_eq!([of(127), of(128), of(-129), of(1 << 40)], ["int8", "int16", "int16", "int64"]);
        assert_eq!(of(u64::MAX.into()), "uint64");
        let u8 = Int { bytes: 1, signed: false, literal: false };
        assert_eq!(u8.promoted(Int::of_literal(255)).name(), "uint16");
        assert_eq!(Int::U32.promoted(Int::of_literal(-1)).name(), "int64");
        assert_eq!(Int::I64.promoted(Int::U64).name(), "int64");
        assert_eq!(u8.cut(-1), 255);
        assert_eq!(Int::I64.cut(1 << 63), -(1 << 63));
    }
}
