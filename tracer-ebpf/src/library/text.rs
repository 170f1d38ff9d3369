//! Walks over texts and other bytes.
//!
//! Sizes are constants that the verifier knows where a function is called. Each walk counts up to one of them with a
//! number that the optimiser must leave as it is (see [`step`]): were it made a pointer, the verifier would not see that
//! the walk ends.

/// A number that the optimiser takes for any.
#[inline(always)]
fn step(number: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    // SAFETY: no instruction at all.
    unsafe {
        let mut number = number;
        core::arch::asm!("/* {0} */", inout(reg) number, options(nomem, nostack, preserves_flags));
        number
    }
    #[cfg(not(target_arch = "bpf"))]
    core::hint::black_box(number)
}

/// The byte at an index.
///
/// # Safety
/// There is one; the verifier sees to it.
#[inline(always)]
unsafe fn at(bytes: *const u8, index: usize) -> u8 {
    // SAFETY: as above.
    unsafe { bytes.add(index).read_volatile() }
}

/// The bytes of a number in reverse order.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_swap_bytes(number: u64) -> u64 {
    number.swap_bytes()
}

/// How many bytes of a text there are before its NUL; all of them if there is none.
///
/// # Safety
/// `text` points to `size` bytes; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_text_length(text: *const u8, size: usize) -> u64 {
    let mut index = 0;
    while index < size {
        // SAFETY: as above.
        if unsafe { at(text, index) } == 0 {
            break;
        }
        index = step(index + 1);
    }
    index as u64
}

/// Where a text is first found in another, or -1. An empty one is found at the beginning.
///
/// # Safety
/// Both pointers point to as many bytes as said; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_find_text(text: *const u8, size: usize, wanted: *const u8, wanted_size: usize) -> i64 {
    let mut start = 0;
    while start < size {
        let mut index = 0;
        loop {
            // SAFETY: the indices are less than the sizes.
            unsafe {
                if index >= wanted_size || at(wanted, index) == 0 {
                    return start as i64;
                }
                if start + index >= size || at(text, start + index) != at(wanted, index) {
                    break;
                }
            }
            index = step(index + 1);
        }
        // SAFETY: as above.
        if unsafe { at(text, start) } == 0 {
            break;
        }
        start = step(start + 1);
    }
    -1
}

/// The difference of the first bytes that are not equal among the first `count`, but no more than `size`; 0 if there are none.
///
/// # Safety
/// Both pointers point to `size` bytes; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_compare_bytes(a: *const u8, b: *const u8, size: usize, count: u64) -> i64 {
    let mut index = 0;
    while index < size {
        if index as u64 >= count {
            break;
        }
        // SAFETY: as above.
        let (a, b) = unsafe { (at(a, index), at(b, index)) };
        if a != b {
            return i64::from(a) - i64::from(b);
        }
        index = step(index + 1);
    }
    0
}

/// Whether two texts, zero behind their ends, are different in their first `words` times 8 bytes.
///
/// `words` must be a constant at the call: the verifier takes as many turns.
///
/// # Safety
/// So much can be read at both addresses, which need not be aligned on the machines there are; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_differ(a: *const u64, b: *const u64, words: u64) -> u64 {
    let mut index = 0;
    while index < words as usize {
        // SAFETY: as above.
        let (a, b) = unsafe { (a.add(index).read_volatile(), b.add(index).read_volatile()) };
        if a != b {
            return 1;
        }
        if has_zero(a) {
            break;
        }
        index = step(index + 1);
    }
    0
}

/// Whether one of the bytes is 0.
#[inline(always)]
fn has_zero(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
}
