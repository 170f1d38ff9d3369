//! Stacks and addresses, as scripts hold them (see [`tracer_common::stack`]).
//!
//! The frames are written to an area of the CPU, digested there, and sent to user space if they have not been before. The
//! same helper does this in every kind of program, so `ctx` may be any program's context.

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    helpers::generated::{bpf_get_stack, bpf_ktime_get_ns, bpf_ringbuf_output},
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use core::ffi::c_void;
use tracer_common::{
    loss::Loss,
    stack::{Digest, HEAD_SIZE, MAX_FRAMES, SEEN_STACKS, SPARE, STACKS_SIZE, StackHead, StackId, USER},
};

use super::{atomic::exchange, loss::ct_lost, task::ct_pid_tgid};
use crate::{
    config::scope,
    kernel::{current, field},
};

/// Areas of each CPU: as many programs may be at it at one time, each having come between another's instructions.
const AREAS: u32 = 4;

/// Where a stack is written to. The frames are followed by as much as the verifier thinks may be sent.
#[repr(C)]
struct Area {
    /// Not 0 while a program uses it.
    busy: u64,
    /// The second half of the digest.
    check: u64,
    /// What is sent: this, and as many frames as it says.
    head: StackHead,
    frames: [u64; MAX_FRAMES],
}

#[map]
static STACK_AREAS: PerCpuArray<Area> = PerCpuArray::with_max_entries(AREAS, 0);

/// The ring that frames are sent through.
#[map]
static STACKS: RingBuf = RingBuf::with_byte_size(STACKS_SIZE, 0);

/// Which have been sent: one half of the digest leads to the other.
#[map]
static SEEN: LruHashMap<u64, u64> = LruHashMap::with_max_entries(SEEN_STACKS, 0);

/// An area that nobody uses; from here on the caller does.
#[inline(always)]
fn claim() -> Option<*mut Area> {
    let mut index = 0;
    while index < AREAS {
        if let Some(area) = STACK_AREAS.get_ptr_mut(index) {
            // SAFETY: a map's value, aligned to 8 bytes.
            if unsafe { exchange(&raw mut (*area).busy, 1) } == 0 {
                return Some(area);
            }
        }
        index += 1;
    }
    None
}

/// Writes to `to` what names the stack here: the process's if `what` has [`USER`] in it, else the kernel's. `what` is as
/// [`tracer_common::stack`] says.
///
/// # Safety
/// `ctx` is the program's context, and there are 16 bytes at `to`; the verifier sees to both.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_stack(ctx: *mut c_void, to: *mut StackId, what: u64) {
    // SAFETY: see above; an area is ours until it is given back.
    unsafe {
        *to = StackId { digest: 0, frames: 0 };
        let Some(area) = claim() else { return ct_lost(Loss::StackLost as u32) };
        let user = what & USER != 0;
        let room = (what & MAX_FRAMES as u64) as u32 * 8;
        let flags = if user { u64::from(BPF_F_USER_STACK) } else { 0 } | (what >> 16 & 0xff);
        let bytes = bpf_get_stack(ctx, (&raw mut (*area).frames).cast(), room, flags);
        if bytes > 0 {
            send(area, to, user, bytes as u64 / 8);
            let most = (what & MAX_FRAMES as u64) - (what & SPARE != 0) as u64;
            if (*to).frames > most {
                (*to).frames = most;
            }
        }
        (&raw mut (*area).busy).write_volatile(0);
    }
}

/// Writes to `to` what names an address of the current process.
///
/// # Safety
/// There are 16 bytes at `to`; the verifier sees to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn ct_address(to: *mut StackId, address: u64) {
    // SAFETY: as above.
    unsafe {
        *to = StackId { digest: 0, frames: 0 };
        let Some(area) = claim() else { return ct_lost(Loss::StackLost as u32) };
        (&raw mut (*area).frames).cast::<u64>().write_volatile(address);
        send(area, to, true, 1);
        (&raw mut (*area).busy).write_volatile(0);
    }
}

/// Digests what is in an area, and sends it unless it has been sent.
///
/// # Safety
/// The area is the caller's, and there are 16 bytes at `to`.
#[inline(always)]
unsafe fn send(area: *mut Area, to: *mut StackId, user: bool, frames: u64) {
    // SAFETY: see above. Through memory, so that the verifier forgets what it knows: that an address is a typed pointer,
    // and how often a loop has been gone round, by each of which it would look at all that follows again.
    unsafe {
        let head = &raw mut (*area).head;
        (&raw mut (*head).id.frames).write_volatile(frames);
        (&raw mut (*head).user).write_volatile(user.into());
        let (mut space, mut pid) = (0, 0);
        if user {
            pid = (ct_pid_tgid() >> 32) as u32;
            space =
                if scope!(offsets.task_mm) != 0 { field(current(), scope!(offsets.task_mm)) } else { u64::from(pid) };
        }
        (&raw mut (*head).pid).write_volatile(pid);
        (&raw mut (*head).space).write_volatile(space);

        let mut digest = Digest::new((&raw const (*head).space).read_volatile());
        let first = (&raw const (*area).frames).cast::<u64>();
        let mut index = 0;
        while index < MAX_FRAMES && (index as u64) < frames {
            digest = digest.with(first.add(index).read_volatile());
            index += 1;
        }
        (&raw mut (*head).id.digest).write_volatile(digest.name);
        (&raw mut (*area).check).write_volatile(digest.check);

        let name = (&raw const (*head).id.digest).read_volatile();
        let check = (&raw const (*area).check).read_volatile();
        let frames = (&raw const (*head).id.frames).read_volatile() & MAX_FRAMES as u64;
        match SEEN.get_ptr(name) {
            Some(known) if *known == check => {}
            // Another one of the same name.
            Some(_) => return ct_lost(Loss::StackLost as u32),
            None => {
                (&raw mut (*head).time).write_volatile(bpf_ktime_get_ns());
                let size = HEAD_SIZE as u64 + 8 * frames;
                let ring = core::ptr::from_ref(&STACKS).cast_mut().cast();
                if bpf_ringbuf_output(ring, head.cast(), size, 0) != 0 {
                    // Not remembered, so that it is sent the next time.
                    ct_lost(Loss::StackLost as u32);
                } else {
                    // It cannot be full. What it does not remember is sent again.
                    let _ = SEEN.insert(name, check, 0);
                }
            }
        }
        *to = StackId { digest: name, frames };
    }
}
