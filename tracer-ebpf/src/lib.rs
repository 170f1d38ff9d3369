//! The kernel side of ctrace that does not depend on the script.
//!
//! The build script of `tracer` makes objects of it: the library, which the compiler takes functions from by name (its
//! documentation has their calling convention), and, with the feature `identity`, a program of its own.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(unsafe_code, reason = "kernel memory, maps and exported symbols")]

mod config;
#[cfg(feature = "identity")]
mod identity;
mod kernel;
#[cfg(not(feature = "identity"))]
mod library;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
