//! The embedded runtime library (tracer-ebpf), taken apart: its functions, maps and data by name.
//!
//! In: the object that the build script made. Out: for each symbol its bytes and what they refer to, so that a program can
//! be linked with what it calls, and with whatever that needs in turn.

use std::collections::BTreeMap;

use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolKind};

/// Bytes at an address that a reader of ELF structures may rely on.
#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static QUIET: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/runtime.o")));
static VERBOSE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/runtime-log.o")));

/// The library.
#[derive(Clone, Debug)]
pub struct Library {
    /// By symbol.
    pub functions: BTreeMap<String, Function>,
    /// By symbol.
    pub data: BTreeMap<String, Data>,
}

/// A function of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Instructions, 8 bytes each. The immediate of a load that refers to a symbol is an offset from it.
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
        // The compiler keeps equal constants in sections of their own, `.rodata.cst32` and the like.
        let name = if name.starts_with(".rodata.") { ".rodata" } else { name };
        [Self::Maps, Self::ReadOnly, Self::Data, Self::Bss].into_iter().find(|section| section.name() == name)
    }
}

impl Library {
    /// The library without diagnostics.
    ///
    /// # Panics
    /// If the build script has made something else than an object of the expected form.
    pub fn quiet() -> Self {
        parse(&QUIET.0).expect("the embedded runtime is an object of our own making")
    }

    /// The library that says what goes wrong, in the ring `AYA_LOGS` as aya-log reads it.
    ///
    /// # Panics
    /// If the build script has made something else than an object of the expected form.
    pub fn verbose() -> Self {
        parse(&VERBOSE.0).expect("the embedded runtime is an object of our own making")
    }
}

type File<'a> = ElfFile64<'a, Endianness>;
type Symbol<'a> = ElfSymbol64<'a, 'a, Endianness>;

fn parse(bytes: &[u8]) -> object::Result<Library> {
    let file = File::parse(bytes)?;
    let mut library = Library { functions: BTreeMap::new(), data: BTreeMap::new() };
    for symbol in file.symbols() {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?;
        let name = symbol.name()?.to_owned();
        let bytes = section.data_range(symbol.address(), symbol.size())?;
        match (symbol.kind(), Section::of(section.name()?)) {
            (SymbolKind::Text, _) => {
                let code = bytes.unwrap_or_default().to_owned();
                library.functions.insert(name, function(&file, &symbol, code)?);
            }
            (SymbolKind::Data, Some(section)) => {
                // There are no bytes in the file for what is all zeros.
                let bytes = bytes.map_or_else(|| vec![0; symbol.size() as usize], <[u8]>::to_owned);
                library.data.insert(name, Data { section, bytes });
            }
            _ => {}
        }
    }
    Ok(library)
}

/// The function of a symbol, with its relocations as references to named symbols.
fn function(file: &File, symbol: &Symbol, mut code: Vec<u8>) -> object::Result<Function> {
    let section = file.section_by_index(symbol.section_index().expect("a function stands in a section"))?;
    let range = symbol.address()..symbol.address() + symbol.size();
    let mut references = Vec::new();
    for (offset, relocation) in section.relocations().filter(|(offset, _)| range.contains(offset)) {
        let RelocationTarget::Symbol(target) = relocation.target() else { continue };
        let mut target = file.symbol_by_index(target)?;
        let place = (offset - range.start) as usize;
        if target.kind() == SymbolKind::Section {
            // Unnamed constants are referred to by their section and an offset into it.
            let immediate = &mut code[place + 4..place + 8];
            let offset = immediate.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
            target = data_at(file, &target, offset).expect("every constant has a symbol");
            immediate.copy_from_slice(&((offset - target.address()) as u32).to_le_bytes());
        }
        references.push(Reference { instruction: place / 8, symbol: target.name()?.to_owned() });
    }
    Ok(Function { code, references })
}

/// The symbol of the data at an offset of a section.
fn data_at<'a>(file: &'a File<'a>, section: &Symbol, offset: u64) -> Option<Symbol<'a>> {
    file.symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Data && symbol.section_index() == section.section_index())
        .find(|symbol| (symbol.address()..symbol.address() + symbol.size()).contains(&offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::ir::Runtime;

    const FUNCTIONS: &[Runtime] = &[
        Runtime::InScope,
        Runtime::PidTgid,
        Runtime::ParentPid,
        Runtime::SwapBytes,
        Runtime::TextLength,
        Runtime::FindText,
        Runtime::Join,
        Runtime::CompareBytes,
        Runtime::FollowFork,
        Runtime::ForgetTask,
        Runtime::InScopeOf,
        Runtime::TaskIds,
        Runtime::PidNumber,
        Runtime::OwnsSocket,
        Runtime::OwnsPacket,
        Runtime::NoteRequest,
        Runtime::NoteStarted,
        Runtime::OwnsRequest,
        Runtime::RequestLetters,
        Runtime::Insert,
        Runtime::Admit,
        Runtime::AddKey,
        Runtime::DeleteKey,
        Runtime::TakeWord,
        Runtime::HdrUpdate,
        Runtime::HdrUpdateAtomic,
        Runtime::Log2Index,
        Runtime::LinearIndex,
        Runtime::ReserveControl,
        Runtime::Stamp,
        Runtime::Raise,
        Runtime::Claim,
        Runtime::Differ,
        Runtime::RingFull,
        Runtime::Stack,
        Runtime::Address,
        Runtime::Failed,
        Runtime::Lost,
    ];

    /// Opcodes: a call (of a function, if the source register is 1), a load of 64 bits from the next 8 bytes as well.
    const CALL: u8 = 0x85;
    const LOAD: u8 = 0x18;

    #[test]
    fn every_function_that_the_ir_names_is_there() {
        for library in [Library::quiet(), Library::verbose()] {
            for function in FUNCTIONS {
                assert!(library.functions.contains_key(function.symbol()), "{}", function.symbol());
            }
        }
    }

    #[test]
    fn every_call_and_load_of_an_address_leads_to_something_in_the_library() {
        for library in [Library::quiet(), Library::verbose()] {
            for (name, function) in library.functions.iter().filter(|(name, _)| name.starts_with("ct_")) {
                for (index, insn) in function.code.chunks_exact(8).enumerate() {
                    let target = function.references.iter().find(|reference| reference.instruction == index);
                    let symbol = target.map(|reference| reference.symbol.as_str());
                    match (insn[0], insn[1] >> 4) {
                        (CALL, 1) => {
                            let symbol = symbol.unwrap_or_else(|| panic!("{name}+{index} calls what has no name"));
                            assert!(library.functions.contains_key(symbol), "{name} calls {symbol}");
                        }
                        (LOAD, _) => {
                            let Some(symbol) = symbol else { continue };
                            // Or to a function that is called back, by its name.
                            if library.functions.contains_key(symbol) {
                                assert_eq!(insn[4..], [0; 4], "{name}+{index}");
                                continue;
                            }
                            let data = &library.data[symbol];
                            let offset = u32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
                            assert!((offset as usize) < data.bytes.len(), "{name} reads behind {symbol}");
                        }
                        _ => assert_eq!(symbol, None, "{name}+{index}"),
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_verbose_library_logs() {
        assert!(!Library::quiet().data.contains_key("AYA_LOGS"));
        let verbose = Library::verbose();
        assert!(verbose.data.contains_key("AYA_LOGS"));
        let texts = verbose.data.values().filter(|data| data.section == Section::ReadOnly);
        let said = b"the ring has no room for ";
        assert!(texts.into_iter().any(|data| data.bytes.windows(said.len()).any(|window| window == said)));
    }

    #[test]
    fn reserving_takes_the_ring_and_what_does_not_fit_is_counted() {
        let library = Library::quiet();
        let needs = |function: &str| -> Vec<&str> {
            library.functions[function].references.iter().map(|reference| reference.symbol.as_str()).collect()
        };
        assert!(needs("ct_reserve_control").contains(&"CONTROL") && needs("ct_failed").contains(&"EVENTS"));
        assert_eq!(needs("ct_ring_full"), ["ct_lost"]);
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
