//! Aggregations: making their entries and updating their values.

use core::sync::atomic::AtomicU64;

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_map_update_elem};
use tracer_common::{
    agg::{Hdr, MAX_MAPS, MAX_VALUE_SIZE},
    bucket::{self, HDR_BUCKETS},
    loss::Loss,
};

use super::{
    atomic::{atomic_add, compare_exchange},
    diagnose,
    loss::ct_lost,
};

/// The generation that each of the script's maps writes to (see [`tracer_common::agg`]). Generated code reads it, user
/// space moves it on.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
static GENERATIONS: [AtomicU64; MAX_MAPS] = [const { AtomicU64::new(0) }; MAX_MAPS];

/// What a new entry is copied from.
#[unsafe(no_mangle)]
pub static ZEROS: [u64; MAX_VALUE_SIZE / 8] = [0; MAX_VALUE_SIZE / 8];

const EEXIST: i64 = 17;

/// Makes an entry of zeros for the key that `key` points to. 0, also if there is one already; else a negative errno,
/// which is counted.
///
/// # Safety
/// `map` is a map whose values are at most [`MAX_VALUE_SIZE`] bytes long; the verifier sees to it, and to the key.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_insert(map: *mut core::ffi::c_void, key: *const core::ffi::c_void) -> i64 {
    // SAFETY: as above.
    let result = unsafe { bpf_map_update_elem(map, key, (&raw const ZEROS).cast(), u64::from(BPF_NOEXIST)) };
    if result == 0 || result == -EEXIST {
        return 0;
    }
    diagnose::map_full(result);
    ct_lost(Loss::MapFull as u32);
    result
}

/// Puts `new` in the place of `old` in a slot's word, which says whose it is (`plan::Front`, `plan::Threads` of the compiler): 1 if
/// that was there, else 0 and nothing changed.
///
/// # Safety
/// `word` points to a word of a map's value; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_take_word(word: *mut u64, old: u64, new: u64) -> u64 {
    // SAFETY: as above.
    u64::from(unsafe { compare_exchange(word, old, new) } == old)
}

/// Adds `value` to an [`Hdr`] that nothing else on this CPU writes to meanwhile.
///
/// # Safety
/// `hdr` points to a map's value; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_hdr_update(hdr: *mut Hdr, value: u64) {
    // SAFETY: as above.
    let hdr = unsafe { &mut *hdr };
    let stats = &mut hdr.stats;
    if stats.count == 0 || value < stats.min {
        stats.min = value;
    }
    if value > stats.max {
        stats.max = value;
    }
    stats.count = stats.count.wrapping_add(1);
    stats.total = stats.total.wrapping_add(value);
    if let Some(bucket) = hdr.buckets.get_mut(bucket::hdr_index(value) as usize) {
        *bucket = bucket.wrapping_add(1);
    }
}

/// How often another program may come between before an extreme value is given up; that many never do.
const MAX_ATTEMPTS: u32 = 8;

/// The same where another program on this CPU may write to the value meanwhile.
///
/// # Safety
/// `hdr` points to a map's value; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_hdr_update_atomic(hdr: *mut Hdr, value: u64) {
    // SAFETY: as above; the index is compared with the array's length.
    unsafe {
        let buckets = (&raw mut (*hdr).buckets).cast::<u64>();
        let index = bucket::hdr_index(value) as usize;
        if index < HDR_BUCKETS {
            atomic_add(buckets.add(index), 1);
        }

        let max = &raw mut (*hdr).stats.max;
        for _ in 0..MAX_ATTEMPTS {
            let held = max.read_volatile();
            if value <= held || compare_exchange(max, held, value) == held {
                break;
            }
        }

        // A `min` of 0 is the smallest value if the bucket of zeros is not empty, else there is none yet.
        let min = &raw mut (*hdr).stats.min;
        for _ in 0..MAX_ATTEMPTS {
            let held = min.read_volatile();
            let zero_seen = buckets.read_volatile() != 0;
            let new = if zero_seen { 0 } else { value };
            if (held == 0 && zero_seen) || (held != 0 && new >= held) {
                break;
            }
            // Once more after an exchange: a zero may have been counted between looking and writing.
            compare_exchange(min, held, new);
        }

        atomic_add(&raw mut (*hdr).stats.total, value);
        atomic_add(&raw mut (*hdr).stats.count, 1);
    }
}

/// How often others, each with a larger number than the one before, may come between a look and an exchange.
const MAX_RAISES: u32 = 64;

/// Puts `number` in the place of what `cell` holds if that is smaller, also where another program writes to it meanwhile.
///
/// # Safety
/// `cell` points to a field of a map's value; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_raise(cell: *mut u64, number: u64) {
    for _ in 0..MAX_RAISES {
        // SAFETY: as above.
        let held = unsafe { cell.read_volatile() };
        // SAFETY: as above.
        if number <= held || unsafe { compare_exchange(cell, held, number) } == held {
            break;
        }
    }
}

/// The bucket of a signed `value` in a power-of-two histogram of 2^`bits` buckets per power.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_log2_index(value: i64, bits: u32) -> u64 {
    u64::from(bucket::log2_index(value, bits))
}

/// The bucket of `value` in a histogram of equal steps.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_linear_index(value: i64, min: i64, max: i64, step: i64) -> u64 {
    u64::from(bucket::linear_index(value, min, max, step))
}
