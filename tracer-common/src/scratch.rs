//! Scratch memory: what a program works with that its stack has no room for.
//!
//! An array of areas, [`AREAS`] for each CPU. A program takes the first of its CPU's whose head is 0, by exchanging that for 1,
//! and writes 0 when it is done. Programs stay on their CPU from beginning to end, but others may come between: interrupts,
//! which are done before it goes on, and where a program can be pre-empted (uprobes) those of other tasks, in any order.
//! An area has one owner all that time.

/// Areas of each CPU: a task, a soft interrupt, a hard one and an NMI, each inside the one before, and as many tasks again
/// that were pre-empted.
pub const AREAS: u32 = 8;

/// Bytes before what an area holds: a `u64`, 1 while the area has an owner.
pub const HEAD_SIZE: usize = 8;
