//! What the kernel notes of processes as it happens: code that they map, their execs, forks and ends. It is what perf(1)
//! records beside its samples: side-band records of a perf event that counts nothing (perf_event_open(2),
//! include/uapi/linux/perf_event.h).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use aya::util::online_cpus;
use aya_obj::generated::perf_event_attr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ring::Mapping;
use super::watch;

/// Bytes for the notes of a CPU: a power of two. What the kernel lets a user lock for a CPU is four times as much
/// (kernel.perf_event_mlock_kb).
const SIZE: usize = 128 << 10;

/// Where the first page says how far the kernel has written, and we have read (`struct perf_event_mmap_page`).
const HEAD: usize = 1024;
const TAIL: usize = 1032;

/// The notes of all CPUs.
#[derive(Debug)]
pub struct Notes(Vec<Cpu>);

#[derive(Debug)]
struct Cpu {
    ready: AsyncFd<OwnedFd>,
    memory: Mapping,
    page: usize,
}

impl Notes {
    /// Begins to take notes. They are of every process that our pid namespace shows, and name it as that does.
    pub fn new() -> io::Result<Self> {
        let cpus = online_cpus().map_err(|(_, error)| error)?;
        cpus.into_iter().map(Cpu::new).collect::<io::Result<_>>().map(Self)
    }

    /// Returns when there are so many notes that they should be taken soon.
    pub async fn ready(&self) -> io::Result<()> {
        let all = self.0.iter().map(|cpu| Box::pin(cpu.ready.readable()));
        let mut all: Vec<_> = all.collect();
        std::future::poll_fn(|context| {
            let ready = all.iter_mut().find_map(|one| match one.as_mut().poll(context) {
                std::task::Poll::Ready(guard) => Some(guard),
                std::task::Poll::Pending => None,
            });
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await?
        .clear_ready();
        Ok(())
    }

    /// Hands over what has been noted since the last call, CPU by CPU: `struct perf_event_header` and what follows it.
    pub fn take(&mut self, mut to: impl FnMut(&[u8])) {
        for cpu in &mut self.0 {
            cpu.take(&mut to);
        }
    }
}

impl Cpu {
    fn new(cpu: u32) -> io::Result<Self> {
        const SOFTWARE: u32 = 1;
        const DUMMY: u64 = 9;
        const SAMPLE_TIME: u64 = 4;
        /// PERF_FLAG_FD_CLOEXEC
        const CLOSE_ON_EXEC: u64 = 8;
        // SAFETY: it consists of integers, for which zero is a value.
        let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
        attr.type_ = SOFTWARE;
        attr.size = size_of::<perf_event_attr>() as u32;
        attr.config = DUMMY;
        attr.sample_type = SAMPLE_TIME;
        attr.set_mmap(1);
        attr.set_mmap2(1);
        attr.set_comm(1);
        attr.set_comm_exec(1);
        attr.set_task(1);
        attr.set_sample_id_all(1);
        attr.set_use_clockid(1);
        attr.clockid = libc::CLOCK_MONOTONIC;
        attr.set_watermark(1);
        attr.__bindgen_anon_2.wakeup_watermark = SIZE as u32 / 2;
        // SAFETY: the kernel reads the structure, which is as long as it says.
        let fd = unsafe {
            libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, cpu as libc::c_int, -1, CLOSE_ON_EXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it for us, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // SAFETY: no memory is involved.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let memory = Mapping::new(&fd, 0, page + SIZE, libc::PROT_READ | libc::PROT_WRITE)?;

        Ok(Self { ready: watch(fd, Interest::READABLE)?, memory, page })
    }

    fn take(&mut self, to: &mut impl FnMut(&[u8])) {
        let end = self.position(HEAD).load(Ordering::Acquire);
        let mut position = self.position(TAIL).load(Ordering::Relaxed);
        let mut record = Vec::new();
        while position < end {
            let mut header = [0; 8];
            self.copy(position, &mut header);
            let length = usize::from(u16::from_le_bytes([header[6], header[7]]));
            if length < header.len() {
                position = end; // nothing that the kernel writes
                break;
            }
            record.resize(length, 0);
            self.copy(position, &mut record);
            to(&record);
            position += length as u64;
        }
        self.position(TAIL).store(position, Ordering::Release);
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: within the first page and aligned; the kernel reads and writes it atomically.
        unsafe { &*self.memory.address().add(offset).cast::<AtomicU64>() }
    }

    /// Copies what has been written at a position; it may go on at the beginning of the ring.
    fn copy(&self, position: u64, to: &mut [u8]) {
        let start = position as usize & (SIZE - 1);
        let first = to.len().min(SIZE - start);
        // SAFETY: both parts lie within the mapping, and the kernel leaves alone what has not been read.
        unsafe {
            let data = self.memory.address().add(self.page);
            std::ptr::copy_nonoverlapping(data.add(start), to.as_mut_ptr(), first);
            std::ptr::copy_nonoverlapping(data, to.as_mut_ptr().add(first), to.len() - first);
        }
    }
}
