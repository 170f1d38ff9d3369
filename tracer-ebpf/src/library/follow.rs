//! Following a process and whatever it forks.
//!
//! A followed task is marked by the address of its `task_struct`, which stays its own until `sched_process_free`. (Task
//! storage would do, but a raw tracepoint gets the child as a number, which the verifier does not take for a task.)
//! The first mark is made here too: a task of the process `SCOPE.tgid` is followed from the first time it is seen.

use aya_ebpf::{macros::map, maps::HashMap, programs::RawTracePointContext};
use tracer_common::loss::Loss;

use super::{diagnose, loss::ct_lost, task};
use crate::kernel;

/// Most tasks that are followed at one time.
const MAX_TASKS: u32 = 65_536;

/// `BPF_F_NO_PREALLOC`: memory for the tasks there are, not for the tasks there may be.
const NO_PREALLOC: u32 = 1;

/// The followed tasks, by the address of their `task_struct`. The value says nothing.
#[map]
static TRACED: HashMap<u64, u8> = HashMap::with_max_entries(MAX_TASKS, NO_PREALLOC);

#[inline(always)]
fn mark(task: u64) {
    if let Err(error) = TRACED.insert(task, 0, 0) {
        diagnose::not_followed(error.into());
        ct_lost(Loss::MapFull as u32);
    }
}

/// Whether the task at this address is followed.
#[inline(always)]
pub fn is_followed(task: kernel::Address) -> bool {
    if TRACED.get_ptr(task as u64).is_some() {
        return true;
    }
    let chosen = task::is_of_chosen_process(task);
    if chosen {
        mark(task as u64);
    }
    chosen
}

/// Whether the current task is followed.
#[inline(always)]
pub fn is_traced() -> bool {
    let task = kernel::current() as u64;
    if TRACED.get_ptr(task).is_some() {
        return true;
    }
    let chosen = task::is_chosen_process();
    if chosen {
        mark(task);
    }
    chosen
}

/// On `sched_process_fork(parent, child)`, in the parent's context: a followed task's child is followed.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_follow_fork(ctx: *mut core::ffi::c_void) -> u64 {
    if is_traced() {
        mark(RawTracePointContext::new(ctx).arg(1));
    }
    0
}

/// On `sched_process_free(task)`: the task's mark goes before its address can be used again.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_forget_task(ctx: *mut core::ffi::c_void) -> u64 {
    let task: u64 = RawTracePointContext::new(ctx).arg(0);
    // Most tasks that end were never marked, so there is nothing to remove, and nothing amiss.
    let _ = TRACED.remove(task);
    0
}
