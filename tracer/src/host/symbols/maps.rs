//! The text of /proc/PID/maps → what of it is code.

/// A part of an address space that code is run from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// The file's device and inode; inode 0: no file.
    pub file: (String, u64),
    /// The file's path in the file system of the process, or what the kernel calls it (`[vdso]`); empty for memory
    /// without a name.
    pub path: String,
}

impl Mapping {
    /// Where an address of it lies in the file.
    pub fn file_offset(&self, address: u64) -> u64 {
        address - self.start + self.offset
    }
}

/// Behind the path of a file that has no name any more.
pub const DELETED: &str = " (deleted)";

/// The executable mappings, in the order of their addresses.
pub fn parse(text: &str) -> Vec<Mapping> {
    text.lines().filter_map(line).collect()
}

/// `start-end rwxp offset device inode   path`
fn line(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let offset = hexadecimal(fields.next()?)?;
    let (device, inode) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    let path = fields.next().unwrap_or_default().trim_start().to_owned();
    Some(Mapping { start: hexadecimal(start)?, end: hexadecimal(end)?, offset, file: (device, inode), path })
}
