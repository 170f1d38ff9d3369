//! The files that processes have mapped: open from when they are first seen, so that they can be read when the process,
//! its file system or the file's name is gone.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Symbol;
use super::maps::{DELETED, Mapping};
use crate::host::elf::open::{self, Root};
use crate::host::elf::{self, Frame, Lines, Naming};

/// Most files that are held open.
const MOST_OPEN: usize = 512;

/// The files, by what mappings say of them.
#[derive(Debug, Default)]
pub struct Files {
    known: HashMap<(String, u64), Option<Opened>>,
    symbols: HashMap<(String, u64, u64), Option<Symbol>>,
    given_up: BTreeSet<String>,
}

/// A file, and what is known of it.
#[derive(Debug)]
struct Opened {
    file: File,
    /// The one with its debugging information.
    separate: Option<File>,
    /// The names in them, once one has been asked for.
    naming: OnceCell<Naming>,
    /// The same of lines, if there are any.
    lines: OnceCell<Option<Lines>>,
    /// What has been looked up there, by addresses.
    frames: HashMap<u64, Vec<Frame>>,
}

impl Files {
    /// Opens the file of a process's mapping, if that has not been done.
    pub fn open(&mut self, pid: u32, mapping: &Mapping) {
        if self.known.len() >= MOST_OPEN || self.known.contains_key(&mapping.file) {
            return;
        }
        let opened = find(pid, mapping).map(|file| {
            let separate = elf::separate(&file, &Root::Process(pid));
            Opened { file, separate, naming: OnceCell::new(), lines: OnceCell::new(), frames: HashMap::new() }
        });
        self.known.insert(mapping.file.clone(), opened);
    }

    /// The function at a place in the file of a mapping.
    pub fn symbol(&mut self, mapping: &Mapping, offset: u64) -> Option<Symbol> {
        let (device, inode) = &mapping.file;
        let key = (device.clone(), *inode, offset);
        if let Some(known) = self.symbols.get(&key) {
            return known.clone();
        }
        let symbol = self.look_up(mapping, offset);
        self.symbols.insert(key, symbol.clone());
        symbol
    }

    fn look_up(&self, mapping: &Mapping, offset: u64) -> Option<Symbol> {
        let naming = self.known.get(&mapping.file)?.as_ref()?.naming();
        let (name, offset) = naming.function(naming.address(offset)?)?;
        Some(Symbol { name: elf::demangle(name).unwrap_or_else(|| name.to_owned()), offset })
    }

    /// The functions and lines of source at a place in the file of a mapping, innermost first; none if they are not known.
    pub fn frames(&mut self, mapping: &Mapping, offset: u64) -> &[Frame] {
        let Some(Some(opened)) = self.known.get_mut(&mapping.file) else { return &[] };
        let Some(address) = opened.naming().address(offset) else { return &[] };
        opened.lines.get_or_init(|| Lines::read(&opened.file, opened.separate.as_ref()));
        let Some(Some(lines)) = opened.lines.get_mut() else { return &[] };
        let found = opened.frames.entry(address).or_insert_with(|| lines.frames(address));
        if lines.is_exhausted() {
            self.given_up.insert(mapping.path.clone());
        }
        found
    }

    /// Files whose debugging information takes too long to look through.
    pub fn given_up(&self) -> impl Iterator<Item = &String> {
        self.given_up.iter()
    }

    /// What tells the build of a mapping's file from all others, in hexadecimal.
    pub fn build_id(&mut self, mapping: &Mapping) -> Option<String> {
        let id = elf::build_id(&self.known.get(&mapping.file)?.as_ref()?.file)?;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Opened {
    fn naming(&self) -> &Naming {
        self.naming.get_or_init(|| Naming::read(&self.file, self.separate.as_ref()))
    }
}

/// The file of a mapping: the very same where the kernel lets us have it (CAP_CHECKPOINT_RESTORE), else the one that has its
/// name now in the file system of the process, or in ours if the process has ended and it is the same there. (Its device may
/// be another: an overlay has one of its own, and the kernel may speak of what is below it.)
fn find(pid: u32, mapping: &Mapping) -> Option<File> {
    let exact = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
    if let Ok(file) = open::open(Path::new(&exact), &Root::Own) {
        return Some(file);
    }
    if mapping.path.ends_with(DELETED) {
        return None;
    }
    if let Ok(file) = open::open(Path::new(&mapping.path), &Root::Process(pid)) {
        return Some(file);
    }
    let own = open::open(Path::new(&mapping.path), &Root::Own).ok()?;
    own.metadata().is_ok_and(|status| status.ino() == mapping.file.1).then_some(own)
}
