//! Records in the ring: what every one of them begins with.

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
