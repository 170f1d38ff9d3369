//! Room for records in the rings (see [`tracer_common::record`]).

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_PROD_POS},
    helpers::generated::{bpf_ringbuf_query, bpf_ringbuf_reserve},
    macros::map,
    maps::RingBuf,
};
use tracer_common::{
    loss::Loss,
    record::{CONTROL_SIZE, STAMP_SIZE},
};

use super::{diagnose, loss::ct_lost};

/// The ring of records; user space sets its size before it is made.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// The ring of records that must not be lost and that `EVENTS` had no room for.
#[map]
static CONTROL: RingBuf = RingBuf::with_byte_size(CONTROL_SIZE, 0);

#[inline(always)]
fn address(ring: &'static RingBuf) -> *mut core::ffi::c_void {
    core::ptr::from_ref(ring).cast_mut().cast()
}

/// Room in a ring, or null.
#[inline(always)]
fn reserve(ring: &'static RingBuf, size: u64) -> *mut u8 {
    // SAFETY: the map is a ring.
    unsafe { bpf_ringbuf_reserve(address(ring), size, 0) }.cast()
}

#[inline(always)]
fn query(ring: &'static RingBuf, what: u32) -> u64 {
    // SAFETY: the map is a ring.
    unsafe { bpf_ringbuf_query(address(ring), what.into()) }
}

/// Room in `EVENTS` for a record of `size` bytes, which the caller must submit; null if the ring is full.
#[inline(always)]
pub fn reserve_event(size: u64) -> *mut u8 {
    reserve(&EVENTS, size)
}

/// Room in `CONTROL` for a record that must not be lost and that `EVENTS` has no room for; null if that would leave less
/// than `spare` bytes there. The caller must have it stamped (`ct_stamp`).
///
/// `size` must be a constant at the call: the verifier gives the result that size. It is not compared with null here: before
/// 6.3 the verifier forgets the outcome when the caller compares it again.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_reserve_control(size: u64, spare: u64) -> *mut u8 {
    if query(&CONTROL, BPF_RB_AVAIL_DATA) + spare > u64::from(CONTROL_SIZE) {
        return core::ptr::null_mut();
    }
    reserve(&CONTROL, size.next_multiple_of(8) + STAMP_SIZE as u64)
}

/// Writes behind a record of `size` bytes in `CONTROL` where among the others it belongs.
///
/// # Safety
/// `record` is what `ct_reserve_control` has given for that size; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_stamp(record: *mut u8, size: u64) {
    // SAFETY: the stamp's room is behind the record's.
    unsafe {
        let stamp = record.add(size.next_multiple_of(8) as usize);
        stamp.cast::<u64>().write(query(&EVENTS, BPF_RB_PROD_POS));
    }
}

/// Counts a record of `size` bytes that no ring had room for.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_ring_full(size: u64) {
    diagnose::ring_full(size as i64);
    ct_lost(Loss::RingFull as u32);
}
