//! Typed program → IR: a control-flow graph of basic blocks in SSA form, one function for each program.
//!
//! # Contract
//!
//! * Every value is 64 bits wide. A value of a narrower type is kept sign- or zero-extended to 64 bits as its type asks
//!   for: whoever computes it extends it ([`Inst::Extend`]), whoever uses it relies on it.
//! * A value is defined once, by an instruction or as a parameter of a block, and its definition dominates every use.
//!   A jump passes as many arguments as its target has parameters.
//! * Instructions are evaluated in order. Those without [`Inst::has_effect`] may be moved, merged and dropped as long as
//!   their operands allow; loads may not move across an effect.
//! * Anything that is not a number (strings, tuples, keys, initial values) lives in memory: in a [`Slot`] of the frame,
//!   in scratch memory ([`Runtime::Claim`]), in a map's value or in a record of the ring. A slot's contents are undefined until stored to; what the kernel is
//!   given to read (a key) must be stored to in full, padding included. Strings are NUL-terminated and zero from there
//!   to their end, so equality is equality of bytes.
//! * `Value` 0 of a program is the context pointer, parameter 0 of the entry block, which has no other. A callback's entry
//!   block has the parameters that the kernel gives it, `Value` 0 and on.
//! * Pointers come from [`Inst::SlotAddress`], [`Inst::MapReference`], calls, loads that the kernel types (BTF pointers)
//!   and additions to them. Generation keeps each comparison of a pointer with zero, and of an index with its bound,
//!   next to the value that is used afterwards, so that the verifier learns from it; an index must be bounded by an
//!   `And` with a mask or by a comparison in the block that dominates the access.
//! * After verification has passed, generation fails only for stated limits.

mod build;
mod cfg;
mod fold;
mod lower;
mod passes;
mod print;
#[cfg(test)]
mod tests;
pub mod verify;

pub use lower::{Frames, lower};
pub use passes::optimise;

use crate::compile::source::Span;
use crate::plan::MapId;

/// All programs of a script.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// In the order of the plan's programs.
    pub functions: Vec<Function>,
    /// Bytes that one of them needs of scratch memory, at most; 0 if none needs any.
    pub scratch: u32,
    /// How many CPUs may need it at one time.
    pub cpus: u32,
}

/// One BPF program.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its symbol in the object: the plan's `Program::symbol`.
    pub symbol: String,
    /// Basic blocks; the first is the entry.
    pub blocks: Vec<BlockData>,
    /// What defines each value.
    pub values: Vec<ValueData>,
    /// Memory in the frame.
    pub slots: Vec<Slot>,
    /// Functions that helpers called here call back, each behind those that it names itself. They have none of their own.
    pub callbacks: Vec<Function>,
}

/// Index into the [`Function::callbacks`] of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallbackId(pub u32);

/// Index into [`Function::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

/// Index into [`Function::blocks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(pub u32);

/// Index into [`Function::slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// A piece of memory in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Bytes, a multiple of 8; the address is 8-byte aligned.
    pub size: u32,
}

/// A value's definition.
#[derive(Clone, Debug)]
pub struct ValueData {
    /// The instruction that computes it; `None` for a block parameter.
    pub inst: Option<Inst>,
    /// The source that it comes from.
    pub span: Span,
}

/// A basic block.
#[derive(Clone, Debug)]
pub struct BlockData {
    /// Values that jumps to this block give.
    pub parameters: Vec<Value>,
    /// Instructions in order, each named by the value it defines; those without a result define a value nobody uses.
    pub insts: Vec<Value>,
    /// How it ends.
    pub terminator: Terminator,
    /// Not expected to run: laid out behind the others.
    pub cold: bool,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// A number.
    Const(i64),
    /// `a op b`, 64 bits wide, wrapping.
    Binary {
        /// What is computed.
        op: BinaryOp,
        /// Left operand.
        a: Value,
        /// Right operand.
        b: Value,
    },
    /// 1 or 0.
    Compare {
        /// The relation.
        op: CompareOp,
        /// Left operand.
        a: Value,
        /// Right operand.
        b: Value,
    },
    /// The low `width` of a value, extended to 64 bits.
    Extend {
        /// What is extended.
        value: Value,
        /// How much of it is kept.
        width: Width,
        /// With its sign.
        signed: bool,
    },
    /// Reads memory that the verifier lets a program read directly.
    Load {
        /// A pointer.
        pointer: Value,
        /// Bytes from it.
        offset: i16,
        /// How much; the result is zero-extended.
        width: Width,
    },
    /// Writes memory.
    Store {
        /// A pointer.
        pointer: Value,
        /// Bytes from it.
        offset: i16,
        /// How much.
        width: Width,
        /// What; its low bytes.
        value: Value,
    },
    /// Adds to memory atomically (4 or 8 bytes).
    AtomicAdd {
        /// A pointer.
        pointer: Value,
        /// Bytes from it.
        offset: i16,
        /// How much.
        width: Width,
        /// What is added.
        value: Value,
    },
    /// The address of a slot.
    SlotAddress(SlotId),
    /// A map, for helpers that take one.
    MapReference(MapRef),
    /// The current generation of an aggregation, a `u64` (see `tracer_common::agg`).
    Generation(MapId),
    /// When the script began, on the boot-time clock in ns: `START_TIME` in the runtime's read-only data, written by
    /// user space before loading.
    StartTime,
    /// 0, which the verifier does not know: what is computed with it, it has to expect anything of. Every use asks anew, for
    /// after a branch the verifier may know it.
    UnknownZero,
    /// The address of a callback, for helpers that take one.
    CallbackAddress(CallbackId),
    /// Calls a helper of the kernel.
    Helper {
        /// Which.
        helper: Helper,
        /// At most five.
        arguments: Vec<Value>,
    },
    /// Calls a function of the runtime library.
    Runtime {
        /// Which.
        function: Runtime,
        /// At most five.
        arguments: Vec<Value>,
    },
}

/// A map that generated code names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapRef {
    /// One of the script's.
    Script(MapId),
    /// The table before one of them (`plan::Front`).
    Front(MapId),
    /// The list of an aggregation's keys (`plan::Bound::Listed`).
    Keys(MapId),
    /// One of the runtime's, by the name of its symbol.
    Runtime(&'static str),
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminator {
    /// To another block.
    Jump(Target),
    /// To one of two.
    Branch {
        /// The relation.
        op: CompareOp,
        /// Left operand.
        a: Value,
        /// Right operand.
        b: Value,
        /// Where it holds.
        then: Target,
        /// Where it does not.
        otherwise: Target,
    },
    /// To the block of the case that equals the value. Cases are sorted and distinct.
    Switch {
        /// What is looked at.
        value: Value,
        /// Its values.
        cases: Vec<(i64, Target)>,
        /// None of them.
        default: Target,
    },
    /// Ends the program, or this turn of a callback: returns 0.
    Return,
    /// Ends a callback and says that it is not to be called again: returns 1.
    Stop,
}

/// A jump's destination and what it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The block.
    pub block: Block,
    /// A value for each of its parameters.
    pub arguments: Vec<Value>,
}

/// Bytes of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Width {
    /// 1 byte.
    B1,
    /// 2 bytes.
    B2,
    /// 4 bytes.
    B4,
    /// 8 bytes.
    B8,
}

impl Width {
    /// How many bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }

    /// The width of so many bytes: 1, 2, 4 or 8.
    pub fn of(bytes: u32) -> Self {
        match bytes {
            1 => Self::B1,
            2 => Self::B2,
            4 => Self::B4,
            8 => Self::B8,
            _ => unreachable!("no access is {bytes} bytes wide"),
        }
    }
}

/// Arithmetic. Division and remainder by zero give 0 and the dividend, as BPF defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Unsigned quotient.
    UDiv,
    /// Unsigned remainder.
    UMod,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Shift left, by the low six bits.
    Shl,
    /// Shift right, zeros in.
    Shr,
    /// Shift right, sign in.
    Sar,
}

/// A relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Unsigned less.
    ULt,
    /// Unsigned less or equal.
    ULe,
    /// Unsigned greater.
    UGt,
    /// Unsigned greater or equal.
    UGe,
    /// Signed less.
    SLt,
    /// Signed less or equal.
    SLe,
    /// Signed greater.
    SGt,
    /// Signed greater or equal.
    SGe,
}

/// Helpers of the kernel, by their numbers in `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs, reason = "the kernel documents them under these names")]
pub enum Helper {
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    KtimeGetNs = 5,
    GetPrandomU32 = 7,
    GetSmpProcessorId = 8,
    GetCurrentPidTgid = 14,
    GetCurrentUidGid = 15,
    GetCurrentComm = 16,
    GetCurrentTask = 35,
    GetNumaNodeId = 42,
    GetSocketCookie = 46,
    GetCurrentCgroupId = 80,
    SendSignal = 109,
    ProbeReadUser = 112,
    ProbeReadKernel = 113,
    ProbeReadUserStr = 114,
    ProbeReadKernelStr = 115,
    SendSignalThread = 117,
    Jiffies64 = 118,
    KtimeGetBootNs = 125,
    SeqWrite = 127,
    RingbufOutput = 130,
    RingbufReserve = 131,
    RingbufSubmit = 132,
    RingbufDiscard = 133,
    RingbufQuery = 134,
    DPath = 147,
    TaskStorageGet = 156,
    TaskStorageDelete = 157,
    GetCurrentTaskBtf = 158,
    GetAttachCookie = 174,
    ForEachMapElem = 164,
    TaskPtRegs = 175,
    Loop = 181,
    KtimeGetTaiNs = 208,
}

/// Functions of the runtime library (tracer-ebpf), by the symbols they have there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// `ct_in_scope(current task) -> 0 or 1`.
    InScope,
    /// `ct_pid_tgid() -> tgid << 32 | tid`, as the scope's pid namespace numbers them.
    PidTgid,
    /// `ct_parent_pid() -> tgid` of the parent, as the scope's pid namespace numbers it.
    ParentPid,
    /// `ct_swap_bytes(n) -> n` with its 8 bytes in reverse order.
    SwapBytes,
    /// `ct_text_length(text, size) -> length`.
    TextLength,
    /// `ct_find_text(text, size, wanted, its size) -> index or -1`.
    FindText,
    /// `ct_join(to, array, user) -> error << 32 | bytes`: the texts that an array points to.
    Join,
    /// `ct_compare_bytes(a, b, size, count) -> difference`.
    CompareBytes,
    /// `ct_follow_fork(context)`: marks the child of a marked task.
    FollowFork,
    /// `ct_forget_task(context)`: takes the mark from a task that is no more.
    ForgetTask,
    /// `ct_in_scope_of(task) -> 0 or 1`.
    InScopeOf,
    /// `ct_task_ids(task) -> tgid << 32 | tid`, as the scope's pid namespace numbers them.
    TaskIds,
    /// `ct_pid_number(pid) -> number`, as the scope's pid namespace has it.
    PidNumber,
    /// `ct_owns_socket(sock) -> 0 or 1`.
    OwnsSocket,
    /// `ct_owns_packet(skb) -> 0 or 1`.
    OwnsPacket,
    /// `ct_note_request(context)`: notes a request to a block device if it is the scope's.
    NoteRequest,
    /// `ct_note_started(context, offset)`: notes a request that begins if it is the scope's, `offset` being that of its bio.
    NoteStarted,
    /// `ct_owns_request(bio) -> 0 or 1`.
    OwnsRequest,
    /// `ct_request_letters(flags) -> letters`.
    RequestLetters,
    /// `ct_insert(map, key) -> 0 or -errno`: adds an empty aggregation.
    Insert,
    /// `ct_admit(list, key, number, limit) -> 0 or -errno`: lists a key of the map of that number (`plan::Bound::Listed`).
    Admit,
    /// `ct_add_key(map, key, number, limit) -> 0 or -errno`: adds an empty aggregation that is whole in the kernel.
    AddKey,
    /// `ct_delete_key(map, key, number) -> 0`: deletes one.
    DeleteKey,
    /// `ct_take_word(word, old, new) -> 0 or 1`: puts `new` in the place of `old`, unless something else is there.
    TakeWord,
    /// `ct_hdr_update(value, n)`: adds `n` to the `agg::Hdr` that `value` points to.
    HdrUpdate,
    /// The same where the program may be pre-empted.
    HdrUpdateAtomic,
    /// `ct_log2_index(n, bits) -> bucket`.
    Log2Index,
    /// `ct_linear_index(n, min, max, step) -> bucket`.
    LinearIndex,
    /// `ct_reserve_control(size, spare) -> record or null`, to be compared with null by the caller: room for one that must not
    /// be lost.
    ReserveControl,
    /// `ct_stamp(record, size)`: has to follow `ReserveControl`.
    Stamp,
    /// `ct_differ(a, b, words) -> 0 or 1`: whether two texts are different in so many words of 8 bytes.
    Differ,
    /// `ct_raise(cell, n)`: puts `n` in the place of a smaller number, whoever comes between.
    Raise,
    /// `ct_claim() -> area or null`: scratch memory, given back by storing 8 bytes of zeros to its start.
    Claim,
    /// `ct_ring_full(size)`: counts a record that could not be reserved.
    RingFull,
    /// `ct_stack(context, to, what)`: writes a `StackId`.
    Stack,
    /// `ct_address(to, address)`: the same for one address.
    Address,
    /// `ct_failed(kind, start, end, error)`: counts a failure at a place of the script.
    Failed,
    /// `ct_lost(kind)`.
    Lost,
}

impl Runtime {
    /// Its symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::InScope => "ct_in_scope",
            Self::PidTgid => "ct_pid_tgid",
            Self::ParentPid => "ct_parent_pid",
            Self::SwapBytes => "ct_swap_bytes",
            Self::TextLength => "ct_text_length",
            Self::FindText => "ct_find_text",
            Self::Join => "ct_join",
            Self::CompareBytes => "ct_compare_bytes",
            Self::FollowFork => "ct_follow_fork",
            Self::ForgetTask => "ct_forget_task",
            Self::InScopeOf => "ct_in_scope_of",
            Self::TaskIds => "ct_task_ids",
            Self::PidNumber => "ct_pid_number",
            Self::OwnsSocket => "ct_owns_socket",
            Self::OwnsPacket => "ct_owns_packet",
            Self::NoteRequest => "ct_note_request",
            Self::NoteStarted => "ct_note_started",
            Self::OwnsRequest => "ct_owns_request",
            Self::RequestLetters => "ct_request_letters",
            Self::Insert => "ct_insert",
            Self::Admit => "ct_admit",
            Self::AddKey => "ct_add_key",
            Self::DeleteKey => "ct_delete_key",
            Self::TakeWord => "ct_take_word",
            Self::HdrUpdate => "ct_hdr_update",
            Self::HdrUpdateAtomic => "ct_hdr_update_atomic",
            Self::Log2Index => "ct_log2_index",
            Self::LinearIndex => "ct_linear_index",
            Self::ReserveControl => "ct_reserve_control",
            Self::Stamp => "ct_stamp",
            Self::Differ => "ct_differ",
            Self::Raise => "ct_raise",
            Self::Claim => "ct_claim",
            Self::RingFull => "ct_ring_full",
            Self::Stack => "ct_stack",
            Self::Address => "ct_address",
            Self::Failed => "ct_failed",
            Self::Lost => "ct_lost",
        }
    }
}

impl Inst {
    /// The values it uses, in order.
    pub fn operands(&self) -> Vec<Value> {
        match self {
            Self::Const(_)
            | Self::SlotAddress(_)
            | Self::MapReference(_)
            | Self::Generation(_)
            | Self::StartTime
            | Self::UnknownZero
            | Self::CallbackAddress(_) => Vec::new(),
            Self::Binary { a, b, .. } | Self::Compare { a, b, .. } => vec![*a, *b],
            Self::Extend { value, .. } => vec![*value],
            Self::Load { pointer, .. } => vec![*pointer],
            Self::Store { pointer, value, .. } | Self::AtomicAdd { pointer, value, .. } => vec![*pointer, *value],
            Self::Helper { arguments, .. } | Self::Runtime { arguments, .. } => arguments.clone(),
        }
    }

    /// The same, to be changed.
    pub fn operands_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Const(_)
            | Self::SlotAddress(_)
            | Self::MapReference(_)
            | Self::Generation(_)
            | Self::StartTime
            | Self::UnknownZero
            | Self::CallbackAddress(_) => Vec::new(),
            Self::Binary { a, b, .. } | Self::Compare { a, b, .. } => vec![a, b],
            Self::Extend { value, .. } => vec![value],
            Self::Load { pointer, .. } => vec![pointer],
            Self::Store { pointer, value, .. } | Self::AtomicAdd { pointer, value, .. } => vec![pointer, value],
            Self::Helper { arguments, .. } | Self::Runtime { arguments, .. } => arguments.iter_mut().collect(),
        }
    }

    /// Whether it does more than compute a value from its operands: writes, reads what others write, or calls.
    /// Helpers that only report something unchanging for the length of a program (`pid`, `comm` excepted for its
    /// buffer) are [`Helper::is_constant`].
    pub fn has_effect(&self) -> bool {
        match self {
            Self::Const(_)
            | Self::Binary { .. }
            | Self::Compare { .. }
            | Self::Extend { .. }
            | Self::Load { .. }
            | Self::SlotAddress(_)
            | Self::MapReference(_)
            | Self::Generation(_)
            | Self::StartTime
            | Self::UnknownZero
            | Self::CallbackAddress(_) => false,
            Self::Helper { helper, .. } => !helper.is_constant(),
            Self::Runtime { function, .. } => !function.is_constant(),
            Self::Store { .. } | Self::AtomicAdd { .. } => true,
        }
    }
}

impl Helper {
    /// How many arguments it takes.
    pub fn arity(self) -> usize {
        match self {
            Self::KtimeGetNs
            | Self::GetPrandomU32
            | Self::GetSmpProcessorId
            | Self::GetCurrentPidTgid
            | Self::GetCurrentUidGid
            | Self::GetCurrentTask
            | Self::GetCurrentCgroupId
            | Self::KtimeGetBootNs
            | Self::KtimeGetTaiNs
            | Self::GetNumaNodeId
            | Self::Jiffies64
            | Self::GetCurrentTaskBtf => 0,
            Self::GetSocketCookie
            | Self::GetAttachCookie
            | Self::TaskPtRegs
            | Self::SendSignal
            | Self::SendSignalThread => 1,
            Self::MapLookupElem
            | Self::MapDeleteElem
            | Self::GetCurrentComm
            | Self::RingbufSubmit
            | Self::RingbufDiscard
            | Self::RingbufQuery
            | Self::TaskStorageDelete => 2,
            Self::DPath
            | Self::SeqWrite
            | Self::RingbufReserve
            | Self::ProbeReadUser
            | Self::ProbeReadKernel
            | Self::ProbeReadUserStr
            | Self::ProbeReadKernelStr => 3,
            Self::MapUpdateElem | Self::RingbufOutput | Self::TaskStorageGet | Self::ForEachMapElem | Self::Loop => 4,
        }
    }

    /// Whether two calls in one run of a program give the same result and write no memory.
    pub fn is_constant(self) -> bool {
        matches!(
            self,
            Self::GetSmpProcessorId
                | Self::GetCurrentPidTgid
                | Self::GetCurrentUidGid
                | Self::GetCurrentTask
                | Self::GetCurrentCgroupId
                | Self::GetCurrentTaskBtf
                | Self::GetAttachCookie
                | Self::TaskPtRegs
        )
    }
}

impl Runtime {
    /// How many arguments it takes.
    pub fn arity(self) -> usize {
        match self {
            Self::PidTgid | Self::ParentPid | Self::Claim => 0,
            Self::InScope
            | Self::SwapBytes
            | Self::FollowFork
            | Self::ForgetTask
            | Self::InScopeOf
            | Self::TaskIds
            | Self::PidNumber
            | Self::OwnsSocket
            | Self::OwnsPacket
            | Self::NoteRequest
            | Self::OwnsRequest
            | Self::RequestLetters
            | Self::RingFull
            | Self::Lost => 1,
            Self::Insert
            | Self::HdrUpdate
            | Self::HdrUpdateAtomic
            | Self::Raise
            | Self::Log2Index
            | Self::ReserveControl
            | Self::TextLength
            | Self::Address
            | Self::NoteStarted
            | Self::Stamp => 2,
            Self::Stack | Self::TakeWord | Self::Differ | Self::Join | Self::DeleteKey => 3,
            Self::LinearIndex | Self::FindText | Self::CompareBytes | Self::Failed | Self::Admit | Self::AddKey => 4,
        }
    }

    /// Whether two calls in one run of a program with the same arguments give the same result and write no memory.
    pub fn is_constant(self) -> bool {
        matches!(
            self,
            Self::InScope
                | Self::PidTgid
                | Self::SwapBytes
                | Self::InScopeOf
                | Self::TaskIds
                | Self::PidNumber
                | Self::RequestLetters
                | Self::Log2Index
                | Self::LinearIndex
        )
    }
}
