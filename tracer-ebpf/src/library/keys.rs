//! How many keys an aggregation has: never more than the script allows (see [`tracer_common::agg::key_count`]).

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem},
    macros::map,
    maps::Array,
};
use tracer_common::{
    agg::{KEY_COUNTS, PERIOD_SHIFT, key_count},
    loss::Loss,
};

use super::{
    aggregate::ZEROS,
    atomic::{atomic_add, fetch_add},
    diagnose,
    loss::ct_lost,
};

/// How many keys each map has in each period, and behind each number how many of user space's making.
#[map]
static KEYS: Array<u64> = Array::with_max_entries(KEY_COUNTS, 0);

const E2BIG: i64 = 7;
const EEXIST: i64 = 17;

/// Lists a key of the script's map of that number, unless it is listed or `limit` keys are: 0, or a negative errno, which
/// is counted. The key begins with its generation.
///
/// # Safety
/// `list` is the hash of such keys; the verifier sees to it, and to the key.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_admit(list: *mut c_void, key: *mut u64, map: u32, limit: u64) -> i64 {
    // SAFETY: as above; the generation is put back.
    unsafe {
        let generation = *key;
        *key = u64::from(generation as u32 >> PERIOD_SHIFT);
        let listed = !bpf_map_lookup_elem(list, key.cast()).is_null();
        let result = if listed { 0 } else { add(list, key, map, limit) };
        *key = generation;
        result
    }
}

/// Makes an entry of zeros in a map that is whole in the kernel, unless it has `limit` keys: 0, also if there is one
/// already; or a negative errno, which is counted.
///
/// # Safety
/// As for `ct_insert`.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_add_key(aggregation: *mut c_void, key: *mut u64, map: u32, limit: u64) -> i64 {
    // SAFETY: as above.
    unsafe { add(aggregation, key, map, limit) }
}

/// Deletes a key of such a map, if it is there.
///
/// # Safety
/// The verifier sees to the map and to the key.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_delete_key(aggregation: *mut c_void, key: *mut u64, map: u32) -> i64 {
    // SAFETY: as above; the count is the map's value.
    unsafe {
        // It fails only where there is no such key.
        if bpf_map_delete_elem(aggregation, key.cast()) == 0
            && let Some(count) = KEYS.get_ptr_mut(key_count(map, *key))
        {
            atomic_add(count, u64::MAX);
        }
    }
    0
}

/// Adds a key that begins with its period to a hash.
///
/// # Safety
/// As for `ct_insert`.
#[inline(always)]
unsafe fn add(hash: *mut c_void, key: *mut u64, map: u32, limit: u64) -> i64 {
    // SAFETY: as above; the counts are the map's values.
    let result = unsafe {
        let first = key_count(map, *key);
        let (Some(count), Some(given)) = (KEYS.get_ptr_mut(first), KEYS.get_ptr(first + 1)) else { return -E2BIG };
        let given = *given;
        // Looked at first, so that of many who are refused none takes the last place for a moment.
        if count.read_volatile() + given >= limit {
            -E2BIG
        } else if fetch_add(count, 1) + given >= limit {
            atomic_add(count, u64::MAX);
            -E2BIG
        } else {
            let result = bpf_map_update_elem(hash, key.cast(), (&raw const ZEROS).cast(), u64::from(BPF_NOEXIST));
            if result != 0 {
                atomic_add(count, u64::MAX);
            }
            result
        }
    };
    // Another CPU may have made it meanwhile, and have taken the last place by that.
    // SAFETY: as above.
    if result == 0 || result == -EEXIST || !unsafe { bpf_map_lookup_elem(hash, key.cast()) }.is_null() {
        return 0;
    }
    diagnose::map_full(result);
    ct_lost(Loss::MapFull as u32);
    result
}
