//! What the kernel knows: ids, times, names, the system call at hand.
//!
//! Whatever cannot change during a run is asked for once, at its first use; later uses that lie behind the first take
//! the value from there.

use super::{Lowering, Number, memory::Place, number};
use crate::compile::ir::{BinaryOp, Block, CompareOp, Helper, Runtime, Value, Width};
use crate::compile::sema::typed::{Builtin, Context, Register};
use crate::compile::source::Span;
use crate::plan::{MapId, Shape};
use tracer_common::failure::{Failed, Failure};
use tracer_common::loss::Loss;
use tracer_common::stack;

/// Something that does not change while a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Pid and tid in one.
    PidTgid,
    UidGid,
    Cpu,
    Task,
    /// The same, as a pointer of which the verifier knows the type.
    TypedTask,
    /// A number in the task's structure.
    TaskNumber(&'static str),
    Cgroup,
    /// The address of a slot that holds it.
    Comm,
    /// The registers that the process entered the kernel with: a typed pointer, or an address.
    Registers,
    /// A register of the process, from the program's context.
    Register(Register),
    /// What the place of attachment carries.
    Cookie,
    SyscallNumber,
    SyscallArgument(u8),
    ForeignCall,
    /// Whether the current task is in scope.
    CurrentInScope,
    /// Whether the task in a word of the context is in scope.
    WordInScope(u8),
    /// The address of the current task's storage in a map; there is one.
    Storage(MapId),
}

/// A fact that has been asked for: its value, and the block from which on it is known.
pub(super) struct Known {
    fact: Fact,
    value: Value,
    block: Block,
}

/// Bytes of `comm`: TASK_COMM_LEN in include/linux/sched.h.
const COMM_SIZE: u32 = 16;

/// Where `struct pt_regs` keeps what a system call is given: arch/x86/include/uapi/asm/ptrace.h, an ABI.
mod registers {
    pub const ORIG_AX: i16 = 120;
    /// Arguments 0 to 5: di, si, dx, r10, r8, r9.
    pub const ARGUMENTS: [i16; 6] = [112, 104, 96, 56, 72, 64];
}

/// `thread_info.status` says whether a system call came in through a 32-bit entry: arch/x86/include/asm/thread_info.h.
mod thread_info {
    /// TS_COMPAT.
    pub const COMPAT: i64 = 2;

    /// Bytes from the start of `task_struct`, whose first member `thread_info` is. `syscall_work` came before
    /// `status` in Linux 5.11.
    pub fn status(kernel: (u32, u32, u32)) -> i16 {
        if kernel < (5, 11, 0) { 8 } else { 16 }
    }
}

impl Lowering<'_> {
    /// The value of a built-in that is a number.
    pub(super) fn builtin(&mut self, builtin: Builtin) -> Value {
        match builtin {
            Builtin::Pid => self.task_number("tgid").unwrap_or_else(|| {
                let ids = self.pid_tgid();
                self.b.binary_with(BinaryOp::Shr, ids, 32)
            }),
            Builtin::Tid => self.task_number("pid").unwrap_or_else(|| {
                let ids = self.pid_tgid();
                self.b.extend(ids, Width::B4, false)
            }),
            Builtin::Uid => {
                let ids = self.uid_gid();
                self.b.extend(ids, Width::B4, false)
            }
            Builtin::Gid => {
                let ids = self.uid_gid();
                self.b.binary_with(BinaryOp::Shr, ids, 32)
            }
            Builtin::Nsecs => self.b.helper(Helper::KtimeGetBootNs, &[]),
            Builtin::Elapsed => {
                let now = self.b.helper(Helper::KtimeGetBootNs, &[]);
                let start = self.b.start_time();
                self.b.binary(BinaryOp::Sub, now, start)
            }
            Builtin::Cpu => self.fact(Fact::Cpu, |l| l.b.helper(Helper::GetSmpProcessorId, &[])),
            Builtin::CurrentTask => self.fact(Fact::Task, |l| l.b.helper(Helper::GetCurrentTask, &[])),
            Builtin::Cgroup => self.fact(Fact::Cgroup, |l| l.b.helper(Helper::GetCurrentCgroupId, &[])),
            Builtin::Rand => {
                let random = self.b.helper(Helper::GetPrandomU32, &[]);
                self.b.extend(random, Width::B4, false)
            }
            Builtin::Probe => self.probe(),
            Builtin::SyscallNumber => self.syscall_number(),
            Builtin::SyscallResult => {
                let context = self.b.context();
                self.b.load(context, 8, Width::B8)
            }
            Builtin::Register(register) => self.fact(Fact::Register(register), |l| {
                let context = l.b.context();
                l.b.load(context, register.0, Width::B8)
            }),
            Builtin::Comm => unreachable!("a text is not a number"),
        }
    }

    /// Writes what names the stack here.
    pub(super) fn write_stack(&mut self, user: bool, depth: u32, to: Place) {
        let what = match user {
            true => stack::USER | u64::from(depth),
            false => {
                let (own, maybe) = own_frames(self.program.context, self.in_callback());
                let spare = if maybe && depth < stack::MAX_FRAMES as u32 { stack::SPARE | 1 } else { 0 };
                own << 16 | (u64::from(depth) + spare)
            }
        };
        let context = self.b.context();
        let (pointer, what) = (self.address(to), self.b.constant(what as i64));
        self.b.runtime(Runtime::Stack, &[context, pointer, what]);
    }

    /// The cookie that the place of attachment carries.
    pub(super) fn cookie(&mut self) -> Value {
        self.fact(Fact::Cookie, |l| {
            let context = l.b.context();
            l.b.helper(Helper::GetAttachCookie, &[context])
        })
    }

    fn pid_tgid(&mut self) -> Value {
        self.fact(Fact::PidTgid, |l| {
            if l.target.scope.pidns_level == 0 {
                l.b.helper(Helper::GetCurrentPidTgid, &[])
            } else {
                l.b.runtime(Runtime::PidTgid, &[])
            }
        })
    }

    fn uid_gid(&mut self) -> Value {
        self.fact(Fact::UidGid, |l| l.b.helper(Helper::GetCurrentUidGid, &[]))
    }

    /// The thread's name, in a slot.
    pub(super) fn comm(&mut self) -> Place {
        let pointer = self.fact(Fact::Comm, |l| {
            // Not a temporary: one for the whole program, which has the same contents wherever it is written.
            let slot = *l.comm_slot.get_or_insert_with(|| l.b.slot(COMM_SIZE));
            let pointer = l.b.slot_address(slot);
            l.read_comm(Place { pointer, offset: 0 });
            pointer
        });
        Place { pointer, offset: 0 }
    }

    /// The thread's name, written where it is wanted.
    pub(super) fn read_comm(&mut self, to: Place) {
        // Two loads cost a tenth of what the helper does. The kernel fills the name up with zeros since 5.17.
        if self.target.kernel >= (5, 17, 0)
            && let Some(offset) = self.task_field("comm")
        {
            let task = self.task();
            for at in [0, 8] {
                let part = self.b.load(task, offset + at, Width::B8);
                self.store(part, Number { width: Width::B8, signed: false }, to.at(at as u32), 8);
            }
            return;
        }
        // Linux 6.1 leaves what is behind its NUL as it was.
        self.zero(to, 0, COMM_SIZE);
        let (pointer, size) = (self.address(to), self.b.constant(COMM_SIZE.into()));
        self.b.helper(Helper::GetCurrentComm, &[pointer, size]);
    }

    /// The current task, as a typed pointer.
    pub(super) fn task(&mut self) -> Value {
        self.fact(Fact::TypedTask, |l| l.b.helper(Helper::GetCurrentTaskBtf, &[]))
    }

    /// Where the kernel keeps something in its `task_struct`, if that can be read without a helper.
    fn task_field(&self, name: &str) -> Option<i16> {
        let types = self.target.types.as_deref().filter(|_| self.target.task_registers)?;
        let field = types.composite("task_struct").and_then(|task| types.field(task, name)).ok()?;
        i16::try_from(field.offset()).ok()
    }

    /// The current task's `tgid` or `pid`, where no namespace gives it another number: a load costs a tenth of a call.
    fn task_number(&mut self, name: &'static str) -> Option<Value> {
        let offset = self.task_field(name).filter(|_| self.target.scope.pidns_level == 0)?;
        Some(self.fact(Fact::TaskNumber(name), |l| {
            let task = l.task();
            l.b.load(task, offset, Width::B4)
        }))
    }

    /// The number of the system call.
    pub(super) fn syscall_number(&mut self) -> Value {
        self.fact(Fact::SyscallNumber, |l| match l.program.context {
            Context::SysEnter => {
                let context = l.b.context();
                l.b.load(context, 8, Width::B8)
            }
            // The kernel takes it from there too: syscall_get_nr() in arch/x86/include/asm/syscall.h.
            _ => l.register(registers::ORIG_AX),
        })
    }

    /// Argument `n` of the system call.
    pub(super) fn syscall_argument(&mut self, n: u8) -> Value {
        self.fact(Fact::SyscallArgument(n), |l| l.register(registers::ARGUMENTS[usize::from(n)]))
    }

    fn register(&mut self, offset: i16) -> Value {
        let registers = self.registers();
        if self.target.task_registers {
            return self.b.load(registers, offset, Width::B8);
        }
        let address = self.b.binary_with(BinaryOp::Add, registers, offset.into());
        self.read_number(address, false, Width::B8)
    }

    fn registers(&mut self) -> Value {
        self.fact(Fact::Registers, |l| {
            if l.target.task_registers {
                let task = l.task();
                return l.b.helper(Helper::TaskPtRegs, &[task]);
            }
            let context = l.b.context();
            l.b.load(context, 0, Width::B8)
        })
    }

    /// Not zero if the system call came in through a 32-bit entry: its number means another call then, and the
    /// kernel's own tracepoints of the `syscalls` category leave it out (arch_trace_is_compat_syscall() in
    /// arch/x86/include/asm/ftrace.h).
    pub(super) fn foreign_call(&mut self) -> Value {
        self.fact(Fact::ForeignCall, |l| {
            let status = thread_info::status(l.target.kernel);
            let status = if l.target.task_registers {
                let task = l.task();
                l.b.load(task, status, Width::B4)
            } else {
                let task = l.b.helper(Helper::GetCurrentTask, &[]);
                let address = l.b.binary_with(BinaryOp::Add, task, status.into());
                l.read_number(address, false, Width::B4)
            };
            l.b.binary_with(BinaryOp::And, status, thread_info::COMPAT)
        })
    }

    /// A number from memory, zero-extended; 0 if it cannot be read, which is counted.
    pub(super) fn read_number(&mut self, address: Value, user: bool, width: Width) -> Value {
        let slot = self.temporary(width.bytes());
        let size = self.b.constant(width.bytes().into());
        let helper = if user { Helper::ProbeReadUser } else { Helper::ProbeReadKernel };
        // The helpers fill the memory with zeros where they fail.
        let result = self.b.helper(helper, &[slot.pointer, size, address]);
        self.count_failed_read(result, read_failure(user));
        self.b.load(slot.pointer, 0, width)
    }

    /// Counts a loss if a helper that reads memory gave an error.
    pub(super) fn count_failed_read(&mut self, result: Value, failure: Failure) {
        let (failed, done) = (self.b.new_cold_block(), self.b.new_block());
        let zero = self.b.constant(0);
        self.b.branch(CompareOp::SLt, result, zero, failed, done);
        self.b.fill(failed);
        self.failed(failure, Some(result));
        self.lost(Loss::ReadFailed);
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    /// Counts a failure at the place at hand; the error is what a helper gave.
    pub(super) fn failed(&mut self, failure: Failure, error: Option<Value>) {
        self.failed_by_kind(failure as u32, error);
    }

    /// Counts that a map has not taken a key.
    pub(super) fn failed_update(&mut self, map: MapId, error: Value) {
        self.failed_by_kind(Failed::kind_of(Failure::MapUpdate, map.0), Some(error));
    }

    fn failed_by_kind(&mut self, kind: u32, error: Option<Value>) {
        let Span { start, end } = self.b.span;
        let [kind, start, end] = [kind, start, end].map(|number| self.b.constant(number.into()));
        let error = error.unwrap_or_else(|| self.b.constant(0));
        self.b.runtime(Runtime::Failed, &[kind, start, end, error]);
    }

    /// Counts a loss.
    pub(super) fn lost(&mut self, loss: Loss) {
        let kind = self.b.constant(loss as i64);
        self.b.runtime(Runtime::Lost, &[kind]);
    }

    /// The address of the current task's storage in a map, where it has been found.
    pub(super) fn known_storage(&self, map: MapId) -> Option<Value> {
        self.known(Fact::Storage(map))
    }

    /// It has been found, from here on.
    pub(super) fn storage_is_known(&mut self, map: MapId, pointer: Value) {
        self.learn(Fact::Storage(map), pointer);
    }

    /// A fact's value: the one known here, or a new one.
    pub(super) fn fact(&mut self, fact: Fact, ask: impl FnOnce(&mut Self) -> Value) -> Value {
        self.known(fact).unwrap_or_else(|| {
            let value = ask(self);
            self.learn(fact, value);
            value
        })
    }

    fn known(&self, fact: Fact) -> Option<Value> {
        let here = |known: &&Known| known.fact == fact && self.b.dominated_by(known.block);
        self.facts.iter().find(here).map(|known| known.value)
    }

    /// Behind a clause: what was only known inside of it is of no use any more.
    pub(super) fn forget_facts(&mut self) {
        if self.b.reachable() {
            self.facts.retain(|known| self.b.dominated_by(known.block));
        }
    }

    fn learn(&mut self, fact: Fact, value: Value) {
        self.facts.push(Known { fact, value, block: self.b.current() });
    }
}

/// How many frames of the kernel's stack are of tracing itself: so many that there always are, which the kernel leaves out,
/// and whether there may be one more, which is left out when the stack is shown.
///
/// In programs that are called without registers the stack begins with the function of the runtime library and the program,
/// between which a loop has its callback and the helper. A raw tracepoint's program is called by `bpf_trace_run2` or its
/// like, and that by `__bpf_trace_NAME`; before them is `__traceiter_NAME` if somebody else traces the same event. One at a
/// trampoline is called by that.
fn own_frames(context: Context, in_callback: bool) -> (u64, bool) {
    let program = if in_callback { 4 } else { 2 };
    match context {
        Context::None => (program, false),
        Context::Registers | Context::Sample | Context::Record => (0, false),
        Context::TypedWords => (program + 1, false),
        _ => (program + 2, true),
    }
}

/// What has failed where texts are not read.
pub(super) fn text_failure(user: bool) -> Failure {
    if user { Failure::ReadUserText } else { Failure::ReadKernelText }
}

/// What has failed where numbers and bytes are not read.
pub(super) fn read_failure(user: bool) -> Failure {
    if user { Failure::ReadUser } else { Failure::ReadKernel }
}

/// A number loaded from memory as its shape asks for: loads extend with zeros.
pub(super) fn load(l: &mut Lowering<'_>, place: Place, shape: &Shape) -> Value {
    let number = number(shape).expect("only numbers are loaded");
    let value = l.load(place, number.width);
    l.b.extend(value, number.width, number.signed)
}
