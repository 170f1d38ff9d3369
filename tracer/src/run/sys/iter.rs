//! Programs that the kernel runs for each of the things that it goes over.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::{Kind, NOTHING, Program, attributes, bpf_fd, load_once};

/// Whether a program for what a function stands for can be loaded: loads one that does nothing, and lets it go.
pub fn try_load(function: u32) -> io::Result<()> {
    let program = Program { name: c"probe", license: c"GPL", code: &NOTHING, types: None };
    load_once(&program, Kind::Iterator(function), &mut []).map(drop)
}

/// A file whose reader makes the kernel go over it all, once, running the program for each.
pub fn open(program: BorrowedFd<'_>) -> io::Result<File> {
    let mut attr = attributes();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    let link = bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr)?;
    let mut attr = attributes();
    attr.iter_create.link_fd = link.as_fd().as_raw_fd() as u32;
    // The file holds on to what it needs of the link.
    bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr).map(File::from)
}
