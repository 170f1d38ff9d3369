//! Stacks and symbols: how a script's values name them, and what the kernel sends of them.
//!
//! A value in a script's key, map or record is a [`StackId`], 16 bytes whatever the depth. The frames behind it go to user
//! space once, through the ring `STACKS`, when they are first seen; the map `SEEN` knows which have been sent.

/// Most frames of a stack: what `kernel.perf_event_max_stack` allows unless it has been raised.
pub const MAX_FRAMES: usize = 127;

/// A stack, or a single address, of one address space. All zeros: there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackId {
    /// A digest of the frames and of the address space that they lie in.
    pub digest: u64,
    /// How many frames.
    pub frames: u64,
}

/// The head of a record in `STACKS`; `id.frames` addresses of 8 bytes follow, innermost first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackHead {
    /// What scripts name it by.
    pub id: StackId,
    /// The process, as the scope's pid namespace numbers it; 0 for one that cannot be seen from there, and for the kernel.
    pub pid: u32,
    /// Whether the frames are a process's, not the kernel's.
    pub user: u32,
    /// What tells the process's address space from those that it had before an exec, and from those of processes that had
    /// its number: the address of its `mm_struct`.
    pub space: u64,
    /// When it was seen first, on CLOCK_MONOTONIC, in ns.
    pub time: u64,
}

/// Bytes of a [`StackHead`].
pub const HEAD_SIZE: usize = size_of::<StackHead>();

/// Bytes of `STACKS`.
pub const STACKS_SIZE: u32 = 1 << 20;

/// How many stacks `SEEN` remembers. It forgets those that have not been seen for longest, which are sent again.
pub const SEEN_STACKS: u32 = 1 << 15;

/// In the last argument of `ct_stack`: the process's stack, not the kernel's. The lower 7 bits are the most frames, bits
/// 16 to 23 how many innermost frames are left out.
pub const USER: u64 = 1 << 8;

/// In the same: one frame more is asked for than the script may see, as the innermost may be left out when it is shown.
pub const SPARE: u64 = 1 << 9;

/// A digest in two halves, by one of which a stack is found, and by the other of which it is known to be that stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// What a stack is found by.
    pub name: u64,
    /// What it is compared by.
    pub check: u64,
}

impl Digest {
    /// Of nothing, in an address space.
    #[inline(always)]
    pub fn new(space: u64) -> Self {
        Self { name: 0x9e37_79b9_7f4a_7c15, check: 0xc2b2_ae3d_27d4_eb4f }.with(space)
    }

    /// Of what it was a digest of, and then a word.
    #[inline(always)]
    pub fn with(self, word: u64) -> Self {
        // Odd multipliers, so that no step loses anything of the state; the shift brings high bits, which a product mixes
        // best, to where the next word is.
        let name = (self.name ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let check = (self.check ^ word).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Self { name: name ^ name >> 32, check: check ^ check >> 29 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn stacks_that_differ_in_one_frame_or_in_their_order_have_other_digests() {
        let of = |frames: &[u64]| frames.iter().fold(Digest::new(7), |digest, &frame| digest.with(frame));
        let base = 0x0055_5555_5540_0000;
        let mut seen = HashSet::new();
        for low in 0..300 {
            for high in 0..300 {
                let digest = of(&[base + low, base + high]);
                assert!(seen.insert(digest.name), "{low} {high}");
            }
        }
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[1]), of(&[1, 0]));
        assert_ne!(Digest::new(1).with(5), Digest::new(2).with(5));
    }
}
