//! User space's end of a BPF ring buffer: include/uapi/linux/bpf.h, kernel/bpf/ringbuf.c.
//!
//! aya has one too. This one tells where in the ring it is, which is what puts the records of two rings in order, and
//! gives room back for many records at once: each time costs a cache line that the programs fight for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use aya::maps::MapData;

/// Before each record: its length, with two flags, and four bytes for the kernel.
const HEADER: u64 = 8;

/// `BPF_RINGBUF_BUSY_BIT`: reserved and not submitted yet.
const BUSY: u32 = 1 << 31;

/// `BPF_RINGBUF_DISCARD_BIT`: submitted as nothing.
const DISCARD: u32 = 1 << 30;

/// Bytes that may be read before their room is given back, as a share of the ring.
const SHARE_KEPT: u64 = 16;

/// A ring buffer, read by this process only.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    size: u64,
    /// What has been read, in bytes since the ring was made.
    position: u64,
    /// The same as far as the kernel knows.
    released: u64,
}

/// What stands next in a ring.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'r> {
    /// Nothing.
    Nothing,
    /// A record that is still being written.
    Busy,
    /// A record.
    Record(&'r [u8]),
}

impl Ring {
    /// The ring of a map.
    pub fn new(map: &MapData) -> io::Result<Self> {
        let size = map.info().map_err(io::Error::other)?.max_entries() as usize;
        // SAFETY: no memory is involved.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let fd = map.fd().as_fd().try_clone_to_owned()?;
        // The kernel maps the data twice, one behind the other, so that a record that wraps around is in one piece.
        let consumer = Mapping::new(&fd, 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        let producer = Mapping::new(&fd, page, page + 2 * size, libc::PROT_READ)?;
        let position = consumer.position().load(Ordering::Relaxed);
        Ok(Self { fd, consumer, producer, page, size: size as u64, position, released: position })
    }

    /// Bytes that have been read since the ring was made, headers included: where the next record begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next record, which stays the next until [`Ring::advance`].
    pub fn peek(&mut self) -> Next<'_> {
        loop {
            let end = self.producer.position().load(Ordering::Acquire);
            if self.position == end {
                return Next::Nothing;
            }
            let at = self.page + (self.position & (self.size - 1)) as usize;
            // SAFETY: within the mapping and aligned; the kernel writes the word atomically.
            let header = unsafe { &*self.producer.address.add(at).cast::<AtomicU32>() }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                return Next::Busy;
            }
            let length = header & !DISCARD;
            if header & DISCARD == 0 {
                // SAFETY: the record lies within the mapping, and the kernel leaves it alone until its room is released,
                // which takes `&mut self`.
                let record = unsafe {
                    std::slice::from_raw_parts(self.producer.address.add(at + HEADER as usize), length as usize)
                };
                return Next::Record(record);
            }
            self.skip(length);
        }
    }

    /// Goes on behind the record that [`Ring::peek`] gave, of so many bytes.
    pub fn advance(&mut self, length: usize) {
        self.skip(length as u32);
        if self.position - self.released > self.size / SHARE_KEPT {
            self.release();
        }
    }

    fn skip(&mut self, length: u32) {
        self.position += (HEADER + u64::from(length)).next_multiple_of(8);
    }

    /// Gives the kernel the room of all that has been read, and asks it to wake us for the next record. To be called
    /// before waiting, and followed by one more look: the kernel does not wake whom it sees behind.
    pub fn release(&mut self) {
        if self.released != self.position {
            self.released = self.position;
            self.consumer.position().store(self.position, Ordering::Release);
        }
        // The kernel submits and then looks at our position; we say where we are and then look for records.
        fence(Ordering::SeqCst);
    }

    /// What to wait for.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Memory that is shared with the kernel.
#[derive(Debug)]
pub(super) struct Mapping {
    address: *mut u8,
    length: usize,
}

// SAFETY: memory like any other, owned by this value.
unsafe impl Send for Mapping {}

impl Mapping {
    pub fn new(fd: &OwnedFd, offset: usize, length: usize, protection: i32) -> io::Result<Self> {
        // SAFETY: a new mapping where the kernel finds room.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { address: address.cast(), length })
    }

    /// Where it begins.
    pub fn address(&self) -> *mut u8 {
        self.address
    }

    /// The position that each of the two first pages begins with.
    fn position(&self) -> &AtomicU64 {
        // SAFETY: within the mapping and aligned; the kernel reads and writes it atomically.
        unsafe { &*self.address.cast::<AtomicU64>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing refers to any more.
        let result = unsafe { libc::munmap(self.address.cast(), self.length) };
        debug_assert_eq!(result, 0);
    }
}
