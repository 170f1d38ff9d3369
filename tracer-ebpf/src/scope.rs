//! Whether the current task is to be traced: the first question of every program.

use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use tracer_common::scope::{KernelOffsets, ProcessFilter, Scope, ScopeKind};

use crate::{follow, task};

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
        pid_level: 0,
        pid_numbers: 0,
        upid_size: 0,
        upid_nr: 0,
        upid_ns: 0,
        pidns_inum: 0,
    },
};

/// A field of [`SCOPE`] as it will be when the program runs, not as the compiler sees it.
macro_rules! scope {
    ($($field:ident).+) => {{
        $crate::scope::value(&$crate::scope::SCOPE.$($field).+)
    }};
}
pub(crate) use scope;

/// Reads volatile, because user space replaces the bytes before loading.
#[inline(always)]
pub fn value<T: Copy>(field: &'static T) -> T {
    // SAFETY: a reference is readable.
    unsafe { core::ptr::from_ref(field).read_volatile() }
}

/// 1 if the current task is in scope and passes the process filter, else 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_in_scope() -> u64 {
    let kind = scope!(kind);
    if kind == ScopeKind::Cgroup as u32 {
        // SAFETY: a helper without pointers.
        let id = unsafe { bpf_get_current_ancestor_cgroup_id(scope!(cgroup_level) as i32) };
        if id != scope!(cgroup_id) {
            return 0;
        }
    }
    if kind == ScopeKind::PidNamespace as u32 && !task::in_pid_namespace() {
        return 0;
    }

    let filter = scope!(filter);
    if filter == ProcessFilter::Process as u32 && !task::is_chosen_process() {
        return 0;
    }
    if filter == ProcessFilter::Tree as u32 && !follow::is_traced() {
        return 0;
    }
    1
}
