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
    // Written out: of a loop over numbers that begin with an unknown one, 6.1's verifier does not see the end.
    macro_rules! take_first {
        ($($area:literal)*) => {
            $(
                if let Some(area) = take(first + $area) {
                    return area;
                }
            )*
            const _: () = assert!([$($area),*].len() == AREAS as usize);
        };
    }
    take_first!(0 1 2 3 4 5 6 7);
    core::ptr::null_mut()
}

/// The area, if nobody owned it.
#[inline(always)]
fn take(area: u32) -> Option<*mut u64> {
    let area = SCRATCH.get_ptr_mut(area)?;
    // SAFETY: the map's value.
    let owned = unsafe { exchange(area, 1) };
    (owned == 0).then_some(area)
}
