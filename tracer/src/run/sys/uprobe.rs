//! Links to places in the code of programs and libraries.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_cmd};

use super::{Kind, NOTHING, Program, attributes, bpf_fd, load_once, perf};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the instruction lies in the file.
    pub offset: u64,
    /// What the program finds there.
    pub cookie: u64,
    /// Where the file has a counter that is raised while the link lives, in every process; 0 for none.
    pub counter: u64,
}

/// Where in `config` of perf's uprobes the place of the counter is (PERF_UPROBE_REF_CTR_OFFSET_SHIFT).
const COUNTER_SHIFT: u32 = 32;

/// Attaches a program to places in a file; `exit`: where the functions there return.
pub fn link_uprobes(
    program: BorrowedFd<'_>,
    path: &str,
    places: &[Place],
    exit: bool,
    pid: Option<u32>,
) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    let column = |of: fn(&Place) -> u64| places.iter().map(of).collect::<Vec<u64>>();
    let offsets = column(|place| place.offset);
    let cookies = column(|place| place.cookie);
    let counters = column(|place| place.counter);
    let mut attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: the member of the union that this attach type reads; all of its fields are integers.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = path.as_ptr() as u64;
    multi.offsets = offsets.as_ptr() as u64;
    multi.cookies = cookies.as_ptr() as u64;
    if counters.iter().any(|&counter| counter != 0) {
        multi.ref_ctr_offsets = counters.as_ptr() as u64;
    }
    multi.cnt = places.len() as u32;
    multi.flags = if exit { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
    multi.pid = pid.unwrap_or(0);
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Whether the kernel has links to many places in a file (6.6): one to a folder is refused for what it is then.
pub fn has_uprobe_multi() -> bool {
    let program = Program { name: c"probe", license: c"GPL", code: &NOTHING, types: None };
    let Ok(program) = load_once(&program, Kind::UprobeMulti, &mut []) else {
        return false;
    };
    let place = Place { offset: 0, cookie: 0, counter: 0 };
    let linked = link_uprobes(program.as_fd(), "/", &[place], false, None);
    linked.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
}

/// Attaches a program to one place by a perf event; `kind` is the number of perf's uprobes. The event goes with the link.
pub fn link_perf_uprobe(
    program: BorrowedFd<'_>,
    kind: u32,
    path: &str,
    place: Place,
    exit: bool,
    pid: Option<u32>,
) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    let mut event = perf::event(kind);
    event.config = u64::from(exit) | place.counter << COUNTER_SHIFT;
    event.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    event.__bindgen_anon_4.probe_offset = place.offset;
    perf::link(program, &event, pid, place.cookie)
}
