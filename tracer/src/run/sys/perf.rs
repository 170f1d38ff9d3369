//! Programs at perf events.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::{
    PERF_FLAG_FD_CLOEXEC, bpf_attach_type, bpf_cmd, perf_event_attr, perf_hw_id, perf_sw_ids, perf_type_id,
};

use super::{attributes, bpf_fd};

/// An event from the source of this number, with nothing asked for.
pub fn event(kind: u32) -> perf_event_attr {
    // SAFETY: a structure of integers, for which zero is a value.
    let mut event: perf_event_attr = unsafe { std::mem::zeroed() };
    event.type_ = kind;
    event.size = size_of::<perf_event_attr>() as u32;
    event
}

/// Whether an event of all processes can be had: makes one that counts nothing, and lets it go.
pub fn try_event() -> io::Result<()> {
    let mut nothing = event(perf_type_id::PERF_TYPE_SOFTWARE as u32);
    nothing.config = perf_sw_ids::PERF_COUNT_SW_DUMMY as u64;
    open(&nothing, None).map(drop)
}

/// The same for an event that the processor counts: its cycles.
pub fn try_counter() -> io::Result<()> {
    let mut cycles = event(perf_type_id::PERF_TYPE_HARDWARE as u32);
    cycles.config = perf_hw_id::PERF_COUNT_HW_CPU_CYCLES as u64;
    open(&cycles, None).map(drop)
}

/// The same for writes to a place in memory, of this process.
pub fn try_watchpoint() -> io::Result<()> {
    /// `HW_BREAKPOINT_W` of include/uapi/linux/hw_breakpoint.h.
    const WRITES: u32 = 2;
    let watched = 0u64;
    let mut writes = event(perf_type_id::PERF_TYPE_BREAKPOINT as u32);
    writes.bp_type = WRITES;
    writes.__bindgen_anon_3.bp_addr = std::ptr::from_ref(&watched) as u64;
    writes.__bindgen_anon_4.bp_len = size_of_val(&watched) as u64;
    open(&writes, Some(std::process::id())).map(drop)
}

/// Makes an event and attaches a program to it, with a cookie (5.15). The event goes with the link. Addresses in `event`
/// must be valid for what its source does with them.
pub fn link(program: BorrowedFd<'_>, event: &perf_event_attr, pid: Option<u32>, cookie: u64) -> io::Result<OwnedFd> {
    let event = open(event, pid)?;
    let mut attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_fd = event.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Attaches a program to the tracepoint that tracefs gives this number. Whichever CPU the event is said to count on, the
/// program runs on all.
pub fn link_tracepoint(program: BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut event = event(perf_type_id::PERF_TYPE_TRACEPOINT as u32);
    event.config = id;
    link(program, &event, None, 0)
}

/// Makes an event of a process or of all.
fn open(event: &perf_event_attr, pid: Option<u32>) -> io::Result<OwnedFd> {
    // An event belongs to a process on all CPUs, or to all processes on one; at a place in code, the program runs on all
    // in both cases.
    let (pid, cpu) = pid.map_or((-1, 0), |pid| (pid as libc::pid_t, -1));
    // SAFETY: the kernel reads the structure; the caller vouches for the addresses inside.
    unsafe {
        let flags = PERF_FLAG_FD_CLOEXEC;
        let fd = libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(event), pid, cpu, -1, flags);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}
