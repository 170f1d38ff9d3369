//! Attachment to functions of the kernel: links to many at once, and a perf event for each where there are none.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{BPF_F_KPROBE_MULTI_RETURN, bpf_attach_type, bpf_cmd};

use super::{Kind, NOTHING, Program, attributes, bpf_fd, load_once, perf};

/// Attaches a program to the beginnings of functions, each with a cookie; `exit`: to their returns.
pub fn link_kprobes(program: BorrowedFd<'_>, functions: &[&str], cookies: &[u64], exit: bool) -> io::Result<OwnedFd> {
    assert_eq!(functions.len(), cookies.len());
    let names: Vec<CString> = functions.iter().map(|name| CString::new(*name)).collect::<Result<_, _>>()?;
    let symbols: Vec<u64> = names.iter().map(|name| name.as_ptr() as u64).collect();
    let flags = if exit { BPF_F_KPROBE_MULTI_RETURN } else { 0 };
    let places = Places { symbols: symbols.as_ptr() as u64, addresses: 0, count: symbols.len() as u32 };
    link(program, &places, cookies.as_ptr() as u64, flags)
}

/// Where the places of a link are named: addresses of arrays, of which one is there.
struct Places {
    symbols: u64,
    addresses: u64,
    count: u32,
}

fn link(program: BorrowedFd<'_>, places: &Places, cookies: u64, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
    // SAFETY: the member of the union that this attach type reads; all of its fields are integers.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.kprobe_multi };
    multi.syms = places.symbols;
    multi.addrs = places.addresses;
    multi.cnt = places.count;
    multi.cookies = cookies;
    multi.flags = flags;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Whether the kernel has links to many of its functions (5.18, and CONFIG_FPROBE): only such a kernel goes so far as to
/// look for the places, at an address where there is nothing.
pub fn has_kprobe_multi() -> bool {
    let program = Program { name: c"probe", license: c"GPL", code: &NOTHING, types: None };
    let Ok(program) = load_once(&program, Kind::KprobeMulti, &mut []) else {
        return false;
    };
    let linked = link(program.as_fd(), &Places { symbols: 0, addresses: 1, count: 1 }, 0, 0);
    linked.is_err_and(|error| error.raw_os_error() == Some(libc::EFAULT))
}

/// A bit of `perf_event_attr::config`, in /sys/bus/event_source/devices/kprobe/format/retprobe.
const RETURN: u64 = 1;

/// Attaches a program by a perf event to a place in a function (`FUNCTION`, `MODULE:FUNCTION`), or to the function's
/// returns, with a cookie; `kind` is the number of perf's kprobes.
pub fn link_perf_kprobe(
    program: BorrowedFd<'_>,
    kind: u32,
    function: &str,
    offset: u64,
    exit: bool,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let name = CString::new(function)?;
    let mut event = perf::event(kind);
    event.config = if exit { RETURN } else { 0 };
    event.__bindgen_anon_3.kprobe_func = name.as_ptr() as u64;
    event.__bindgen_anon_4.probe_offset = offset;
    perf::link(program, &event, None, cookie)
}
