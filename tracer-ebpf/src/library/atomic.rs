//! Atomic instructions: the target has them, but Rust does not offer them there.

#[cfg(target_arch = "bpf")]
pub use bpf::{atomic_add, compare_exchange, exchange, fetch_add};
#[cfg(not(target_arch = "bpf"))]
pub use host::{atomic_add, compare_exchange, exchange, fetch_add};

#[cfg(target_arch = "bpf")]
mod bpf {
    use core::arch::asm;

    /// Adds `n` to `*cell` in one step that no interrupt can split.
    ///
    /// # Safety
    /// `cell` points to 8 aligned bytes that may be written.
    #[inline(always)]
    pub unsafe fn atomic_add(cell: *mut u64, n: u64) {
        // SAFETY: as above.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) cell, in(reg) n) };
    }

    /// Adds `n` to `*cell`. Returns what that held.
    ///
    /// # Safety
    /// `cell` points to 8 aligned bytes that may be written.
    #[inline(always)]
    pub unsafe fn fetch_add(cell: *mut u64, n: u64) -> u64 {
        let held;
        // SAFETY: as above.
        unsafe { asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) cell, inout(reg) n => held) };
        held
    }

    /// Puts `new` in the place of `old`, if that is what `*cell` holds. Returns what it held.
    ///
    /// # Safety
    /// `cell` points to 8 aligned bytes that may be written.
    #[inline(always)]
    pub unsafe fn compare_exchange(cell: *mut u64, old: u64, new: u64) -> u64 {
        let held;
        // SAFETY: as above.
        unsafe { asm!("r0 = cmpxchg_64({0} + 0, r0, {1})", in(reg) cell, in(reg) new, inout("r0") old => held) };
        held
    }

    /// Puts `new` into `*cell`. Returns what that held.
    ///
    /// # Safety
    /// `cell` points to 8 aligned bytes that may be written.
    #[inline(always)]
    pub unsafe fn exchange(cell: *mut u64, new: u64) -> u64 {
        let held;
        // SAFETY: as above.
        unsafe { asm!("{1} = xchg_64({0} + 0, {1})", in(reg) cell, inout(reg) new => held) };
        held
    }
}

/// What an editor and a linter see: the same functions where the crate is only checked.
#[cfg(not(target_arch = "bpf"))]
mod host {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    pub unsafe fn atomic_add(cell: *mut u64, n: u64) {
        // SAFETY: as for BPF.
        unsafe { AtomicU64::from_ptr(cell) }.fetch_add(n, Relaxed);
    }

    pub unsafe fn fetch_add(cell: *mut u64, n: u64) -> u64 {
        // SAFETY: as for BPF.
        unsafe { AtomicU64::from_ptr(cell) }.fetch_add(n, Relaxed)
    }

    pub unsafe fn compare_exchange(cell: *mut u64, old: u64, new: u64) -> u64 {
        // SAFETY: as for BPF.
        unsafe { AtomicU64::from_ptr(cell) }.compare_exchange(old, new, Relaxed, Relaxed).unwrap_or_else(|held| held)
    }

    pub unsafe fn exchange(cell: *mut u64, new: u64) -> u64 {
        // SAFETY: as for BPF.
        unsafe { AtomicU64::from_ptr(cell) }.swap(new, Relaxed)
    }
}
