//! IR → BPF instructions, with the functions of the runtime library that they call.

pub mod runtime;
