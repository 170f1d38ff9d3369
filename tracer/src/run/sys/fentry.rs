//! Attachment to calls and returns of the kernel's functions, by trampolines.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::{Kind, NOTHING, Program, attributes, bpf_fd, load_once};

/// Whether a program for calls of a function can be loaded: loads one that does nothing, and lets it go. `function` is the
/// function's number among the kernel's types.
pub fn try_load(function: u32) -> io::Result<()> {
    let program = Program { name: c"probe", license: c"GPL", code: &NOTHING, types: None };
    load_once(&program, Kind::Fentry(function), &mut []).map(drop)
}

/// Attaches a program where it was loaded for; `exit` says whether that is a function's returns. A cookie that is not 0 wants
/// Linux 5.19.
pub fn link(program: BorrowedFd<'_>, exit: bool, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    if cookie == 0 {
        attr.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
        return bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr);
    }
    let kind = if exit { bpf_attach_type::BPF_TRACE_FEXIT } else { bpf_attach_type::BPF_TRACE_FENTRY };
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = kind as u32;
    attr.link_create.__bindgen_anon_3.tracing.cookie = cookie;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}
