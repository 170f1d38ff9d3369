//! The in-kernel runtime library.
#![no_std]
