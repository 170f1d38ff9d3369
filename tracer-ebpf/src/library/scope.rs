//! Whether the current task is to be traced: the first question of every program.

use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use tracer_common::scope::{ProcessFilter, ScopeKind};

use super::{follow, task};
use crate::{
    config::scope,
    kernel::{Address, current, field},
};

/// 1 if the current task is in scope and passes the process filter, else 0.
///
/// `task` is the current task, which the rest of the program wants to know too: asking for it costs as much as the check
/// itself. It may be 0 unless [`Scope::reads_task`](tracer_common::scope::Scope::reads_task).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_in_scope(task: Address) -> u64 {
    let kind = scope!(kind);
    if kind == ScopeKind::Cgroup as u32 && !in_cgroup(task) {
        return 0;
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

/// The same for whoever does not have the task at hand.
#[inline(always)]
pub fn is_current_in_scope() -> bool {
    let reads_task = scope!(kind) == ScopeKind::Cgroup as u32 && scope!(offsets.task_cgroups) != 0;
    let task = if reads_task { current() } else { core::ptr::null() };
    ct_in_scope(task) != 0
}

/// Whether the current task is in the scope's cgroup or in one below it.
#[inline(always)]
fn in_cgroup(task: Address) -> bool {
    let level = scope!(cgroup_level);
    if scope!(offsets.task_cgroups) != 0 {
        // Most tasks are where containers are, or above: a few loads tell, in half the time that the helper takes.
        let set: Address = field(task, scope!(offsets.task_cgroups));
        let cgroup: Address = field(set, scope!(offsets.css_set_dfl_cgrp));
        let own = field::<u32>(cgroup, scope!(offsets.cgroup_level));
        if own <= level {
            let node: Address = field(cgroup, scope!(offsets.cgroup_kn));
            return own == level && field::<u64>(node, scope!(offsets.kernfs_node_id)) == scope!(cgroup_id);
        }
    }
    // SAFETY: a helper without pointers.
    let id = unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) };
    id == scope!(cgroup_id)
}
