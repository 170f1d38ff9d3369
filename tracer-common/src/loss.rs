//! What can be lost, and where it is counted.

/// Why data did not reach user space. The discriminant is the index into the per-CPU array of loss counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The ring had no room for a record.
    RingFull = 0,
    /// A map had no room for a new key.
    MapFull = 1,
    /// Memory could not be read: a bad pointer, or a page that is not resident.
    ReadFailed = 2,
    /// A thread's storage could not be made.
    StorageFull = 3,
    /// A loop was ended because it had taken as many turns as the kernel allows.
    LoopCut = 4,
    /// The frames of a stack could not be sent.
    StackLost = 5,
    /// All scratch memory of the CPU was in use, so an action was left out.
    ScratchBusy = 6,
    /// The kernel has not run a program because it interrupted itself; counted by the kernel, for tasks in scope or not.
    Missed = 7,
}

/// How many kinds there are: the length of the counter array.
pub const LOSS_KINDS: usize = 8;

impl Loss {
    /// All of them, in the order of their counters.
    pub const ALL: [Loss; LOSS_KINDS] = [
        Loss::RingFull,
        Loss::MapFull,
        Loss::ReadFailed,
        Loss::StorageFull,
        Loss::LoopCut,
        Loss::StackLost,
        Loss::ScratchBusy,
        Loss::Missed,
    ];
}
