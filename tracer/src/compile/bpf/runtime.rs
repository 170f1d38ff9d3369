//! The embedded runtime library (tracer-ebpf), taken apart: its functions, maps and data by name.
//!
//! In: the object that the build script made. Out: for each symbol its bytes and what they refer to, so that a program can
//! be linked with what it calls, and with whatever that needs in turn.

use std::collections::BTreeMap;

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolKind, read::elf::ElfFile64};

/// Bytes at an address that a reader of ELF structures may rely on.
#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static QUIET: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/runtime.o")));

/// The library.
#[derive(Debug)]
pub struct Library {
    /// By symbol.
    pub functions: BTreeMap<String, Function>,
    /// By symbol.
    pub data: BTreeMap<String, Data>,
}

/// A function of the library.
#[derive(Clone, Debug)]
pub struct Function {
    /// Instructions, 8 bytes each. The immediate of one that refers to a symbol is to be replaced.
    pub code: Vec<u8>,
    /// What the code refers to, by ascending instruction.
    pub references: Vec<Reference>,
}

/// A reference from code to a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Index of the instruction (of its first half, for a 16-byte load).
    pub instruction: usize,
    /// A key of [`Library::functions`] if the instruction is a call, else one of [`Library::data`].
    pub symbol: String,
}

/// A map definition or a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Where it must lie in an object.
    pub section: Section,
    /// Its contents; all zero in [`Section::Bss`].
    pub bytes: Vec<u8>,
}

/// Where data lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `maps`: a `bpf_map_def` of seven `u32`: type, key size, value size, entries, flags, id, pinning.
    Maps,
    /// `.rodata`: frozen after loading.
    ReadOnly,
    /// `.data`
    Data,
    /// `.bss`
    Bss,
}

impl Section {
    /// Its name in an object.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::ReadOnly => ".rodata",
            Self::Data => ".data",
            Self::Bss => ".bss",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Maps, Self::ReadOnly, Self::Data, Self::Bss].into_iter().find(|section| section.name() == name)
    }
}

impl Library {
    /// The library without diagnostics.
    ///
    /// # Panics
    /// If the build script has made something else than an object of the expected form.
    pub fn quiet() -> Self {
        Self::parse(&QUIET.0).expect("the embedded runtime is an object of our own making")
    }

    fn parse(bytes: &[u8]) -> object::Result<Self> {
        let file = ElfFile64::<object::Endianness>::parse(bytes)?;
        let mut functions = BTreeMap::new();
        let mut data = BTreeMap::new();
        for symbol in file.symbols() {
            let Some(index) = symbol.section_index() else { continue };
            let section = file.section_by_index(index)?;
            let name = symbol.name()?.to_owned();
            let range = symbol.address()..symbol.address() + symbol.size();
            match symbol.kind() {
                SymbolKind::Text => {
                    let code = section.data_range(range.start, symbol.size())?.unwrap_or_default().to_owned();
                    let references = section
                        .relocations()
                        .filter(|(offset, _)| range.contains(offset))
                        .map(|(offset, relocation)| {
                            let RelocationTarget::Symbol(target) = relocation.target() else {
                                unreachable!("a BPF relocation names a symbol")
                            };
                            let symbol = file.symbol_by_index(target)?.name()?.to_owned();
                            Ok(Reference { instruction: ((offset - range.start) / 8) as usize, symbol })
                        })
                        .collect::<object::Result<_>>()?;
                    functions.insert(name, Function { code, references });
                }
                SymbolKind::Data => {
                    let Some(place) = Section::of(section.name()?) else { continue };
                    let bytes = if section.kind() == SectionKind::UninitializedData {
                        vec![0; symbol.size() as usize]
                    } else {
                        section.data_range(range.start, symbol.size())?.unwrap_or_default().to_owned()
                    };
                    data.insert(name, Data { section: place, bytes });
                }
                _ => {}
            }
        }
        Ok(Self { functions, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::ir::Runtime;

    const FUNCTIONS: &[Runtime] = &[
        Runtime::InScope,
        Runtime::PidTgid,
        Runtime::FollowFork,
        Runtime::ForgetTask,
        Runtime::Insert,
        Runtime::HdrUpdate,
        Runtime::HdrUpdateAtomic,
        Runtime::Log2Index,
        Runtime::LinearIndex,
        Runtime::Reserve,
        Runtime::Lost,
    ];

    #[test]
    fn every_function_that_the_ir_names_is_there() {
        let library = Library::quiet();
        for function in FUNCTIONS {
            assert!(library.functions.contains_key(function.symbol()), "{}", function.symbol());
        }
    }

    #[test]
    fn every_reference_leads_to_something_in_the_library() {
        const CALL: u8 = 0x85;
        const LOAD_IMMEDIATE: u8 = 0x18;
        let library = Library::quiet();
        for (name, function) in &library.functions {
            for reference in &function.references {
                let opcode = function.code[reference.instruction * 8];
                match opcode {
                    CALL => assert!(library.functions.contains_key(&reference.symbol), "{name}: {reference:?}"),
                    LOAD_IMMEDIATE => assert!(library.data.contains_key(&reference.symbol), "{name}: {reference:?}"),
                    _ => panic!("{name}: {reference:?} at opcode {opcode:#x}"),
                }
            }
        }
    }

    #[test]
    fn reserving_takes_the_ring_and_counts_what_is_lost() {
        let library = Library::quiet();
        let needs: Vec<_> = library.functions["ct_reserve"].references.iter().map(|r| r.symbol.as_str()).collect();
        assert_eq!(needs, ["EVENTS", "ct_lost"]);
        let ring = &library.data["EVENTS"];
        assert_eq!(ring.section, Section::Maps);
        assert_eq!(ring.bytes[..4], 27u32.to_le_bytes(), "BPF_MAP_TYPE_RINGBUF");
    }

    #[test]
    fn the_scope_is_one_read_only_symbol_of_the_shared_layout() {
        let scope = &Library::quiet().data["SCOPE"];
        assert_eq!(scope.section, Section::ReadOnly);
        assert_eq!(scope.bytes.len(), size_of::<tracer_common::scope::Scope>());
    }
}
