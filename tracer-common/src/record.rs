//! Records in the rings: what every one of them begins with, and which ring they are in.
//!
//! Programs send records through `EVENTS`. One that must not be lost goes to `CONTROL` where `EVENTS` has no room, with a
//! stamp behind it, so that it can be put in its place among the others.

/// The head of a ring record. The payload follows at once; its layout is the plan's, looked up by `id`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// Index into the plan's records.
    pub id: u32,
    /// Index into the plan's probe names: the probe whose action wrote the record.
    pub probe: u32,
}

/// Bytes before the payload.
pub const HEADER_SIZE: usize = size_of::<RecordHeader>();

/// Bytes behind the payload of a record in `CONTROL`, at a multiple of 8: a `u64`, how far `EVENTS` had been written when
/// there was no room in it. The record belongs behind all that lies before that position.
pub const STAMP_SIZE: usize = 8;

/// The texts that `join` takes, and the bytes that each may have, its NUL included: as many as in bpftrace.
pub const JOINED_TEXTS: usize = 16;
/// See [`JOINED_TEXTS`].
pub const JOINED_SIZE: usize = 1024;

/// Bytes before the texts of `join` in its record: how many bytes follow.
pub const JOINED_HEAD: usize = 8;
/// Bytes that the texts of `join` may have together.
pub const JOINED_MAX: u32 = (JOINED_TEXTS * JOINED_SIZE) as u32;

/// Bytes of `CONTROL`.
pub const CONTROL_SIZE: u32 = 1 << 16;
