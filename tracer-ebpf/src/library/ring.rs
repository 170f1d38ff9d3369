//! Room for records in the ring.

use aya_ebpf::{helpers::generated::bpf_ringbuf_reserve, macros::map, maps::RingBuf};
use tracer_common::loss::Loss;

use super::{diagnose, loss::ct_lost};

/// The ring of records; user space sets its size before it is made.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Room for a record of `size` bytes, which the caller must submit or discard; null if the ring is full.
///
/// `size` must be a constant at the call: the verifier gives the result that size.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_reserve(size: u64) -> *mut u8 {
    // SAFETY: the map is a ring.
    let record = unsafe { bpf_ringbuf_reserve((&raw const EVENTS).cast_mut().cast(), size, 0) };
    if record.is_null() {
        diagnose::ring_full(size as i64);
        ct_lost(Loss::RingFull as u32);
    }
    record.cast()
}
