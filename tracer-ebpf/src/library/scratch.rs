//! Scratch memory (see [`tracer_common::scratch`]).

use aya_ebpf::{helpers::generated::bpf_get_smp_processor_id, macros::map, maps::Array};
use tracer_common::scratch::AREAS;

use super::atomic::exchange;

/// The areas, each CPU's together. The linker says how many there are and how large; each begins with its owner's mark.
#[map]
static SCRATCH: Array<u64> = Array::with_max_entries(1, 0);

/// An area that is the caller's until it writes 0 to its first 8 bytes; null if all of this CPU are in use.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_claim() -> *mut u64 {
    // SAFETY: a helper without arguments.
    let first = unsafe { bpf_get_smp_processor_id() } * AREAS;
    for area in first..first + AREAS {
        let Some(area) = SCRATCH.get_ptr_mut(area) else { break };
        // SAFETY: the map's value.
        if unsafe { exchange(area, 1) } == 0 {
            return area;
        }
    }
    core::ptr::null_mut()
}
