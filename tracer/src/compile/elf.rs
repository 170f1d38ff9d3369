//! The object of a script as an ELF file, as libbpf and aya read it.
//!
//! | section | what |
//! |---|---|
//! | `license` | lets programs call helpers that the kernel gives to GPL programs only |
//! | `TYPE/SYMBOL` | a program |
//! | `.text` | all functions of the runtime library, and the callbacks of all programs |
//! | `maps` | definitions of maps, one symbol each |
//! | `.maps`, `.BTF` | the same for maps that the kernel wants the types of; aya makes them if it is asked to allow those it has no API for (`EbpfLoader::allow_unsupported_maps`) |
//! | `.BTF.ext`, `.BTF` | the types of all functions, if there is a callback: the kernel wants them then |
//! | `.rodata`, `.data`, `.bss` | variables of the runtime library, one symbol each |

use std::collections::BTreeMap;

use object::write::{Object as Writer, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use super::bpf::link;
use super::bpf::runtime::Section;
use super::bpf::{MapDefinition, MapKind, Object, Target, maps};
use super::btf;
use super::ir::MapRef;

/// Both sides of the kernel boundary are ours to give under either licence.
const LICENSE: &[u8] = b"Dual MIT/GPL\0";

/// Relocation of a 64-bit immediate, and of a call (`Documentation/bpf/llvm_reloc.rst`).
const R_BPF_64_64: u32 = 1;
const R_BPF_64_32: u32 = 10;

/// The opcode of a call.
const CALL: u8 = 0x85;

/// `BPF_F_NO_PREALLOC`
const NO_PREALLOC: u32 = 1;

/// Writes the file.
///
/// # Panics
/// If the object names a symbol that it does not hold: generation sees to it.
pub fn write(object: &Object) -> Vec<u8> {
    let mut file = File {
        writer: Writer::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        sections: BTreeMap::new(),
        symbols: BTreeMap::new(),
    };
    file.add("license", SectionKind::Data, "_license", SymbolKind::Data, LICENSE);
    for (symbol, data) in &object.data {
        file.add(data.section.name(), section_kind(data.section), symbol, SymbolKind::Data, &data.bytes);
    }
    let (typed, plain): (Vec<_>, Vec<_>) = object.maps.iter().partition(|map| map.kind == MapKind::TaskStorage);
    for map in plain {
        file.add("maps", SectionKind::Data, &map.name, SymbolKind::Data, &legacy_definition(map));
    }
    for map in &typed {
        let definition = [0; btf::DEFINITION_SIZE as usize];
        file.add(".maps", SectionKind::Data, &map.name, SymbolKind::Data, &definition);
    }
    // Section, symbol and offset of all code.
    let mut described: Vec<(&str, &str, u64)> = Vec::new();
    let functions: Vec<_> = object
        .functions
        .iter()
        .map(|(symbol, function)| {
            let mut code = function.code.clone();
            for reference in &function.references {
                let at = reference.instruction * 8;
                if code[at] == CALL {
                    code[at + 4..at + 8].copy_from_slice(&(-1i32).to_le_bytes());
                }
            }
            let place = file.add(".text", SectionKind::Text, symbol, SymbolKind::Text, &code);
            described.push((".text", symbol.as_str(), place.1));
            (place, function)
        })
        .collect();
    for ((section, start), function) in functions {
        for reference in &function.references {
            let at = reference.instruction * 8;
            file.relocate(section, start + at as u64, function.code[at] == CALL, &reference.symbol);
        }
    }
    for program in &object.programs {
        // Callbacks are named by those behind them.
        let callbacks = program.callbacks.iter().map(|code| (".text", code));
        for (section_name, code) in callbacks.chain([(program.section.as_str(), &program.code)]) {
            let (section, start) =
                file.add(section_name, SectionKind::Text, &code.symbol, SymbolKind::Text, &code.encoded.bytes);
            described.push((section_name, &code.symbol, start));
            for (at, target) in &code.encoded.relocations {
                let symbol = match target {
                    Target::Map(MapRef::Script(map)) => maps::symbol(*map),
                    Target::Map(MapRef::Front(map)) => maps::front_symbol(*map),
                    Target::Map(MapRef::Keys(map)) => maps::keys_symbol(*map),
                    Target::Callback(callback) => program.callbacks[callback.0 as usize].symbol.clone(),
                    other => other.symbol().expect("all else is the runtime's").to_owned(),
                };
                file.relocate(section, start + *at as u64, matches!(target, Target::Runtime(_)), &symbol);
            }
        }
    }
    // Whoever calls back wants to know the types of all functions of the program.
    let calls_back = object.programs.iter().any(|program| !program.callbacks.is_empty())
        || object.functions.values().any(|function| link::calls_back(function, &object.functions));
    if !calls_back {
        described.clear();
    }
    if !typed.is_empty() || !described.is_empty() {
        let btf::Sections { types, functions } = btf::sections(typed.into_iter(), &described);
        file.describe(".BTF", &types);
        if !described.is_empty() {
            file.describe(".BTF.ext", &functions);
        }
    }
    file.writer.write().expect("an object in memory, of parts that ELF has")
}

/// A file in the making.
struct File {
    writer: Writer<'static>,
    sections: BTreeMap<String, SectionId>,
    symbols: BTreeMap<String, SymbolId>,
}

impl File {
    /// Appends a symbol and what it names to a section. The result is where it lies.
    fn add(
        &mut self,
        section: &str,
        kind: SectionKind,
        name: &str,
        symbol: SymbolKind,
        bytes: &[u8],
    ) -> (SectionId, u64) {
        let Self { writer, sections, symbols } = self;
        let section = *sections
            .entry(section.to_owned())
            .or_insert_with(|| writer.add_section(Vec::new(), section.as_bytes().to_vec(), kind));
        let start = if kind == SectionKind::UninitializedData {
            writer.append_section_bss(section, bytes.len() as u64, 8)
        } else {
            writer.append_section_data(section, bytes, 8)
        };
        let id = writer.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: start,
            size: bytes.len() as u64,
            kind: symbol,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        symbols.insert(name.to_owned(), id);
        (section, start)
    }

    fn describe(&mut self, section: &str, bytes: &[u8]) {
        let section = self.writer.add_section(Vec::new(), section.as_bytes().to_vec(), SectionKind::Debug);
        self.writer.append_section_data(section, bytes, 4);
    }

    fn relocate(&mut self, section: SectionId, offset: u64, is_call: bool, symbol: &str) {
        let r_type = if is_call { R_BPF_64_32 } else { R_BPF_64_64 };
        let symbol = self.symbols[symbol];
        // What is added to the symbol stands in the instruction: BPF objects have REL sections.
        let relocation = Relocation { offset, symbol, addend: 0, flags: RelocationFlags::Elf { r_type } };
        self.writer.add_relocation(section, relocation).expect("a relocation that BPF has");
    }
}

fn section_kind(section: Section) -> SectionKind {
    match section {
        Section::Maps | Section::Data => SectionKind::Data,
        Section::ReadOnly => SectionKind::ReadOnlyData,
        Section::Bss => SectionKind::UninitializedData,
    }
}

/// A `bpf_map_def`: type, key size, value size, entries, flags, id, pinning.
fn legacy_definition(map: &MapDefinition) -> Vec<u8> {
    let flags = if map.on_demand { NO_PREALLOC } else { 0 };
    let words = [map.kind as u32, map.key_size, map.value_size, map.max_entries, flags, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
