//! An ELF file's functions. Every number in the file is somebody else's.

use std::collections::BTreeMap;
use std::fs::File;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, StringTable};

use super::{Binary, Function, Segment};

type Header = FileHeader64<Endianness>;

/// Most bytes of a symbol's name that are worth demangling.
const LONGEST_MANGLED: usize = 4096;

/// Reads what a file says of itself. The error is what is wrong with it.
pub fn read(file: &File, demangled: bool) -> Result<Binary, String> {
    read_from(&ReadCache::new(file), demangled)
}

/// The same from anything that can be read.
pub fn read_from<'d, R: ReadRef<'d>>(data: R, demangled: bool) -> Result<Binary, String> {
    let malformed = |error: object::read::Error| error.to_string();
    let header = Header::parse(data).map_err(|_| "it is not a 64-bit ELF file".to_owned())?;
    let endian = header.endian().map_err(malformed)?;
    if header.e_machine(endian) != elf::EM_X86_64 || endian != Endianness::Little {
        return Err("its code is for another processor".to_owned());
    }
    let segments = header.program_headers(endian, data).map_err(malformed)?;
    let code = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian) & elf::PF_X != 0)
        .map(|segment| Segment {
            address: segment.p_vaddr(endian),
            offset: segment.p_offset(endian),
            size: segment.p_filesz(endian).min(u64::MAX - segment.p_offset(endian)),
        })
        .collect();

    let mut functions = BTreeMap::new();
    let (mut go, mut build_id) = (false, Vec::new());
    let sections = header.sections(endian, data).map_err(malformed)?;
    for section in sections.iter() {
        match section.sh_type(endian) {
            elf::SHT_SYMTAB | elf::SHT_DYNSYM => {
                let symbols = section.data_as_array::<elf::Sym64<Endianness>, _>(endian, data).map_err(malformed)?;
                let names = sections.section(section.link(endian)).map_err(malformed)?;
                let names = names.data(endian, data).map_err(malformed)?;
                add_functions(&mut functions, endian, symbols, StringTable::new(names, 0, names.len() as u64));
            }
            elf::SHT_NOTE => {
                go |= sections.section_name(endian, section).is_ok_and(|name| name == b".note.go.buildid");
                let mut notes = section.notes(endian, data).map_err(malformed)?;
                while let Some(note) = match &mut notes {
                    Some(notes) => notes.next().map_err(malformed)?,
                    None => None,
                } {
                    if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                        build_id = note.desc().to_vec();
                    }
                }
            }
            _ => {}
        }
    }
    let mut functions: Vec<Function> = functions.into_values().collect();
    if demangled {
        for function in &mut functions {
            function.demangled = demangle(&function.name);
        }
    }
    Ok(Binary { code, functions, go, build_id, ..Binary::default() })
}

/// Adds the functions among symbols; of several with one name, the first that others can see.
fn add_functions(
    functions: &mut BTreeMap<String, Function>,
    endian: Endianness,
    symbols: &[elf::Sym64<Endianness>],
    names: StringTable<'_>,
) {
    let is_function = |symbol: &&elf::Sym64<Endianness>| {
        matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC)
            && symbol.st_shndx(endian) != elf::SHN_UNDEF
            && symbol.st_value(endian) != 0
    };
    let all = || symbols.iter().filter(is_function);
    let (global, local) = (all().filter(|symbol| !symbol.is_local()), all().filter(|symbol| symbol.is_local()));
    for symbol in global.chain(local) {
        let Ok(name) = symbol.name(endian, names) else { continue };
        let Ok(name) = str::from_utf8(name) else { continue };
        let name = name.split('@').next().unwrap_or_default();
        if name.is_empty() || name.contains(char::is_control) || functions.contains_key(name) {
            continue;
        }
        let function = Function {
            name: name.to_owned(),
            demangled: None,
            address: symbol.st_value(endian),
            size: symbol.st_size(endian),
            indirect: symbol.st_type() == elf::STT_GNU_IFUNC,
        };
        functions.insert(name.to_owned(), function);
    }
}

/// The name that a C++ or Rust symbol stands for.
fn demangle(name: &str) -> Option<String> {
    if name.len() > LONGEST_MANGLED || !name.starts_with("_Z") && !name.starts_with("_R") {
        return None;
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return Some(format!("{rust:#}"));
    }
    cpp_demangle::Symbol::new(name).ok()?.demangle().ok()
}
