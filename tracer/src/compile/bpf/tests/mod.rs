//! Generated code against what the IR means: in an interpreter of BPF, in the kernel, and as text.

mod build;
mod kernel;
