//! Counting what goes wrong by its place in the script (see [`tracer_common::failure`]).

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_ringbuf_submit, macros::map, maps::HashMap};
use tracer_common::{
    failure::{FAILURE_RECORD, Failed},
    record::{HEADER_SIZE, RecordHeader},
};

use super::{atomic::atomic_add, ring::reserve_event};

/// Most kinds, places and errors that are told apart.
const MAX_FAILURES: u32 = 1024;

/// How often what has failed where.
#[map]
static FAILURES: HashMap<Failed, u64> = HashMap::with_max_entries(MAX_FAILURES, 0);

/// Counts a failure, and sends a record if it is the first of its kind at its place. It is told at the end where there is
/// no room for the record.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_failed(kind: u32, start: u32, end: u32, error: i32) {
    let failed = Failed { kind, start, end, error };
    if FAILURES.get_ptr(failed).is_none() && FAILURES.insert(failed, 0, u64::from(BPF_NOEXIST)).is_ok() {
        let record = reserve_event((HEADER_SIZE + Failed::SIZE) as u64);
        if !record.is_null() {
            // SAFETY: there is room for both, and nothing is between them.
            unsafe {
                record.cast::<RecordHeader>().write(RecordHeader { id: FAILURE_RECORD, probe: 0 });
                record.add(HEADER_SIZE).cast::<Failed>().write(failed);
                bpf_ringbuf_submit(record.cast(), 0);
            }
        }
    }
    if let Some(count) = FAILURES.get_ptr_mut(failed) {
        // SAFETY: the map's value.
        unsafe { atomic_add(count, 1) };
    }
}
