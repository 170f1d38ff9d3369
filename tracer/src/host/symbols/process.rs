//! The mappings of an address space.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use super::Symbol;
use super::files::Files;
use super::history::History;
use super::maps::{self, Mapping};
use crate::host::elf::Frame;
use crate::host::elf::open::{self, Root};

/// An address space: a process between two of its execs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Space {
    /// The process, as we number it; 0 if we cannot see it.
    pub pid: u32,
    /// What tells it from others of that number.
    pub id: u64,
}

/// What is known of an address space.
#[derive(Debug, Default)]
pub struct Process {
    /// Executable mappings by their first address. One that is gone stays: what was sampled in it was sampled there.
    mappings: BTreeMap<u64, Mapping>,
    /// What a just-in-time compiler has written of its code.
    generated: BTreeMap<u64, Generated>,
    /// The file that says so, as it was when it was read last: its length, and when it was written.
    perf_map: (u64, Option<SystemTime>),
    /// Bytes of it that have been read, over all times.
    perf_map_read: u64,
    /// Why there are no mappings.
    unseen: Option<Unseen>,
}

/// Why nothing is known of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The process has ended, or lies where we cannot see it.
    Gone,
    /// We may not look at it.
    Forbidden,
}

/// A function in a perf map.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Generated {
    size: u64,
    name: String,
}

/// Most bytes of a perf map that are read, at a time and over all times; and most functions in it.
const LARGEST_PERF_MAP: u64 = 64 << 20;
const MOST_READ: u64 = 8 * LARGEST_PERF_MAP;
const MOST_GENERATED: usize = 1 << 20;

impl Process {
    /// Reads the mappings unless those that are known have all the addresses in them, and opens the files there. What the
    /// process does not tell any more, `history` may know of the time of the stack.
    pub fn look_at(&mut self, (pid, time): (u32, u64), frames: &[u64], history: &History, files: &mut Files) {
        let unknown = |process: &Self| frames.iter().any(|&address| process.mapping(address).is_none());
        if pid != 0 && (self.mappings.is_empty() || unknown(self)) {
            let (text, unseen) = match fs::read_to_string(format!("/proc/{pid}/maps")) {
                Ok(text) => (text, Unseen::Gone),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => (String::new(), Unseen::Forbidden),
                Err(_) => (String::new(), Unseen::Gone),
            };
            self.mappings.extend(maps::parse(&text).into_iter().map(|mapping| (mapping.start, mapping)));
            if unknown(self) {
                for mapping in history.mappings(pid, time) {
                    self.mappings.entry(mapping.start).or_insert(mapping);
                }
            }
            self.unseen = self.mappings.is_empty().then_some(unseen);
        }
        let mut generated = false;
        for &address in frames {
            match self.mapping(address) {
                Some(mapping) if mapping.file.1 != 0 => files.open(pid, mapping),
                Some(_) => generated |= self.generated_at(address).is_none(),
                None => {}
            }
        }
        if generated && let Some(file) = perf_map(pid) {
            self.read_perf_map(file);
        }
    }

    /// Reads what has been written since, all of it again: functions move.
    fn read_perf_map(&mut self, file: File) {
        let Ok(status) = file.metadata() else { return };
        let now = (status.len(), status.modified().ok());
        if now == self.perf_map || self.perf_map_read >= MOST_READ {
            return;
        }
        self.perf_map = now;
        let mut text = Vec::new();
        // One that cannot be read has no names.
        let read = file.take(LARGEST_PERF_MAP).read_to_end(&mut text).unwrap_or(0);
        self.perf_map_read += read as u64;
        self.generated.extend(generated(&String::from_utf8_lossy(&text)));
    }

    /// Why nothing is known; `None` if something is.
    pub fn unseen(&self) -> Option<Unseen> {
        self.unseen
    }

    /// The mapping that an address lies in.
    pub fn mapping(&self, address: u64) -> Option<&Mapping> {
        let (_, mapping) = self.mappings.range(..=address).next_back()?;
        (address < mapping.end).then_some(mapping)
    }

    /// The function that an address lies in.
    pub fn symbol(&self, address: u64, files: &mut Files) -> Option<Symbol> {
        let mapping = self.mapping(address)?;
        match mapping.file.1 {
            0 => self.generated_at(address),
            _ => files.symbol(mapping, mapping.file_offset(address)),
        }
    }

    /// The functions and lines of source at an address, innermost first.
    pub fn frames<'f>(&self, address: u64, files: &'f mut Files) -> &'f [Frame] {
        match self.mapping(address) {
            Some(mapping) if mapping.file.1 != 0 => files.frames(mapping, mapping.file_offset(address)),
            _ => &[],
        }
    }

    fn generated_at(&self, address: u64) -> Option<Symbol> {
        let (start, function) = self.generated.range(..=address).next_back()?;
        let offset = address - start;
        (offset < function.size).then(|| Symbol { name: function.name.clone(), offset })
    }
}

/// The file in which a process says what code it has made, as perf(1) has made a custom of: it lies in the process's file
/// system, and is named by the number that the process has for itself. Everybody may write there, so it has to be the
/// file of the process's own user, or of root.
fn perf_map(pid: u32) -> Option<File> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let own = line("NSpid:")?.split_whitespace().next_back()?;
    // Real, effective, …
    let user: u32 = line("Uid:")?.split_whitespace().nth(1)?.parse().ok()?;
    // There is none unless the process has been asked for it.
    let file = open::open(Path::new(&format!("/tmp/perf-{own}.map")), &Root::Process(pid)).ok()?;
    let owner = file.metadata().ok()?.uid();
    (owner == user || owner == 0).then_some(file)
}

/// Lines of `start size name`, numbers in hexadecimal. Of two functions in one place, the later one is there.
fn generated(text: &str) -> BTreeMap<u64, Generated> {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ' ');
        let mut number = || {
            let text = fields.next()?;
            u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
        };
        let (start, size) = (number()?, number()?);
        Some((start, Generated { size, name: fields.next()?.to_owned() }))
    };
    text.lines().filter_map(line).take(MOST_GENERATED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_a_process_has_made_has_the_names_that_it_says() {
        let text = "7f00 10 alpha\n0x7f10 20 beta two\nbad\n7f00 8 gamma\n";
        let process = Process { generated: generated(text), ..Process::default() };
        let name = |address| process.generated_at(address).map(|symbol| format!("{}+{}", symbol.name, symbol.offset));
        assert_eq!(name(0x7f04).as_deref(), Some("gamma+4"));
        assert_eq!(name(0x7f08), None, "behind the one that is there now");
        assert_eq!(name(0x7f2f).as_deref(), Some("beta two+31"));
        assert_eq!(name(0x7f30), None);
        assert_eq!(name(0x7eff), None);
    }
}
