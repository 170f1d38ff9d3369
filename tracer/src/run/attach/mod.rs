//! Ways of attaching that aya 0.14 does not have, or not all of: one file a kind.

pub mod fentry;
pub mod iter;
pub mod kprobe;
pub mod sample;
pub mod tracepoint;
pub mod uprobe;
