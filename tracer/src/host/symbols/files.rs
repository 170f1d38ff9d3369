//! The files that processes have mapped: open from when they are first seen, so that they can be read when the process,
//! its file system or the file's name is gone.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::Symbol;
use super::maps::{DELETED, Mapping};
use crate::host::elf::open::{self, Root};

/// Most files that are held open.
const MOST_OPEN: usize = 512;

/// The files, by what mappings say of them.
pub struct Files {
    known: HashMap<(String, u64), Option<File>>,
    symbolizer: Symbolizer,
    symbols: HashMap<(String, u64, u64), Option<Symbol>>,
}

impl Default for Files {
    fn default() -> Self {
        // A file that is open does not change for us, and what is asked for is a name.
        let symbolizer = Symbolizer::builder().enable_auto_reload(false).enable_code_info(false).build();
        Self { known: HashMap::new(), symbolizer, symbols: HashMap::new() }
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Files {
    /// Opens the file of a process's mapping, if that has not been done.
    pub fn open(&mut self, pid: u32, mapping: &Mapping) {
        if self.known.len() >= MOST_OPEN || self.known.contains_key(&mapping.file) {
            return;
        }
        self.known.insert(mapping.file.clone(), find(pid, mapping));
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
        let path = own_path(self.known.get(&mapping.file)?.as_ref()?);
        // The symbols of the file itself, then what was put elsewhere when it was stripped.
        [false, true].into_iter().find_map(|debug| {
            let mut elf = Elf::new(&path);
            elf.debug_syms = debug;
            match self.symbolizer.symbolize_single(&Source::Elf(elf), Input::FileOffset(offset)) {
                Ok(Symbolized::Sym(symbol)) => {
                    Some(Symbol { name: symbol.name.into_owned(), offset: symbol.offset as u64 })
                }
                // A file that cannot be read has no names in it.
                Ok(Symbolized::Unknown(_)) | Err(_) => None,
            }
        })
    }

    /// What tells the build of a mapping's file from all others, in hexadecimal.
    pub fn build_id(&mut self, mapping: &Mapping) -> Option<String> {
        let id = crate::host::elf::build_id(self.known.get(&mapping.file)?.as_ref()?)?;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A path to a file that is open.
fn own_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
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
