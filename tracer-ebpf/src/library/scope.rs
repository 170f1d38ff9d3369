//! Whether the current task is to be traced: the first question of every program.

use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use tracer_common::scope::{ProcessFilter, ScopeKind};

use super::{follow, task};
use crate::config::scope;

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
