//! Script text → object bytes and plan. No I/O, no globals, no kernel: facts in, bytes out.

pub mod bpf;
mod btf;
pub mod diagnostics;
pub mod elf;
pub mod ir;
pub mod sema;
pub mod source;
pub mod syntax;
pub mod target;
