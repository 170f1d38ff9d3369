//! What goes wrong while a script runs, and at which place of it.
//!
//! A program counts each failure by its kind, place and error in a hash map of [`Failed`] → `u64`. The first of each goes to
//! the ring as a record of its own, so that it is told when it happens.

/// What has failed.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A map did not take a key.
    MapUpdate = 0,
    /// Memory of the process could not be read.
    ReadUser = 1,
    /// Memory of the kernel could not be read.
    ReadKernel = 2,
    /// A text in memory of the process could not be read.
    ReadUserText = 3,
    /// A text in memory of the kernel could not be read.
    ReadKernelText = 4,
    /// A thread's storage could not be made.
    Storage = 5,
    /// A loop took more turns than the kernel allows.
    Loop = 6,
    /// A divisor was 0.
    ZeroDivisor = 7,
    /// There was no such element.
    NoElement = 8,
}

impl Failure {
    /// All of them, in the order of their numbers.
    pub const ALL: [Failure; 9] = [
        Failure::MapUpdate,
        Failure::ReadUser,
        Failure::ReadKernel,
        Failure::ReadUserText,
        Failure::ReadKernelText,
        Failure::Storage,
        Failure::Loop,
        Failure::ZeroDivisor,
        Failure::NoElement,
    ];

    /// Whether memory could not be read: scripts try, so this is told only to those who ask.
    pub fn is_read(self) -> bool {
        matches!(self, Self::ReadUser | Self::ReadKernel | Self::ReadUserText | Self::ReadKernelText)
    }
}

/// The id of records that tell of a failure: that of no record of a plan.
pub const FAILURE_RECORD: u32 = u32::MAX;

/// A kind of failure at a place: a key of the map of failures, and the payload of its record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failed {
    /// A [`Failure`], and in the upper bytes the number of the map that it is of, from 1 on.
    pub kind: u32,
    /// First byte of the place in the script.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// What the kernel has said: 0, or a negative errno.
    pub error: i32,
}

/// Bits of a kind below the map.
const MAP_SHIFT: u32 = 8;

impl Failed {
    /// A kind of failure of the map of this number.
    pub const fn kind_of(failure: Failure, map: u32) -> u32 {
        failure as u32 | (map + 1) << MAP_SHIFT
    }

    /// Bytes of it.
    pub const SIZE: usize = size_of::<Failed>();

    /// Out of its bytes; `None` if there are too few.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words: &[[u8; 4]; 4] = bytes.as_chunks().0.first_chunk()?;
        let [kind, start, end, error] = words.map(u32::from_le_bytes);
        Some(Self { kind, start, end, error: error.cast_signed() })
    }

    /// Its kind, if it is one that there is.
    pub fn failure(&self) -> Option<Failure> {
        Failure::ALL.get((self.kind & ((1 << MAP_SHIFT) - 1)) as usize).copied()
    }

    /// The number of the map that has failed, if it is one that has.
    pub fn map(&self) -> Option<u32> {
        (self.kind >> MAP_SHIFT).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (index, kind) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn bytes_are_read_as_the_kernel_side_writes_them() {
        let bytes = [7, 0, 0, 0, 21, 0, 0, 0, 25, 1, 0, 0, 0xf9, 0xff, 0xff, 0xff];
        let failed = Failed { kind: 7, start: 21, end: 281, error: -7 };
        assert_eq!(Failed::from_bytes(&bytes), Some(failed));
        assert_eq!(failed.failure(), Some(Failure::ZeroDivisor));
        assert_eq!(Failed::from_bytes(&bytes[1..]), None);
        assert_eq!(failed.map(), None);
        assert_eq!(Failed { kind: 99, ..failed }.failure(), None);
        let of_map = Failed { kind: Failed::kind_of(Failure::MapUpdate, 255), ..failed };
        assert_eq!((of_map.failure(), of_map.map()), (Some(Failure::MapUpdate), Some(255)));
    }
}
