//! System calls that no crate we use makes: bpf(2) by hand, and memory shared with the kernel. Here and in what is below,
//! and nowhere else outside tracer-ebpf, is `unsafe`.

#![expect(unsafe_code, reason = "bpf(2) takes a union of structures with addresses in them")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use aya::maps::{MapData, MapError, MapInfo, MapType};
use aya_obj::generated::{
    BPF_ANY, BPF_NOEXIST, bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_info, bpf_prog_type,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

mod child;
pub mod fentry;
pub mod iter;
pub mod kprobe;
mod notes;
pub mod perf;
mod ring;
pub mod uprobe;

pub use notes::Notes;
pub use ring::{Next, Ring};

/// An attribute of all zeros, which every command takes to mean "nothing asked for".
fn attributes() -> bpf_attr {
    // SAFETY: the union consists of integers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// Calls bpf(2). Addresses in `attr` must be valid for what `command` does with them.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the kernel reads and writes within the size given; the caller vouches for the addresses inside.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for commands that make a file descriptor.
fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// How often the kernel has not run a program because another run of one was under way on the same CPU.
pub fn missed_runs(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: the structure consists of integers, for which zero is a value.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut attr = attributes();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = std::ptr::from_mut(&mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.recursion_misses)
}

/// Whether bpf(2) can be called at all: looks something up in a map that does not exist.
///
/// A seccomp filter answers EPERM here; the kernel itself does not (from 5.19 on), whatever the capabilities.
pub fn try_call() -> io::Result<()> {
    let mut attr = attributes();
    attr.__bindgen_anon_2.map_fd = u32::MAX;
    match bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) {
        Err(error) if error.raw_os_error() != Some(libc::EBADF) => Err(error),
        _ => Ok(()),
    }
}

/// Whether a map can be made: makes an array of one number, and lets it go.
pub fn try_map() -> io::Result<()> {
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let map = unsafe { &mut attr.__bindgen_anon_1 };
    map.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    map.key_size = 4;
    map.value_size = 8;
    map.max_entries = 1;
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr).map(drop)
}

/// Whether a tracing program can be loaded: loads one that returns 0, attaches it to nothing, and lets it go.
pub fn try_program() -> io::Result<()> {
    // r0 = 0; exit
    let code: [u64; 2] = [0xb7, 0x95];
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let program = unsafe { &mut attr.__bindgen_anon_3 };
    program.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    program.insns = code.as_ptr() as u64;
    program.insn_cnt = code.len() as u32;
    program.license = c"GPL".as_ptr() as u64;
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr).map(drop)
}

/// Why the kernel does not take a program.
#[derive(Debug)]
pub struct Rejected {
    /// What the system call returned.
    pub error: io::Error,
    /// What the verifier said, if it has looked at the program.
    pub log: String,
}

/// A program, as the kernel takes it.
#[derive(Clone, Copy, Debug)]
pub struct Program<'p> {
    /// For those who look at what is loaded; cut off at 15 bytes.
    pub name: &'p CStr,
    /// The licence.
    pub license: &'p CStr,
    /// The instructions.
    pub code: &'p [bpf_insn],
    /// What the kernel wants to know of functions that it calls back.
    pub types: Option<Types<'p>>,
}

/// The types of a program's functions.
#[derive(Clone, Copy, Debug)]
pub struct Types<'p> {
    /// The types, loaded.
    pub types: BorrowedFd<'p>,
    /// `struct bpf_func_info`, one behind the other.
    pub functions: &'p [u8],
    /// Bytes of each.
    pub size: usize,
}

/// Loads types (BTF).
pub fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = types.as_ptr() as u64;
    load.btf_size = types.len() as u32;
    bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// Bytes of a verifier's log.
const LOG_SIZE: usize = 1 << 20;

/// What a program will be attached to: the kernel wants to know it when the program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tracepoint, with the record of its event.
    Tracepoint,
    /// A place in a function of the kernel.
    Kprobe,
    /// Many functions of the kernel.
    KprobeMulti,
    /// Many places in a file.
    UprobeMulti,
    /// Calls of the function of the kernel with this number among its types.
    Fentry(u32),
    /// Its returns.
    Fexit(u32),
    /// What the function with this number stands for: each of the things that the kernel goes over.
    Iterator(u32),
}

impl Kind {
    fn attach_type(self) -> u32 {
        match self {
            Self::Kprobe | Self::Tracepoint => 0,
            Self::KprobeMulti => bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32,
            Self::UprobeMulti => bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32,
            Self::Fentry(_) => bpf_attach_type::BPF_TRACE_FENTRY as u32,
            Self::Fexit(_) => bpf_attach_type::BPF_TRACE_FEXIT as u32,
            Self::Iterator(_) => bpf_attach_type::BPF_TRACE_ITER as u32,
        }
    }

    fn program_type(self) -> bpf_prog_type {
        match self {
            Self::Tracepoint => bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT,
            Self::Kprobe | Self::KprobeMulti | Self::UprobeMulti => bpf_prog_type::BPF_PROG_TYPE_KPROBE,
            Self::Fentry(_) | Self::Fexit(_) | Self::Iterator(_) => bpf_prog_type::BPF_PROG_TYPE_TRACING,
        }
    }

    /// The number of the function, among the kernel's types, that the program is for.
    fn function(self) -> u32 {
        match self {
            Self::Tracepoint | Self::Kprobe | Self::KprobeMulti | Self::UprobeMulti => 0,
            Self::Fentry(function) | Self::Fexit(function) | Self::Iterator(function) => function,
        }
    }
}

/// Loads a program.
pub fn load_program(program: &Program<'_>, kind: Kind) -> Result<OwnedFd, Rejected> {
    let mut log = Vec::new();
    match load_once(program, kind, &mut log) {
        Ok(program) => Ok(program),
        // Asked for only now: writing it takes longer than all else.
        Err(_) => {
            log = vec![0; LOG_SIZE];
            load_once(program, kind, &mut log).map_err(|error| {
                let text = CStr::from_bytes_until_nul(&log).unwrap_or_default();
                Rejected { error, log: text.to_string_lossy().into_owned() }
            })
        }
    }
}

fn load_once(&Program { name, license, code, types }: &Program<'_>, kind: Kind, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let program = unsafe { &mut attr.__bindgen_anon_3 };
    program.prog_type = kind.program_type() as u32;
    program.attach_btf_id = kind.function();
    program.expected_attach_type = kind.attach_type();
    program.insns = code.as_ptr() as u64;
    program.insn_cnt = code.len() as u32;
    program.license = license.as_ptr() as u64;
    if let Some(Types { types, functions, size }) = types {
        program.prog_btf_fd = types.as_raw_fd() as u32;
        program.func_info = functions.as_ptr() as u64;
        program.func_info_rec_size = size as u32;
        program.func_info_cnt = (functions.len() / size) as u32;
    }
    if !log.is_empty() {
        program.log_level = 1;
        program.log_buf = log.as_mut_ptr() as u64;
        program.log_size = log.len() as u32;
    }
    // The last byte stays zero, whatever the length of the name.
    for (to, from) in program.prog_name.iter_mut().take(15).zip(name.to_bytes()) {
        *to = *from as libc::c_char;
    }
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// `r0 = 0; exit`
const NOTHING: [bpf_insn; 2] = [instruction(0xb7), instruction(0x95)];

const fn instruction(code: u8) -> bpf_insn {
    bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: aya_obj::generated::__BindgenBitfieldUnit::new([0]),
        off: 0,
        imm: 0,
    }
}

/// A map whose keys and values are bytes: aya's typed maps want to know sizes when they are compiled.
#[derive(Debug)]
pub struct RawMap {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
}

/// A place in a hash map from where the next batch is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(u32);

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// So many entries were read, and there may be more from the cursor on.
    More(usize, Cursor),
    /// So many entries were read, the last ones.
    Last(usize),
    /// Nothing was read: the kernel hands over whole buckets, and the next one has more entries than there is room for.
    TooSmall,
}

impl RawMap {
    /// The same map, by a file descriptor of its own. `cpus` is how many CPUs a per-CPU map has values for.
    pub fn new(map: &MapData, cpus: usize) -> Result<Self, MapError> {
        let info: MapInfo = map.info()?;
        let value_size = info.value_size() as usize;
        let value_size = match info.map_type()? {
            MapType::PerCpuHash | MapType::LruPerCpuHash | MapType::PerCpuArray => {
                value_size.next_multiple_of(8) * cpus
            }
            _ => value_size,
        };
        let fd = map.fd().as_fd().try_clone_to_owned().map_err(MapError::IoError)?;
        Ok(Self { fd, key_size: info.key_size() as usize, value_size })
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.key_size
    }

    /// Bytes of a value; in a per-CPU map, of the values of all CPUs.
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// Reads a value; `false` if there is no such key.
    ///
    /// # Panics
    /// Here and below: if a slice is not of the map's size.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        assert_eq!((key.len(), value.len()), (self.key_size, self.value_size));
        let mut attr = attributes();
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
        found(bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr))
    }

    /// Writes a value, in place of the old one if there is one.
    pub fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.update_with(key, value, BPF_ANY)
    }

    /// The same unless there is such a key; `false` if there is.
    pub fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<bool> {
        match self.update_with(key, value, BPF_NOEXIST) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn update_with(&self, key: &[u8], value: &[u8], flags: u32) -> io::Result<()> {
        assert_eq!((key.len(), value.len()), (self.key_size, self.value_size));
        let mut attr = attributes();
        attr.__bindgen_anon_2.flags = flags.into();
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_ptr() as u64;
        bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
    }

    /// Removes a key; `false` if there is no such key.
    pub fn delete(&self, key: &[u8]) -> io::Result<bool> {
        assert_eq!(key.len(), self.key_size);
        let mut attr = attributes();
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
        found(bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr))
    }

    /// Reads entries of a hash map, from the beginning or from where the last batch ended, one behind the other.
    pub fn lookup_batch(&self, from: Option<Cursor>, keys: &mut [u8], values: &mut [u8]) -> io::Result<Batch> {
        let room = keys.len() / self.key_size;
        assert_eq!((keys.len(), values.len()), (room * self.key_size, room * self.value_size));
        let from = from.map(|Cursor(bucket)| bucket);
        let mut next = 0u32;
        let mut attr = attributes();
        attr.batch.map_fd = self.fd.as_raw_fd() as u32;
        attr.batch.in_batch = from.as_ref().map_or(0, |bucket| std::ptr::from_ref(bucket) as u64);
        attr.batch.out_batch = &raw mut next as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = room as u32;
        let result = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr);
        // SAFETY: the member that this command uses; integers only.
        let count = unsafe { attr.batch.count } as usize;
        match result {
            Ok(_) => Ok(Batch::More(count, Cursor(next))),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(Batch::Last(count)),
                Some(libc::ENOSPC) => Ok(Batch::TooSmall),
                _ => Err(error),
            },
        }
    }

    /// Removes keys, one behind the other in `keys`; all of them must be there.
    pub fn delete_batch(&self, keys: &[u8]) -> io::Result<()> {
        assert_eq!(keys.len() % self.key_size, 0);
        if keys.is_empty() {
            return Ok(());
        }
        let mut attr = attributes();
        attr.batch.map_fd = self.fd.as_raw_fd() as u32;
        attr.batch.keys = keys.as_ptr() as u64;
        attr.batch.count = (keys.len() / self.key_size) as u32;
        bpf(bpf_cmd::BPF_MAP_DELETE_BATCH, &mut attr).map(drop)
    }
}

fn found(result: io::Result<i64>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A way to wait until every program that is running now has ended.
///
/// The kernel waits for that whenever a map inside a map is replaced (`maybe_wait_bpf_programs` in
/// kernel/bpf/syscall.c, since 4.20). membarrier(2) also waits, but not on a kernel with `nohz_full`, nor if it has only one
/// CPU, where a program may be pre-empted all the same.
#[derive(Debug)]
pub struct Grace {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Grace {
    /// Makes the two maps that it takes.
    pub fn new() -> io::Result<Self> {
        let inner = array(bpf_map_type::BPF_MAP_TYPE_ARRAY, None)?;
        let outer = array(bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS, Some(inner.as_fd()))?;
        Ok(Self { outer, inner })
    }

    /// Returns when no program is running any more that was running at the call.
    pub fn wait(&self) -> io::Result<()> {
        let key = 0u32;
        let value = self.inner.as_raw_fd() as u32;
        let mut attr = attributes();
        attr.__bindgen_anon_2.map_fd = self.outer.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = &raw const key as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = &raw const value as u64;
        bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
    }
}

/// An array of one 4-byte entry.
fn array(kind: bpf_map_type, inner: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: the member of the union that this command reads; all of its fields are integers.
    let map = unsafe { &mut attr.__bindgen_anon_1 };
    map.map_type = kind as u32;
    map.key_size = 4;
    map.value_size = 4;
    map.max_entries = 1;
    map.inner_map_fd = inner.map_or(0, |fd| fd.as_raw_fd() as u32);
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// Runs `action` while this process cannot open files.
pub fn without_open_files<T>(action: impl FnOnce() -> T) -> io::Result<T> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: here and below, the structure is ours, and of the type that the call wants.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    let none = libc::rlimit { rlim_cur: 0, ..limit };
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) })?;
    let result = action();
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(result)
}

/// Makes a file descriptor something to wait for.
pub fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: it is ours, so it stays open and the same until it is dropped.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// CLOCK_BOOTTIME, in ns, as `bpf_ktime_get_boot_ns` gives it.
pub fn boot_time() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is ours to write to.
    check(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) })?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

pub use child::{Waiting, fork_waiting};

/// How a child has ended, or `None` if it still runs.
pub fn try_wait(pid: u32) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: the status is ours to write to.
    let ended = check(unsafe { libc::waitpid(pid as libc::pid_t, &mut status, libc::WNOHANG) })?;
    Ok((ended != 0).then(|| ExitStatus::from_raw(status)))
}

/// Sends a signal to a child that has not been waited for, so the pid is still its own.
pub fn signal_child(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid as libc::pid_t, signal) }).map(drop)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
