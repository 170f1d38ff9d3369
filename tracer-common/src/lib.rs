//! What the kernel side and user space must agree on: numbers, layouts and the functions that both of them run.
//!
//! Everything here is plain data and pure arithmetic, `no_std`, without allocation, so that the verifier can follow it.

#![cfg_attr(not(test), no_std)]

pub mod agg;
pub mod bucket;
pub mod failure;
pub mod identity;
pub mod loss;
pub mod record;
pub mod scope;
pub mod scratch;
pub mod stack;
