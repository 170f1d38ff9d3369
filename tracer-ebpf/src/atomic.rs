//! Atomic addition: the target has the instruction, but Rust does not offer it there.

/// Adds `n` to `*counter` in one step that no interrupt can split.
///
/// # Safety
/// `counter` points to 8 aligned bytes that may be written.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub unsafe fn atomic_add(counter: *mut u64, n: u64) {
    // SAFETY: as above.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) n) };
}

/// The same where the crate is only checked.
///
/// # Safety
/// `counter` points to 8 aligned bytes that may be written.
#[cfg(not(target_arch = "bpf"))]
pub unsafe fn atomic_add(counter: *mut u64, n: u64) {
    // SAFETY: as above.
    unsafe { core::sync::atomic::AtomicU64::from_ptr(counter) }.fetch_add(n, core::sync::atomic::Ordering::Relaxed);
}
