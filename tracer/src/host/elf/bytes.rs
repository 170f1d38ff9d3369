//! The bytes of a file that belongs to somebody else, who may change it while it is read, and may have written anything
//! into it.
//!
//! They are read, not mapped: whoever may write to a file can cut it off, and a process that touches what is not there any
//! more is ended (SIGBUS). And they are read within a bound, however often a file leads to the same bytes: a hole of a
//! terabyte costs whoever makes it nothing.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;

use object::read::{ReadCache, ReadRef};

/// Most bytes of a file that are read. Of the largest programs with all their symbols it takes a third.
const MOST: u64 = 256 << 20;

/// What looking for a piece costs, besides its bytes.
const PIECE: u64 = 64;

/// Longest name of a symbol. Compilers make mangled ones of some thousand bytes.
const LONGEST_NAME: usize = 1 << 14;

/// Most bytes of all names of a table: symbols may share them, and share them a million times.
const MOST_NAMES: usize = 256 << 20;

/// Most program headers: the kernel loads no program with more than 64 KB of them (`load_elf_phdrs`).
pub const MOST_SEGMENTS: usize = 1170;

/// A file that is read piece by piece.
pub struct Bytes<'f> {
    cache: ReadCache<&'f File>,
    left: Cell<u64>,
}

impl<'f> Bytes<'f> {
    /// Of a file that is open.
    pub fn new(file: &'f File) -> Self {
        Self { cache: ReadCache::new(file), left: Cell::new(MOST) }
    }

    fn pay(&self, bytes: u64) -> Result<(), ()> {
        self.left.set(self.left.get().checked_sub(bytes.saturating_add(PIECE)).ok_or(())?);
        Ok(())
    }
}

impl<'a> ReadRef<'a> for &'a Bytes<'_> {
    fn len(self) -> Result<u64, ()> {
        (&self.cache).len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.pay(size)?;
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let found = self.cache.read_bytes_at_until(range, delimiter)?;
        self.pay(found.len() as u64)?;
        Ok(found)
    }
}

/// The texts of a table of names, each ended by NUL.
pub struct Names<'d> {
    bytes: &'d [u8],
    left: usize,
}

impl<'d> Names<'d> {
    /// Of a table.
    pub fn new(bytes: &'d [u8]) -> Self {
        Self { bytes, left: MOST_NAMES }
    }

    /// The text that begins there, if there is one of a bearable length. The error is that they have been too many.
    pub fn get(&mut self, at: u32) -> Result<Option<&'d str>, String> {
        let Some(rest) = self.bytes.get(at as usize..) else { return Ok(None) };
        let rest = &rest[..rest.len().min(LONGEST_NAME)];
        let length = rest.iter().position(|&byte| byte == 0);
        let cost = length.unwrap_or(rest.len()) + 1;
        self.left = self.left.checked_sub(cost).ok_or("the names of its symbols are too long")?;
        Ok(length.and_then(|length| str::from_utf8(&rest[..length]).ok()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("ctrace-bytes-{}-{name}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).expect("a file of our own");
        std::fs::remove_file(&path).expect("it was ours");
        file.write_all(bytes).expect("a small file");
        file
    }

    #[test]
    fn what_is_cut_off_while_it_is_read_is_an_error_and_no_more() {
        let file = file("cut", &[7; 100_000]);
        let bytes = Bytes::new(&file);
        assert_eq!((&bytes).len(), Ok(100_000));
        assert_eq!((&bytes).read_bytes_at(90_000, 10), Ok(&[7; 10][..]));
        file.set_len(10).expect("it is ours");
        assert_eq!((&bytes).read_bytes_at(90_000, 20), Err(()), "it is not there any more");
        assert_eq!((&bytes).read_bytes_at(0, 10), Ok(&[7; 10][..]));
    }

    #[test]
    fn a_hole_of_a_terabyte_is_not_read() {
        let file = file("hole", b"small");
        file.set_len(1 << 40).expect("a hole takes no room");
        let bytes = Bytes::new(&file);
        assert_eq!((&bytes).read_bytes_at(0, 1 << 39), Err(()));
        let pieces = (0..).take_while(|at| (&bytes).read_bytes_at(*at, 16 << 20).is_ok()).count();
        assert_eq!(pieces, 15, "of 16 MB, of 256");
    }

    #[test]
    fn names_that_share_their_bytes_are_read_a_bounded_number_of_times() {
        let mut table = vec![b'a'; LONGEST_NAME - 1];
        table.push(0);
        let mut names = Names { left: 10 * LONGEST_NAME, ..Names::new(&table) };
        assert_eq!((0..).take_while(|_| names.get(0).is_ok()).count(), 10);
        let mut names = Names::new(&table);
        assert_eq!(names.get(LONGEST_NAME as u32 - 2), Ok(Some("a")));
        assert_eq!(names.get(LONGEST_NAME as u32), Ok(None));
        assert_eq!(Names::new(&[b'a'; LONGEST_NAME + 5]).get(0), Ok(None), "none that has no end");
    }
}
