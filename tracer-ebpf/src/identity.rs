//! The identity program: tells who runs it.
//!
//! A container does not see where it lies: its own cgroup is the root of what it is shown, its pid namespace the first
//! one. A program that it runs itself, through BPF_PROG_TEST_RUN, is run in its own context and can ask the kernel.

use aya_ebpf::{
    helpers::generated::bpf_get_current_ancestor_cgroup_id,
    macros::{map, raw_tracepoint},
    maps::Array,
    programs::RawTracePointContext,
};
use tracer_common::identity::Identity;

use crate::{
    config::scope,
    kernel::{Address, current, field},
};

/// The answer.
#[map]
static IDENTITY: Array<Identity> = Array::with_max_entries(1, 0);

/// Fills in [`IDENTITY`]. Of `SCOPE`, the kernel's offsets are used.
#[raw_tracepoint]
pub fn identity(_: RawTracePointContext) -> i32 {
    if let Some(identity) = IDENTITY.get_ptr_mut(0) {
        // SAFETY: a value of the map; nobody else runs this program.
        let identity = unsafe { &mut *identity };
        for (level, id) in identity.cgroups.iter_mut().enumerate() {
            // SAFETY: a helper without pointers; 0 for a level below the task's own.
            *id = unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) };
        }
        let pid: Address = field(current(), scope!(offsets.task_thread_pid));
        identity.pidns_level = u64::from(field::<u32>(pid, scope!(offsets.pid_level)));
    }
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
