//! The latency of system calls, with as little as the kernel lets one get away with: the floor that `cargo xtask bench`
//! measures ctrace against.
//!
//! Two programs for one purpose, written by hand: typed raw tracepoints, the scope in one helper call, the start time in
//! the task's storage, the histogram in a per-CPU array. What ctrace does beyond that is the price of its generality.
#![no_std]
#![expect(missing_docs, reason = "aya-ebpf's macros make public functions")]
#![expect(unsafe_code, reason = "kernel memory, helpers and exported symbols")]

use core::ptr::null_mut;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type};
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_task_storage_get,
};
use aya_ebpf::macros::{btf_map, btf_tracepoint};
use aya_ebpf::programs::BtfTracePointContext;
use tracer_common::bucket::{HDR_BUCKETS, hdr_index};

/// The cgroup that is measured, with its descendants; set by the loader.
#[unsafe(no_mangle)]
static CGROUP: u64 = 0;
/// How far it lies below the root; set by the loader.
#[unsafe(no_mangle)]
static LEVEL: u32 = 0;

/// Offset of `orig_ax` in x86-64's `struct pt_regs` (arch/x86/include/asm/ptrace.h): the number of the call.
const ORIG_AX: usize = 15 * 8;
/// More than there are system calls.
const SYSCALLS: usize = 512;

/// A task storage map in the notation of BTF, which aya-ebpf has no type for.
#[repr(C)]
struct TaskStorage {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const u64,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields describe the map to the loader; nobody reads them.
unsafe impl Sync for TaskStorage {}

/// When the task's current call began, in ns; 0 outside a call.
#[btf_map]
static START: TaskStorage = TaskStorage {
    r#type: null_mut(),
    key: null_mut(),
    value: null_mut(),
    max_entries: null_mut(),
    map_flags: null_mut(),
};

/// By number of the call: how many calls fell into each bucket.
#[btf_map]
static BUCKETS: PerCpuArray<[u64; HDR_BUCKETS], SYSCALLS> = PerCpuArray::new();

/// A call begins.
#[btf_tracepoint(function = "sys_enter")]
pub fn enter(_: BtfTracePointContext) -> i32 {
    if let Some(start) = start(BPF_LOCAL_STORAGE_GET_F_CREATE) {
        // SAFETY: a helper without arguments.
        *start = unsafe { bpf_ktime_get_ns() };
    }
    0
}

/// A call ends.
#[btf_tracepoint(function = "sys_exit")]
pub fn exit(context: BtfTracePointContext) -> i32 {
    let Some(start) = start(0) else { return 0 };
    // SAFETY: a helper without arguments; the first argument of sys_exit is a pt_regs, which the verifier knows.
    let (now, number) = unsafe {
        let registers = *context.as_ptr().cast::<*const u8>();
        (bpf_ktime_get_ns(), *registers.add(ORIG_AX).cast::<u64>())
    };
    let bucket = hdr_index(now - *start) as usize;
    *start = 0;
    if let Some(buckets) = BUCKETS.get_ptr_mut(number as u32)
        && bucket < HDR_BUCKETS
    {
        // SAFETY: within the array; no other program runs on this CPU meanwhile that would count the same call.
        unsafe { (*buckets)[bucket] += 1 };
    }
    0
}

/// The task's start time, if the task is in scope and the map has it, or makes it.
#[inline(always)]
fn start(flags: u32) -> Option<&'static mut u64> {
    // SAFETY: helpers with valid arguments; the globals are read as the loader has set them.
    unsafe {
        let level = core::ptr::read_volatile(&raw const LEVEL);
        if bpf_get_current_ancestor_cgroup_id(level as i32) != core::ptr::read_volatile(&raw const CGROUP) {
            return None;
        }
        let map = (&raw const START).cast_mut().cast();
        bpf_task_storage_get(map, bpf_get_current_task_btf(), null_mut(), flags.into()).cast::<u64>().as_mut()
    }
}

/// Most helpers are for programs under the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
