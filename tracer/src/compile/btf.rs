//! BTF of the maps that the kernel makes only if it knows their types (task storage), and of functions, without which it lets
//! no program have callbacks.
//!
//! In: the definitions of maps, the places of functions. Out: the sections `.BTF` and `.BTF.ext`, in the form that loaders know from libbpf: each map is a
//! variable of a structure whose members say by their types what the map is (a number `n` is a pointer to an array of `n`
//! integers). Layout of the section: `Documentation/bpf/btf.rst`.

use std::collections::BTreeMap;

use super::bpf::MapDefinition;

/// Bytes that each map takes in `.maps`: the structure's four pointers.
pub const DEFINITION_SIZE: u32 = 32;

/// `BPF_F_NO_PREALLOC`, which local storage must have.
const NO_PREALLOC: u32 = 1;

/// Kinds of types.
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;

/// An `INT` is signed.
const SIGNED: u32 = 1 << 24;

/// A `VAR` has a symbol of its own.
const GLOBAL: u32 = 1;

/// The two sections.
pub struct Sections {
    /// `.BTF`
    pub types: Vec<u8>,
    /// `.BTF.ext`
    pub functions: Vec<u8>,
}

/// The sections for maps that stand in `.maps` one after the other, and for functions: the section, the symbol and the
/// offset in bytes of each.
pub fn sections<'a>(maps: impl Iterator<Item = &'a MapDefinition>, functions: &[(&str, &str, u64)]) -> Sections {
    let mut btf = Btf { types: Vec::new(), count: 0, strings: vec![0] };
    let int = btf.add("int", INT, 0, 4, &[SIGNED | 32]);
    let u64 = btf.add("u64", INT, 0, 8, &[64]);
    btf.maps(int, u64, maps);
    let functions = btf.functions(int, functions);
    Sections { types: btf.section(), functions }
}

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER_SIZE: u32 = 24;

/// The first bytes of both sections, which are followed by four offsets and sizes.
fn header(offsets_and_sizes: [u32; 4]) -> Vec<u8> {
    let [low, high] = MAGIC.to_le_bytes();
    let mut header = vec![low, high, VERSION, 0];
    header.extend(HEADER_SIZE.to_le_bytes());
    header.extend(bytes(&offsets_and_sizes));
    header
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// BTF in the making.
struct Btf {
    types: Vec<u32>,
    count: u32,
    strings: Vec<u8>,
}

impl Btf {
    fn maps<'a>(&mut self, int: u32, u64: u32, maps: impl Iterator<Item = &'a MapDefinition>) {
        let btf = self;
        let mut variables = Vec::new();
        for (index, map) in maps.enumerate() {
            let value = btf.array(u64, int, map.value_size / 8);
            let members = [
                ("type", btf.number(int, map.kind as u32)),
                ("map_flags", btf.number(int, NO_PREALLOC)),
                ("key", btf.pointer(int)),
                ("value", btf.pointer(value)),
            ];
            let mut description = Vec::new();
            for (offset, (name, kind)) in (0..).step_by(64).zip(members) {
                description.extend([btf.string(name), kind, offset]);
            }
            let definition = btf.add("", STRUCT, members.len() as u32, DEFINITION_SIZE, &description);
            let variable = btf.add(&map.name, VAR, 0, definition, &[GLOBAL]);
            variables.extend([variable, index as u32 * DEFINITION_SIZE, DEFINITION_SIZE]);
        }
        let count = variables.len() as u32 / 3;
        if count > 0 {
            btf.add(".maps", DATASEC, count, count * DEFINITION_SIZE, &variables);
        }
    }

    /// Describes functions, all of one type: what they take is of no interest to the kernel, as they are static. The result
    /// is the section `.BTF.ext`.
    fn functions(&mut self, int: u32, functions: &[(&str, &str, u64)]) -> Vec<u8> {
        let prototype = self.add("", FUNC_PROTO, 0, int, &[]);
        let mut sections: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (section, symbol, offset) in functions {
            let function = self.add(symbol, FUNC, 0, prototype, &[]);
            sections.entry(section).or_default().extend([*offset as u32, function]);
        }
        const RECORD_SIZE: u32 = 8;
        let mut words = vec![RECORD_SIZE];
        for (section, records) in sections {
            words.extend([self.string(section), records.len() as u32 / 2]);
            words.extend(records);
        }
        let size = 4 * words.len() as u32;
        // Functions, then lines, of which there are none: but for the size of their records.
        words.push(LINE_RECORD_SIZE);
        const LINE_RECORD_SIZE: u32 = 16;
        [header([0, size, size, 4]), bytes(&words)].concat()
    }

    /// Adds a type with so many members; the result is its number. The meaning of `size` and `more` is the kind's.
    fn add(&mut self, name: &str, kind: u32, members: u32, size: u32, more: &[u32]) -> u32 {
        let name = self.string(name);
        self.types.extend([name, kind << 24 | members, size]);
        self.types.extend(more);
        self.count += 1;
        self.count
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let start = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        start
    }

    fn pointer(&mut self, to: u32) -> u32 {
        self.add("", PTR, 0, to, &[])
    }

    fn array(&mut self, of: u32, index: u32, length: u32) -> u32 {
        self.add("", ARRAY, 0, 0, &[of, index, length])
    }

    fn number(&mut self, int: u32, number: u32) -> u32 {
        let array = self.array(int, int, number);
        self.pointer(array)
    }

    fn section(self) -> Vec<u8> {
        let types = bytes(&self.types);
        let (types_size, strings_size) = (types.len() as u32, self.strings.len() as u32);
        // The types come right behind the header, the strings behind them.
        [header([0, types_size, types_size, strings_size]), types, self.strings].concat()
    }
}
