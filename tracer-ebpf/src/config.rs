//! What user space tells the programs before they are loaded.

use core::sync::atomic::AtomicU64;

use tracer_common::scope::{KernelOffsets, Scope};

/// The configuration, written by user space before the object is loaded.
///
/// The kernel freezes read-only data, so the verifier knows every field and drops the branches that do not apply.
#[unsafe(no_mangle)]
pub static SCOPE: Scope = Scope {
    kind: 0,
    filter: 0,
    cgroup_id: 0,
    cgroup_level: 0,
    pidns_inum: 0,
    pidns_level: 0,
    tgid: 0,
    offsets: KernelOffsets {
        task_thread_pid: 0,
        task_group_leader: 0,
        task_real_parent: 0,
        task_mm: 0,
        pid_level: 0,
        pid_numbers: 0,
        upid_size: 0,
        upid_nr: 0,
        upid_ns: 0,
        pidns_inum: 0,
        task_cgroups: 0,
        css_set_dfl_cgrp: 0,
        cgroup_level: 0,
        cgroup_kn: 0,
        kernfs_node_id: 0,
        task_pid: 0,
        task_tgid: 0,
        cgroup_ancestors: 0,
        sock_cgroup: 0,
        sock_state: 0,
        skb_sk: 0,
    },
};

/// When the script began, on the boot-time clock in ns, written by user space before the object is loaded. Only generated
/// code reads it.
#[unsafe(no_mangle)]
pub static START_TIME: u64 = 0;

/// 0, in memory that might be written to: the verifier does not know what a program reads from it. Generated code adds it to
/// what must not be known, so that loops are looked at once and not once a turn.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data")]
pub static UNKNOWN_ZERO: AtomicU64 = AtomicU64::new(0);

/// A field of [`SCOPE`] as it will be when the program runs, not as the compiler sees it.
macro_rules! scope {
    ($($field:ident).+) => {{
        $crate::config::value(&$crate::config::SCOPE.$($field).+)
    }};
}
pub(crate) use scope;

/// Reads volatile, because user space replaces the bytes before loading.
#[inline(always)]
pub fn value<T: Copy>(field: &'static T) -> T {
    // SAFETY: a reference is readable.
    unsafe { core::ptr::from_ref(field).read_volatile() }
}
