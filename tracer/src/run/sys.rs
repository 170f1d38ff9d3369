//! System calls that no crate we use makes: bpf(2) by hand. The only place with `unsafe` outside tracer-ebpf.

#![expect(unsafe_code, reason = "bpf(2) takes a union of structures with addresses in them")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type};

/// An attribute of all zeros, which every command takes to mean "nothing asked for".
fn attributes() -> bpf_attr {
    // SAFETY: the union consists of integers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// Calls bpf(2). Addresses in `attr` must be valid for what `command` does with them.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the kernel reads and writes within the size given; the caller vouches for the addresses inside.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for commands that make a file descriptor.
fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether bpf(2) can be called at all: looks something up in a map that does not exist.
///
/// A seccomp filter answers EPERM here; the kernel itself does not (from 5.19 on), whatever the capabilities.
pub fn try_call() -> io::Result<()> {
    let mut attr = attributes();
    attr.__bindgen_anon_2.map_fd = u32::MAX;
    match bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) {
        Err(error) if error.raw_os_error() != Some(libc::EBADF) => Err(error),
        _ => Ok(()),
    }
}

/// Whether a map can be made: makes an array of one number, and lets it go.
pub fn try_map() -> io::Result<()> {
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let map = unsafe { &mut attr.__bindgen_anon_1 };
    map.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    map.key_size = 4;
    map.value_size = 8;
    map.max_entries = 1;
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr).map(drop)
}

/// Whether a tracing program can be loaded: loads one that returns 0, attaches it to nothing, and lets it go.
pub fn try_program() -> io::Result<()> {
    // r0 = 0; exit
    let code: [u64; 2] = [0xb7, 0x95];
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let program = unsafe { &mut attr.__bindgen_anon_3 };
    program.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    program.insns = code.as_ptr() as u64;
    program.insn_cnt = code.len() as u32;
    program.license = c"GPL".as_ptr() as u64;
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr).map(drop)
}
