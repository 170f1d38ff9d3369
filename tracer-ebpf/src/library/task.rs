//! Tasks' ids, as a pid namespace shows them.
//!
//! A `struct pid` has a number for each namespace that sees it: `numbers[0]` for the initial one, `numbers[level]` for
//! the one it was made in. The kernel's own helper knows the innermost only, so the structures are read here.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_kernel};

use crate::{
    config::scope,
    kernel::{Address, current, field},
};

/// Copies kernel memory from an address of which nothing is known; `None` if it cannot be read.
#[inline(always)]
pub fn read<T: Copy>(from: Address) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes `size_of::<T>()` bytes, or reports that it did not.
    unsafe {
        let error = bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from.cast());
        (error == 0).then(|| value.assume_init())
    }
}

/// Address of the namespace that the scope names, once it has been seen.
#[unsafe(no_mangle)]
static mut SHOWN_NAMESPACE: u64 = 0;

/// Whether `namespace`, the address of a `struct pid_namespace`, is the one that the scope names.
///
/// Its address is remembered once its number has been seen to match, which spares most calls a read. The namespace
/// cannot go away meanwhile: the tracer lives in it, or holds it open.
#[inline(always)]
fn is_shown(namespace: Address) -> bool {
    let shown = &raw mut SHOWN_NAMESPACE;
    // SAFETY: an aligned word; whoever races here writes the same value.
    unsafe {
        if shown.read_volatile() == namespace as u64 {
            return true;
        }
        let inum = read::<u32>(namespace.wrapping_add(scope!(offsets.pidns_inum) as usize));
        let matches = inum == Some(scope!(pidns_inum));
        if matches {
            shown.write_volatile(namespace as u64);
        }
        matches
    }
}

/// Address of the `struct upid` of `pid`, an address that the verifier knows the type of, in the namespace that the scope
/// names, if `pid` is visible there.
#[inline(always)]
fn shown_upid(pid: Address) -> Option<Address> {
    upid(pid, field::<u32>(pid, scope!(offsets.pid_level)))
}

/// The same for any address.
#[inline(always)]
fn shown_upid_at(pid: Address) -> Option<Address> {
    upid(pid, read(pid.wrapping_add(scope!(offsets.pid_level) as usize))?)
}

/// The same for a `pid` that lies so deep.
#[inline(always)]
fn upid(pid: Address, own_level: u32) -> Option<Address> {
    let level = scope!(pidns_level);
    if own_level < level {
        return None;
    }
    // Not a typed load: up to 6.4 `numbers` is declared with one element, and the verifier would refuse the others.
    let upid = pid.wrapping_add((scope!(offsets.pid_numbers) + level * scope!(offsets.upid_size)) as usize);
    let namespace = read::<Address>(upid.wrapping_add(scope!(offsets.upid_ns) as usize))?;
    is_shown(namespace).then_some(upid)
}

/// The number of `pid` in the namespace that the scope names, or 0 if it cannot be seen from there.
#[inline(always)]
fn number(pid: Address) -> u32 {
    number_in(shown_upid(pid))
}

/// The same for any address.
#[inline(always)]
pub fn shown_number(pid: Address) -> u32 {
    number_in(shown_upid_at(pid))
}

#[inline(always)]
fn number_in(upid: Option<Address>) -> u32 {
    upid.and_then(|upid| read(upid.wrapping_add(scope!(offsets.upid_nr) as usize))).unwrap_or(0)
}

/// tgid << 32 | tid of the task at any address, as the container sees them; 0 for a task that it cannot see.
#[inline(always)]
pub fn ids(task: Address) -> u64 {
    let member = |offset: u32| task.wrapping_add(offset as usize);
    if scope!(pidns_level) == 0 {
        // Here the task keeps them itself, also when it has ended.
        let tid = read::<u32>(member(scope!(offsets.task_pid))).unwrap_or(0);
        let tgid = read::<u32>(member(scope!(offsets.task_tgid))).unwrap_or(0);
        return u64::from(tgid) << 32 | u64::from(tid);
    }
    u64::from(process_number(task)) << 32 | u64::from(read(thread_pid(task)).map_or(0, shown_number))
}

/// The number of the process of the task at any address.
#[inline(always)]
fn process_number(task: Address) -> u32 {
    let leader: Option<Address> = read(task.wrapping_add(scope!(offsets.task_group_leader) as usize));
    let pid = leader.and_then(|leader| read(thread_pid(leader)));
    pid.map_or(0, shown_number)
}

/// Where the task at any address keeps its `struct pid`.
#[inline(always)]
fn thread_pid(task: Address) -> Address {
    task.wrapping_add(scope!(offsets.task_thread_pid) as usize)
}

/// Whether the task at any address is in the scope's pid namespace or in one below it.
#[inline(always)]
pub fn is_in_pid_namespace(task: Address) -> bool {
    read(thread_pid(task)).and_then(shown_upid_at).is_some()
}

/// Whether the task at any address belongs to the process that the scope names.
#[inline(always)]
pub fn is_of_chosen_process(task: Address) -> bool {
    (ids(task) >> 32) as u32 == scope!(tgid)
}

/// tgid << 32 | tid of the current task as the container sees them; 0 for a task that it cannot see.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_pid_tgid() -> u64 {
    if scope!(pidns_level) == 0 {
        // SAFETY: a helper without arguments.
        return unsafe { bpf_get_current_pid_tgid() };
    }
    let task = current();
    let leader = field::<Address>(task, scope!(offsets.task_group_leader));
    let tid = number(field(task, scope!(offsets.task_thread_pid)));
    let tgid = if leader == task { tid } else { number(field(leader, scope!(offsets.task_thread_pid))) };
    u64::from(tgid) << 32 | u64::from(tid)
}

/// The tgid of the current task's parent as the container sees it; 0 for a parent that it cannot see.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_parent_pid() -> u64 {
    let parent = field::<Address>(current(), scope!(offsets.task_real_parent));
    let leader = field::<Address>(parent, scope!(offsets.task_group_leader));
    let pid = field::<Address>(leader, scope!(offsets.task_thread_pid));
    if scope!(pidns_level) == 0 {
        let upid = pid.wrapping_add(scope!(offsets.pid_numbers) as usize);
        return read::<u32>(upid.wrapping_add(scope!(offsets.upid_nr) as usize)).unwrap_or(0).into();
    }
    u64::from(number(pid))
}

/// Whether the current task is in the scope's pid namespace or in one below it.
#[inline(always)]
pub fn in_pid_namespace() -> bool {
    shown_upid(field(current(), scope!(offsets.task_thread_pid))).is_some()
}

/// Whether the current task belongs to the process that the scope names.
#[inline(always)]
pub fn is_chosen_process() -> bool {
    (ct_pid_tgid() >> 32) as u32 == scope!(tgid)
}
