//! BTF of the maps that the kernel makes only if it knows their types: task storage.
//!
//! In: their definitions. Out: the sections `.BTF` and `.maps`, in the form that loaders know from libbpf: each map is a
//! variable of a structure whose members say by their types what the map is (a number `n` is a pointer to an array of `n`
//! integers). Layout of the section: `Documentation/bpf/btf.rst`.

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
const VAR: u32 = 14;
const DATASEC: u32 = 15;

/// An `INT` is signed.
const SIGNED: u32 = 1 << 24;

/// A `VAR` has a symbol of its own.
const GLOBAL: u32 = 1;

/// The section `.BTF` for maps that stand in `.maps` one after the other.
pub fn of_maps<'a>(maps: impl Iterator<Item = &'a MapDefinition>) -> Vec<u8> {
    let mut btf = Btf { types: Vec::new(), count: 0, strings: vec![0] };
    let int = btf.add("int", INT, 0, 4, &[SIGNED | 32]);
    let u64 = btf.add("u64", INT, 0, 8, &[64]);
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
    btf.add(".maps", DATASEC, count, count * DEFINITION_SIZE, &variables);
    btf.section()
}

/// BTF in the making.
struct Btf {
    types: Vec<u32>,
    count: u32,
    strings: Vec<u8>,
}

impl Btf {
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
        const MAGIC: u16 = 0xeb9f;
        const VERSION: u8 = 1;
        const HEADER_SIZE: u32 = 24;
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (types_size, strings_size) = (types.len() as u32, self.strings.len() as u32);
        let mut section = MAGIC.to_le_bytes().to_vec();
        section.extend([VERSION, 0]);
        // Sizes and offsets: the types come right behind the header, the strings behind them.
        let header = [HEADER_SIZE, 0, types_size, types_size, strings_size];
        section.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        section.extend(types);
        section.extend(self.strings);
        section
    }
}
