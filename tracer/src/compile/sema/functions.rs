//! Functions of the language that a program computes: what [`ExprKind::Call`](super::typed::ExprKind::Call) calls, with what.
//!
//! Whatever is known when the script is compiled has become a constant before, and what is put together from other
//! expressions has become those.

use crate::plan::MapId;

/// A function, its arguments and its result. Texts may be of any size, numbers are as their types say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `(number) -> number`: its bytes in reverse order; both of one size, the result unsigned.
    SwapBytes,
    /// `() -> u64`: nanoseconds of a clock.
    Clock(Clock),
    /// `(address of a struct path) -> text`: the file's name.
    ReadPath,
    /// `(address of a struct sock) -> u64`: the socket's number.
    SocketCookie,
    /// `() -> u32`: the number of the process, or of the thread, that the kernel itself has for it.
    InitialId {
        /// Of the thread.
        thread: bool,
    },
    /// `(text) -> text`: its beginning, two bytes less than there is room for and the NUL.
    TakeText,
    /// `(text, text) -> text`: the second behind the first, as much as there is room for.
    ConcatText,
    /// `() -> u64`: ticks since the kernel started.
    Jiffies,
    /// `() -> u32`: the NUMA node of the CPU.
    NumaNode,
    /// `() -> u32`: the pid of the parent process, in the scope's namespace.
    ParentPid,
    /// `() -> i64`: how many keys a plain map has.
    Entries(MapId),
    /// `(text) -> u64`: how many bytes there are before the NUL.
    TextLength,
    /// `(text, text) -> i64`: where the second is first found in the first, or -1.
    FindText,
    /// `(bytes, bytes, u64) -> i64`: the difference of the first bytes that differ among so many, or 0.
    CompareBytes,
    /// `(address, u64) -> buffer`: so many bytes of memory, but no more than the buffer holds.
    ReadBytes {
        /// The address is the process's.
        user: bool,
    },
    /// `(bytes, u64) -> buffer`: so many of the bytes, but no more than the buffer holds.
    TakeBytes,
    /// `(u64, bytes) -> inet`: a family and an address of that family, 4 or 16 bytes in network order.
    Inet,
    /// `(u32) -> i64`: sends a signal; 0, or a negative error.
    Signal {
        /// To the thread at hand and no other of its process.
        thread: bool,
    },
}

/// A clock besides that of `nsecs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// That stands while the machine sleeps.
    Monotonic,
    /// Atomic time.
    Tai,
    /// The same, computed from the time since boot and what lay between them when the script was compiled.
    ComputedTai,
}

impl Function {
    /// Its name in typed programs as they are printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::SwapBytes => "swap_bytes",
            Self::Clock(Clock::Monotonic) => "monotonic_time",
            Self::Clock(Clock::Tai) => "atomic_time",
            Self::Clock(Clock::ComputedTai) => "computed_atomic_time",
            Self::InitialId { thread: true } => "initial_tid",
            Self::InitialId { thread: false } => "initial_pid",
            Self::ReadPath => "read_path",
            Self::SocketCookie => "socket_cookie",
            Self::TakeText => "take_text",
            Self::ConcatText => "concat_text",
            Self::Jiffies => "jiffies",
            Self::NumaNode => "numa_node",
            Self::ParentPid => "parent_pid",
            Self::Entries(_) => "entries",
            Self::TextLength => "text_length",
            Self::FindText => "find_text",
            Self::CompareBytes => "compare_bytes",
            Self::ReadBytes { user: true } => "read_user_bytes",
            Self::ReadBytes { user: false } => "read_kernel_bytes",
            Self::TakeBytes => "take_bytes",
            Self::Inet => "inet",
            Self::Signal { thread: true } => "signal_thread",
            Self::Signal { thread: false } => "signal_process",
        }
    }

    /// Whether it does more than compute a value.
    pub fn has_effect(self) -> bool {
        matches!(self, Self::Signal { .. })
    }
}
