//! Reading the kernel's structures.
//!
//! Offsets are constants that the verifier knows (see [`crate::config`]), so one object serves every kernel.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;

/// A kernel address. As a result of [`field`] it is one that the verifier knows the type of.
pub type Address = *const u8;

/// The current task. From here on the verifier knows the types of what the pointers lead to.
#[inline(always)]
pub fn current() -> Address {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_task_btf() as Address }
}

/// Loads a field from a structure that the verifier knows the type of: one instruction, and 0 if the page is not there.
#[inline(always)]
pub fn field<T: Copy>(base: Address, offset: u32) -> T {
    // SAFETY: the verifier checks offset and size against the kernel's BTF.
    unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
}
