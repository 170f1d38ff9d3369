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

/// Room for a record of `size` bytes, which the caller must submit; null if the ring is full, which is counted.
///
/// `size` must be a constant at the call: the verifier gives the result that size.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_reserve(size: u64) -> *mut u8 {
    let record = reserve(&EVENTS, size);
    if record.is_null() {
        full(size);
    }
    record
}

/// The same for a record that must not be lost: where `EVENTS` is full, room is in `CONTROL`, if that leaves `spare` bytes
/// there (for `exit`, which gives 0).
///
/// `size` must be a constant at the call.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_reserve_control(size: u64, spare: u64) -> *mut u8 {
    let record = reserve(&EVENTS, size);
    if !record.is_null() {
        return record;
    }
    let position = query(&EVENTS, BPF_RB_PROD_POS);
    let stamp = size.next_multiple_of(8);
    if query(&CONTROL, BPF_RB_AVAIL_DATA) + spare <= u64::from(CONTROL_SIZE) {
        let record = reserve(&CONTROL, stamp + STAMP_SIZE as u64);
        if !record.is_null() {
            // SAFETY: the stamp's room is behind the record's.
            unsafe { record.add(stamp as usize).cast::<u64>().write(position) };
            return record;
        }
    }
    full(size);
    core::ptr::null_mut()
}

#[inline(always)]
fn full(size: u64) {
    diagnose::ring_full(size as i64);
    ct_lost(Loss::RingFull as u32);
}
