//! Walks over texts and other bytes.
//!
//! Sizes are constants that the verifier knows where a function is called. Each walk counts up to one of them with a
//! number that the optimiser must leave as it is (see [`step`]): were it made a pointer, the verifier would not see that
//! the walk ends.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;

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

/// The address so many bytes on.
///
/// The number is added to the address. The verifier takes an address that is added to a number for one in the frame of the
/// program, though it be one in the frame of a callback.
///
/// # Safety
/// It is in the same memory; the verifier sees to it.
#[inline(always)]
unsafe fn behind<T>(start: *const T, bytes: usize) -> *const T {
    #[cfg(target_arch = "bpf")]
    // SAFETY: an addition.
    unsafe {
        let mut place = start;
        core::arch::asm!("{0} += {1}", inout(reg) place, in(reg) bytes, options(pure, nomem, nostack, preserves_flags));
        place
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as above.
    unsafe {
        start.byte_add(bytes)
    }
}

/// The byte at an index.
///
/// # Safety
/// There is one; the verifier sees to it.
#[inline(always)]
unsafe fn at(bytes: *const u8, index: usize) -> u8 {
    // SAFETY: as above.
    unsafe { behind(bytes, index).read_volatile() }
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

/// A search in a text, as the two loops of it see it.
///
/// A search takes as many turns as two texts have bytes, multiplied. Were they jumps, the verifier would follow each, so they
/// are calls back, of which it follows one. The sizes and addresses here are known to it, the rest is not.
#[repr(C)]
struct Search {
    text: *const u8,
    size: u64,
    wanted: *const u8,
    wanted_size: u64,
    /// Where the text is compared with what is wanted.
    start: u64,
    /// Whether a byte has been found to be another one.
    differs: u64,
    /// The result.
    found: i64,
}

/// `bpf_loop`: calls a function up to `turns` times with the number of the turn, until it says 1.
///
/// # Safety
/// The function expects `search`.
#[inline(always)]
unsafe fn take_turns(turns: u64, turn: unsafe extern "C" fn(u64, *mut Search) -> u64, search: *mut Search) {
    // SAFETY: as above; the verifier knows both.
    unsafe { bpf_loop(turns as u32, turn as *mut c_void, search.cast(), 0) };
}

/// Where a text is first found in another, or -1. An empty one is found at the beginning.
///
/// # Safety
/// Both pointers point to as many bytes as said; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_find_text(text: *const u8, size: u64, wanted: *const u8, wanted_size: u64) -> i64 {
    // SAFETY: texts have a byte at least.
    if unsafe { at(wanted, 0) } == 0 {
        return 0;
    }
    let mut search = Search { text, size, wanted, wanted_size, start: 0, differs: 0, found: -1 };
    let search = &raw mut search;
    // SAFETY: that is what the function expects.
    unsafe {
        take_turns(size, ct_find_text_here, search);
        (&raw const (*search).found).read_volatile()
    }
}

/// A turn of [`ct_find_text`]: is it at this byte?
///
/// # Safety
/// The verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn ct_find_text_here(start: u64, search: *mut Search) -> u64 {
    // SAFETY: the numbers are less than the sizes.
    unsafe {
        if start >= (*search).size {
            return 1;
        }
        let here = at((*search).text, start as usize);
        if here == 0 {
            return 1;
        }
        if here != at((*search).wanted, 0) {
            return 0;
        }
        (&raw mut (*search).start).write_volatile(start);
        (&raw mut (*search).differs).write_volatile(0);
        take_turns((*search).wanted_size, ct_find_text_compare, search);
        if (&raw const (*search).differs).read_volatile() != 0 {
            return 0;
        }
        (&raw mut (*search).found).write_volatile(start as i64);
    }
    1
}

/// A turn of [`ct_find_text_here`]: is this byte the one that is wanted?
///
/// # Safety
/// The verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn ct_find_text_compare(index: u64, search: *mut Search) -> u64 {
    // SAFETY: the numbers are less than the sizes.
    unsafe {
        if index >= (*search).wanted_size {
            return 1;
        }
        let wanted = at((*search).wanted, index as usize);
        if wanted == 0 {
            return 1;
        }
        let place = (&raw const (*search).start).read_volatile() + index;
        if place < (*search).size && at((*search).text, place as usize) == wanted {
            return 0;
        }
        (&raw mut (*search).differs).write_volatile(1);
    }
    1
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
        let (a, b) = unsafe { (behind(a, 8 * index).read_volatile(), behind(b, 8 * index).read_volatile()) };
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
