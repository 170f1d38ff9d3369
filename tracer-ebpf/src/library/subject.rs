//! Tasks, sockets and requests that events are about, where those are not the current task's: whether they are in scope,
//! and what the container calls them.
//!
//! They come as addresses that the verifier knows nothing of, so everything is read by a helper, which checks the
//! address itself; what cannot be read is not in scope.

use aya_ebpf::{macros::map, maps::LruHashMap, programs::RawTracePointContext};
use tracer_common::{
    loss::Loss,
    scope::{ProcessFilter, ScopeKind},
};

use super::{
    follow,
    loss::ct_lost,
    scope::is_current_in_scope,
    task::{self, read},
};
use crate::{config::scope, kernel::Address};

/// 1 if the task at this address is in scope and passes the process filter, else 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_in_scope_of(task: Address) -> u64 {
    let kind = scope!(kind);
    if kind == ScopeKind::Cgroup as u32 {
        let set: Option<Address> = at(task, scope!(offsets.task_cgroups));
        let cgroup = set.and_then(|set| at(set, scope!(offsets.css_set_dfl_cgrp)));
        if !cgroup.is_some_and(is_cgroup_in_scope) {
            return 0;
        }
    }
    if kind == ScopeKind::PidNamespace as u32 && !task::is_in_pid_namespace(task) {
        return 0;
    }
    let filter = scope!(filter);
    if filter == ProcessFilter::Process as u32 && !task::is_of_chosen_process(task) {
        return 0;
    }
    if filter == ProcessFilter::Tree as u32 && !follow::is_followed(task) {
        return 0;
    }
    1
}

/// tgid << 32 | tid of the task at this address as the container sees them; 0 for one that it cannot see.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_task_ids(task: Address) -> u64 {
    task::ids(task)
}

/// The number of the `struct pid` at this address as the container sees it; 0 for one that it cannot see.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_pid_number(pid: Address) -> u64 {
    task::shown_number(pid).into()
}

/// 1 if the socket at this address was made by a task in the scope's cgroup, else 0.
///
/// A socket does not tell its process, nor its pid namespace: where the scope asks for one of these, the current task
/// has to be in it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_owns_socket(socket: Address) -> u64 {
    if scope!(kind) == ScopeKind::Cgroup as u32 && scope!(offsets.sock_cgroup) != 0 {
        // What stands for a connection while it begins and after it has ended is shorter than a socket.
        let Some(state) = at::<u8>(socket, scope!(offsets.sock_state)) else { return 0 };
        let cgroup = if is_whole_socket(state) { at(socket, scope!(offsets.sock_cgroup)) } else { None };
        let owned = cgroup.is_some_and(is_cgroup_in_scope);
        if !owned || scope!(filter) == ProcessFilter::All as u32 {
            return owned.into();
        }
    }
    is_current_in_scope().into()
}

/// 1 if the packet (`struct sk_buff`) at this address belongs to a socket of the scope's, else 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_owns_packet(packet: Address) -> u64 {
    match at::<Address>(packet, scope!(offsets.skb_sk)) {
        Some(socket) if !socket.is_null() => ct_owns_socket(socket),
        _ => 0,
    }
}

/// TCP_TIME_WAIT and TCP_NEW_SYN_RECV of include/net/tcp_states.h are the states of what is no socket.
#[inline(always)]
fn is_whole_socket(state: u8) -> bool {
    state != 6 && state != 12
}

/// Most requests to block devices that are on their way at one time; beyond, the oldest are forgotten.
const MAX_REQUESTS: u32 = 16_384;

/// The requests that the scope's tasks have made, by the address of their `struct bio`, or their own. The value says
/// nothing.
#[map]
static REQUESTS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(MAX_REQUESTS, 0);

/// On `block_bio_queue(bio)`, in the context of whoever makes the request: remembers whether that is one of the scope's.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_note_request(ctx: *mut core::ffi::c_void) -> u64 {
    note(RawTracePointContext::new(ctx).arg(0), is_current_in_scope());
    0
}

/// On `block_io_start(rq)`: remembers the request itself, if its `struct bio`, which lies at `bio`, is one of the scope's,
/// or the current task makes it. When its end is told it has none any more.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_note_started(ctx: *mut core::ffi::c_void, bio: u64) -> u64 {
    let request: Address = RawTracePointContext::new(ctx).arg(0);
    let bio = at::<u64>(request, bio as u32);
    let owned = bio.is_some_and(|bio| REQUESTS.get_ptr(bio).is_some());
    note(request as u64, owned || is_current_in_scope());
    0
}

#[inline(always)]
fn note(request: u64, owned: bool) {
    if owned {
        // It fits, for the oldest goes; but the map may be locked by what is interrupted here.
        if REQUESTS.insert(request, 0, 0).is_err() {
            ct_lost(Loss::MapFull as u32);
        }
    } else {
        // Memory is used again: the address may still be known from a request before.
        let _ = REQUESTS.remove(request);
    }
}

/// 1 if the request with the `struct bio` at this address, or that began at this address, was made by a task in scope, else 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_owns_request(bio: u64) -> u64 {
    REQUESTS.get_ptr(bio).is_some().into()
}

/// What a request to a block device is, in the letters of the kernel's own tracepoints (blk_fill_rwbs() in
/// kernel/trace/blktrace.c), in the bytes of a number from the lowest on.
///
/// `flags` is `bio.bi_opf` or `request.cmd_flags`: an operation in 8 bits, then bits as include/linux/blk_types.h numbers
/// them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ct_request_letters(flags: u64) -> u64 {
    const SYNC: u64 = 1 << 11;
    const META: u64 = 1 << 12;
    const FUA: u64 = 1 << 17;
    const PREFLUSH: u64 = 1 << 18;
    const RAHEAD: u64 = 1 << 19;
    let mut letters = Letters { bytes: 0, bits: 0 };
    letters.add_if(flags & PREFLUSH != 0, b'F');
    let operation = flags & 0xff;
    match operation {
        1 => letters.add(b'W'), // REQ_OP_WRITE
        3 => letters.add(b'D'), // REQ_OP_DISCARD
        5 => {
            // REQ_OP_SECURE_ERASE
            letters.add(b'D');
            letters.add(b'E');
        }
        2 => letters.add(b'F'), // REQ_OP_FLUSH
        0 => letters.add(b'R'), // REQ_OP_READ
        _ => letters.add(b'N'),
    }
    letters.add_if(flags & FUA != 0, b'F');
    letters.add_if(flags & RAHEAD != 0, b'A');
    letters.add_if(flags & SYNC != 0, b'S');
    letters.add_if(flags & META != 0, b'M');
    letters.bytes
}

/// Letters in the bytes of a number, the first in the lowest.
struct Letters {
    bytes: u64,
    /// How many bits are taken.
    bits: u32,
}

impl Letters {
    #[inline(always)]
    fn add(&mut self, letter: u8) {
        self.bytes |= u64::from(letter) << self.bits;
        self.bits += 8;
    }

    #[inline(always)]
    fn add_if(&mut self, condition: bool, letter: u8) {
        if condition {
            self.add(letter);
        }
    }
}

/// Whether the `struct cgroup` at this address is the scope's or lies below it.
#[inline(always)]
fn is_cgroup_in_scope(cgroup: Address) -> bool {
    let level = scope!(cgroup_level);
    let Some(own) = at::<u32>(cgroup, scope!(offsets.cgroup_level)) else { return false };
    if own < level {
        return false;
    }
    let ancestors = scope!(offsets.cgroup_ancestors);
    let ancestor = if own == level {
        Some(cgroup)
    } else if ancestors == 0 {
        None
    } else {
        // An array of pointers, by level.
        at(cgroup, ancestors + 8 * level)
    };
    let node: Option<Address> = ancestor.and_then(|cgroup| at(cgroup, scope!(offsets.cgroup_kn)));
    node.and_then(|node| at::<u64>(node, scope!(offsets.kernfs_node_id))) == Some(scope!(cgroup_id))
}

/// What lies so many bytes behind an address.
#[inline(always)]
fn at<T: Copy>(base: Address, offset: u32) -> Option<T> {
    read(base.wrapping_add(offset as usize))
}
