//! Programs and libraries on disk → where their functions lie, as plain data.
//!
//! In: what a script names (`uprobe:/bin/sh:main+8`), and whose file system that is meant in. Out: [`Binary`], which
//! analysis expands probes from. What is read here belongs to whoever is traced, and may be anything: [`open`] touches
//! nothing but regular files and never leaves the root, and [`symbols`] trusts no number in them.

mod boundaries;
mod bytes;
mod debug;
mod library;
mod lines;
pub mod matching;
mod naming;
pub mod open;
mod symbols;
pub mod usdt;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

use object::read::elf::FileHeader;
use thiserror::Error;

use crate::pattern::matches;
use bytes::Bytes;
pub use lines::{Frame, Lines};
pub use naming::Naming;
pub use open::Root;

/// What a script wants to know of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The file, as the script names it. Of [`Wanted::Markers`], nothing or a pattern with `*` means files of the
    /// process.
    pub path: String,
    /// What is wanted in it.
    pub wanted: Wanted,
}

/// What is wanted in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A function, in whose name `*` stands for any text, with `+OFFSET` behind it, or an address.
    Function(String),
    /// The probes that its authors have put there.
    Markers,
    /// Where the symbol of this name is, be it of a function or of data.
    Address(String),
}

/// The files that a script names, by the name that it gives them.
pub type Binaries = BTreeMap<String, Result<Binary, String>>;

/// The files themselves, by the same names, open: what is attached to is what was looked at.
pub type Files = BTreeMap<String, File>;

/// An executable or a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary {
    /// Where it was found, in the file system of the target.
    pub path: PathBuf,
    /// Its functions, sorted by name, each name once.
    pub functions: Vec<Function>,
    /// What it has loaded as code.
    pub code: Vec<Segment>,
    /// What tells its build from all others; empty if it does not say.
    pub build_id: Vec<u8>,
    /// Made by the Go compiler.
    pub go: bool,
    /// Where instructions begin, as addresses, in the functions that a script wants to look into, by offsets or addresses.
    pub instructions: BTreeMap<String, BTreeSet<u64>>,
    /// The probes that its authors have put there, sorted by provider and name, if a script wants any.
    pub markers: Vec<usdt::Marker>,
    /// Where the symbols are whose addresses a script wants; of those that are not in here the file has none.
    pub addresses: BTreeMap<String, Address>,
}

impl Function {
    /// Whether a pattern is its symbol or its name, with or without the types of its parameters.
    pub fn is_meant(&self, pattern: &str) -> bool {
        matches(pattern, &self.name)
            || self.demangled.as_deref().is_some_and(|name| {
                matches(pattern, name) || name.split_once('(').is_some_and(|(name, _)| matches(pattern, name))
            })
    }
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Before the file is moved anywhere.
    pub address: u64,
    /// Bytes, 0 if the file does not say.
    pub size: u64,
}

/// A part of a file that is loaded as code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its address, before the file is moved anywhere.
    pub address: u64,
    /// Where it lies in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub size: u64,
}

/// A function of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its symbol, without the version of a library's interface.
    pub name: String,
    /// The name as its language has it, if the symbol is a mangled one.
    pub demangled: Option<String>,
    /// Its address, before the file is moved anywhere.
    pub address: u64,
    /// Bytes, 0 if the file does not say.
    pub size: u64,
    /// It chooses the implementation when the file is loaded, and is not called otherwise.
    pub indirect: bool,
}

impl Binary {
    /// Where an address lies in the file, if it is code.
    pub fn offset(&self, address: u64) -> Option<u64> {
        code_offset(&self.code, address)
    }

    /// A function that an address lies in, if the file says how long it is.
    pub fn function_at(&self, address: u64) -> Option<&Function> {
        let inside = |function: &&Function| address.checked_sub(function.address).is_some_and(|at| at < function.size);
        self.functions.iter().find(inside)
    }

    /// The function of this symbol or name.
    pub fn named(&self, name: &str) -> Option<&Function> {
        self.function(name).or_else(|| self.functions.iter().find(|function| function.is_meant(name)))
    }

    /// The function of this symbol.
    pub fn function(&self, name: &str) -> Option<&Function> {
        let at = self.functions.binary_search_by(|function| function.name.as_str().cmp(name)).ok()?;
        self.functions.get(at)
    }
}

/// The address that is meant by what a script has in place of a function: `123`, `0x7b`.
pub fn address(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Where an address lies in the file, if it is code.
fn code_offset(code: &[Segment], address: u64) -> Option<u64> {
    let inside =
        |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|distance| distance < segment.size);
    code.iter().find(inside).map(|segment| segment.offset + (address - segment.address))
}

/// Why nothing is known of a file.
#[derive(Debug, Error)]
pub enum Error {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] open::Error),
    /// It is not what it should be.
    #[error("{path} is not a program or library for this machine: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// Looks at all files that a script names, or means by a pattern.
pub fn look(mentions: &[Mention], root: &Root) -> (Binaries, Files) {
    let mut wanted: BTreeMap<String, Vec<&Wanted>> = BTreeMap::new();
    let mut binaries = Binaries::new();
    for mention in mentions {
        let meant = files_meant(mention, root);
        if meant.is_empty() {
            binaries.insert(mention.path.clone(), Err(no_file(&mention.path, root)));
        }
        for path in meant {
            wanted.entry(path).or_default().push(&mention.wanted);
        }
    }
    let mut files = Files::new();
    let looked = wanted.into_iter().map(|(name, wanted)| {
        let looked = look_at(&name, &wanted, root).map(|(binary, file)| {
            files.insert(name.clone(), file);
            binary
        });
        (name, looked.map_err(|error| error.to_string()))
    });
    binaries.extend(looked);
    (binaries, files)
}

/// Why a pattern means no file.
fn no_file(pattern: &str, root: &Root) -> String {
    match root {
        _ if pattern.contains('/') && !pattern.starts_with('/') => {
            format!("a pattern of files needs whole paths, from `/` on: `{pattern}`")
        }
        Root::Own if pattern.contains('/') => format!("no file that can be read matches `{pattern}`"),
        Root::Own => "whose files are meant is not known: name a process with `-p PID`, or a program or library".into(),
        Root::Process(pid) if pattern.is_empty() => format!("process {pid} has no code, or may not be looked at"),
        Root::Process(pid) if pattern.contains('/') => {
            format!("no file of process {pid} that can be read matches `{pattern}`")
        }
        Root::Process(pid) => format!("process {pid} runs no code of a file that `{pattern}` matches"),
    }
}

/// The file that is named, or those that a process runs code of and a pattern means.
fn files_meant(Mention { path, wanted }: &Mention, root: &Root) -> Vec<String> {
    let mapped = || library::mapped(root).into_iter().filter_map(|file| file.path.into_os_string().into_string().ok());
    match wanted {
        Wanted::Markers if usdt::is_pattern(path) => mapped().filter(|file| usdt::is_meant(path, file)).collect(),
        Wanted::Function(_) | Wanted::Address(_) if !path.contains('*') => vec![path.clone()],
        Wanted::Function(_) | Wanted::Address(_) if path.contains('/') => matching::files(path, root),
        Wanted::Function(_) | Wanted::Address(_) => mapped().filter(|file| matching::is_meant(path, file)).collect(),
        Wanted::Markers => vec![path.clone()],
    }
}

/// What tells the build of a file from all others, if it says so.
pub fn build_id(file: &File) -> Option<Vec<u8>> {
    symbols::build_id_of(file).ok().filter(|id| !id.is_empty())
}

fn look_at(name: &str, wanted: &[&Wanted], root: &Root) -> Result<(Binary, File), Error> {
    let (path, file) = open::find(name, root)?;
    let wrong = |reason| Error::Format { path: path.display().to_string(), reason };
    let functions: Vec<&str> = wanted
        .iter()
        .filter_map(|wanted| match wanted {
            Wanted::Function(function) => Some(function.as_str()),
            Wanted::Markers | Wanted::Address(_) => None,
        })
        .collect();
    let addresses: BTreeSet<&str> = wanted
        .iter()
        .filter_map(|wanted| match wanted {
            Wanted::Address(name) => Some(name.as_str()),
            Wanted::Markers | Wanted::Function(_) => None,
        })
        .collect();
    let mut binary = Binary::default();
    if !functions.is_empty() {
        binary = symbols::read(&file, wanted_demangled(&functions)).map_err(wrong)?;
        debug::add_functions(&mut binary, &file, wanted_demangled(&functions), root);
    }
    if wanted.contains(&&Wanted::Markers) {
        binary.markers = usdt::read(&file).map_err(wrong)?;
    }
    if !addresses.is_empty() {
        binary.addresses = addresses_of(&file, &addresses, root).map_err(wrong)?;
        if binary.code.is_empty() {
            binary.code = code_of(&file).map_err(wrong)?;
        }
    }
    for function in &functions {
        let known = match (function.split_once('+'), address(function)) {
            (Some((name, _)), _) => binary.named(name),
            (None, Some(address)) => binary.function_at(address),
            (None, None) => None,
        };
        let Some(known) = known else { continue };
        let Some(offset) = binary.offset(known.address) else { continue };
        let starts = boundaries::instructions(&file, offset, known).map_err(|error| wrong(error.to_string()))?;
        binary.instructions.insert(known.name.clone(), starts);
    }
    binary.path = path;
    Ok((binary, file))
}

/// What a file has loaded as code.
fn code_of(file: &File) -> Result<Vec<Segment>, String> {
    let data = Bytes::new(file);
    let (header, endian) = symbols::header(&data)?;
    Ok(symbols::code(symbols::segments(header, endian, &data)?, endian))
}

/// The addresses of symbols, also of those that were put elsewhere when the file was stripped.
fn addresses_of(file: &File, wanted: &BTreeSet<&str>, root: &Root) -> Result<BTreeMap<String, Address>, String> {
    let data = Bytes::new(file);
    let (header, endian) = symbols::header(&data)?;
    let sections = header.sections(endian, &data).map_err(symbols::malformed)?;
    let mut found = symbols::addresses(&sections, endian, &data, wanted)?;
    if found.len() == wanted.len() {
        return Ok(found);
    }
    let build_id = symbols::build_id(&sections, endian, &data)?;
    let Some(other) = debug::separate(&build_id, root) else { return Ok(found) };
    let data = Bytes::new(&other);
    let (header, endian) = symbols::header(&data)?;
    let sections = header.sections(endian, &data).map_err(symbols::malformed)?;
    for (name, address) in symbols::addresses(&sections, endian, &data, wanted)? {
        found.entry(name).or_insert(address);
    }
    Ok(found)
}

/// The file with debugging information of the same build, if there is one in that file system.
pub fn separate(file: &File, root: &Root) -> Option<File> {
    debug::separate(&build_id(file)?, root)
}

/// The name that a C++ or Rust symbol stands for.
pub fn demangle(name: &str) -> Option<String> {
    symbols::demangle(name)
}

/// Whether any name can only be one that has been demangled, or may be one: demangling takes its time.
fn wanted_demangled(functions: &[&str]) -> bool {
    functions.iter().any(|function| function.contains(['*', ':', '(', '<', ' ']))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod hostile;
