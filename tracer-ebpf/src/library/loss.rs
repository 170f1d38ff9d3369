//! Counting what does not reach user space.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::loss::LOSS_KINDS;

use super::atomic::atomic_add;

/// How often each kind of loss occurred, on each CPU.
#[map]
static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOSS_KINDS as u32, 0);

/// Counts a loss; `kind` is a [`tracer_common::loss::Loss`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_lost(kind: u32) {
    if let Some(count) = LOSSES.get_ptr_mut(kind) {
        // SAFETY: the map's value for this CPU.
        unsafe { atomic_add(count, 1) };
    }
}
