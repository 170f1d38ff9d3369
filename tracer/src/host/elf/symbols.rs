//! An ELF file's symbols. Every number in the file is somebody else's.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt::{self, Write};
use std::fs::File;

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::ReadRef;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};

use super::bytes::{Bytes, MOST_SEGMENTS, Names};
use super::{Address, Binary, Function, Segment};

/// The header of the files that there are probes in.
pub type Header = FileHeader64<Endianness>;

/// Most bytes of a symbol's name that are worth demangling, and of what becomes of it.
const LONGEST_MANGLED: usize = 4096;
const LONGEST_DEMANGLED: usize = 1 << 16;

/// A symbol that has a place in its file.
pub struct Symbol<'d> {
    /// Without the version of a library's interface.
    pub name: &'d str,
    /// `STT_FUNC` and its like.
    pub kind: u8,
    /// Others do not see it.
    pub local: bool,
    /// It is among those that the dynamic linker reads: few of many.
    pub dynamic: bool,
    /// Before the file is moved anywhere.
    pub address: u64,
    /// Bytes, 0 if the file does not say.
    pub size: u64,
}

impl Symbol<'_> {
    /// Whether it is where code begins.
    pub fn is_function(&self) -> bool {
        matches!(self.kind, elf::STT_FUNC | elf::STT_GNU_IFUNC) && self.address != 0
    }
}

/// Reads what a file says of itself. The error is what is wrong with it.
pub fn read(file: &File, demangled: bool) -> Result<Binary, String> {
    read_from(&Bytes::new(file), demangled)
}

/// The header of a file for this machine.
pub fn header<'d, R: ReadRef<'d>>(data: R) -> Result<(&'d Header, Endianness), String> {
    let header = Header::parse(data).map_err(|_| "it is not a 64-bit ELF file".to_owned())?;
    let endian = header.endian().map_err(malformed)?;
    if header.e_machine(endian) != elf::EM_X86_64 || endian != Endianness::Little {
        return Err("its code is for another processor".to_owned());
    }
    Ok((header, endian))
}

/// Its program headers.
pub fn segments<'d, R: ReadRef<'d>>(
    header: &'d Header,
    endian: Endianness,
    data: R,
) -> Result<&'d [elf::ProgramHeader64<Endianness>], String> {
    let segments = header.program_headers(endian, data).map_err(malformed)?;
    if segments.len() > MOST_SEGMENTS {
        return Err(format!("it has {} program headers", segments.len()));
    }
    Ok(segments)
}

/// What it has loaded as code.
pub fn code(segments: &[elf::ProgramHeader64<Endianness>], endian: Endianness) -> Vec<Segment> {
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian) & elf::PF_X != 0)
        .map(|segment| Segment {
            address: segment.p_vaddr(endian),
            offset: segment.p_offset(endian),
            size: segment.p_filesz(endian).min(u64::MAX - segment.p_offset(endian)),
        })
        .collect()
}

/// Shows each symbol that has a place.
pub fn each<'d, R: ReadRef<'d>>(
    sections: &SectionTable<'d, Header, R>,
    endian: Endianness,
    data: R,
    mut see: impl FnMut(Symbol<'d>),
) -> Result<(), String> {
    for section in sections.iter() {
        let dynamic = match section.sh_type(endian) {
            elf::SHT_SYMTAB => false,
            elf::SHT_DYNSYM => true,
            _ => continue,
        };
        let symbols = section.data_as_array::<elf::Sym64<Endianness>, _>(endian, data).map_err(malformed)?;
        let names = sections.section(section.link(endian)).map_err(malformed)?;
        let mut names = Names::new(names.data(endian, data).map_err(malformed)?);
        for symbol in symbols.iter().filter(|symbol| symbol.st_shndx(endian) != elf::SHN_UNDEF) {
            let Some(name) = names.get(symbol.st_name(endian))? else { continue };
            let name = name.split('@').next().unwrap_or_default();
            if name.is_empty() || name.contains(char::is_control) {
                continue;
            }
            see(Symbol {
                name,
                kind: symbol.st_type(),
                local: symbol.is_local(),
                dynamic,
                address: symbol.st_value(endian),
                size: symbol.st_size(endian),
            });
        }
    }
    Ok(())
}

/// The addresses of those symbols that are wanted, of functions and data alike. Of several with one name it is the first
/// that others can see.
pub fn addresses<'d, R: ReadRef<'d>>(
    sections: &SectionTable<'d, Header, R>,
    endian: Endianness,
    data: R,
    wanted: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Address>, String> {
    let mut found: BTreeMap<String, (bool, Address)> = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    each(sections, endian, data, |symbol| {
        if !wanted.contains(symbol.name) || matches!(symbol.kind, elf::STT_FILE | elf::STT_SECTION | elf::STT_TLS) {
            return;
        }
        let address = Address { address: symbol.address, size: symbol.size };
        match found.get_mut(symbol.name) {
            None => drop(found.insert(symbol.name.to_owned(), (symbol.local, address))),
            Some(known) if known.0 && !symbol.local => *known = (false, address),
            Some(_) => {}
        }
    })?;
    Ok(found.into_iter().map(|(name, (_, address))| (name, address)).collect())
}

/// What tells its build from all others; empty if it does not say.
pub fn build_id<'d, R: ReadRef<'d>>(
    sections: &SectionTable<'d, Header, R>,
    endian: Endianness,
    data: R,
) -> Result<Vec<u8>, String> {
    let mut build_id = Vec::new();
    for section in sections.iter().filter(|section| section.sh_type(endian) == elf::SHT_NOTE) {
        let Some(mut notes) = section.notes(endian, data).map_err(malformed)? else { continue };
        while let Some(note) = notes.next().map_err(malformed)? {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                build_id = note.desc().to_vec();
            }
        }
    }
    Ok(build_id)
}

/// The same of a file.
pub fn build_id_of(file: &File) -> Result<Vec<u8>, String> {
    let data = Bytes::new(file);
    let (header, endian) = header(&data)?;
    build_id(&header.sections(endian, &data).map_err(malformed)?, endian, &data)
}

/// Reads what a file says of itself, from anything that can be read.
pub fn read_from<'d, R: ReadRef<'d>>(data: R, demangled: bool) -> Result<Binary, String> {
    let (header, endian) = header(data)?;
    let code = code(segments(header, endian, data)?, endian);
    let sections = header.sections(endian, data).map_err(malformed)?;
    let build_id = build_id(&sections, endian, data)?;
    let mut notes = sections.iter().filter(|section| section.sh_type(endian) == elf::SHT_NOTE);
    let go = notes.any(|section| sections.section_name(endian, section).is_ok_and(|name| name == b".note.go.buildid"));

    let mut functions: BTreeMap<&str, (bool, Function)> = BTreeMap::new();
    each(&sections, endian, data, |symbol| {
        let function = || Function {
            name: symbol.name.to_owned(),
            demangled: demangled.then(|| demangle(symbol.name)).flatten(),
            address: symbol.address,
            size: symbol.size,
            indirect: symbol.kind == elf::STT_GNU_IFUNC,
        };
        match functions.entry(symbol.name) {
            _ if !symbol.is_function() => {}
            Entry::Vacant(place) => drop(place.insert((symbol.local, function()))),
            Entry::Occupied(mut known) if known.get().0 && !symbol.local => drop(known.insert((false, function()))),
            Entry::Occupied(_) => {}
        }
    })?;
    let functions = functions.into_values().map(|(_, function)| function).collect();
    Ok(Binary { code, functions, go, build_id, ..Binary::default() })
}

/// What is wrong, in the words of who has found it.
pub fn malformed(error: object::read::Error) -> String {
    error.to_string()
}

/// The name that a C++ or Rust symbol stands for.
pub fn demangle(name: &str) -> Option<String> {
    if name.len() > LONGEST_MANGLED || !name.starts_with("_Z") && !name.starts_with("_R") {
        return None;
    }
    let mut demangled = Bounded(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        write!(demangled, "{rust:#}").ok()?;
    } else {
        let options = cpp_demangle::DemangleOptions::default();
        cpp_demangle::Symbol::new(name).ok()?.structured_demangle(&mut demangled, &options).ok()?;
    }
    Some(demangled.0)
}

/// A text that does not become too long: a mangled name refers to its own parts, as often as it likes.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_DEMANGLED {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
