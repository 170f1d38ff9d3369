//! Every read-only look at the machine, and what follows from it: who is traced, and whether that is allowed.
//!
//! [`facts`] reads /proc, /sys and what bpf(2) answers; [`scope`] and [`privilege`] decide on that data alone, so a test
//! can make up any machine. [`btf`] reads the kernel's types, [`elf`] programs and
//! libraries, [`functions`] and [`tracefs`] what the kernel has to probe.

pub mod advice;
pub mod btf;
pub mod cgroupfs;
pub mod clock;
pub mod elf;
pub mod facts;
pub mod functions;
pub mod names;
pub mod offsets;
pub mod privilege;
pub mod procfs;
pub mod scope;
pub mod symbols;
pub mod tracefs;

pub use facts::Facts;
