//! Linking: takes from the runtime library what programs call and name, and whatever that needs in turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::UNIT;
use super::insn::SLOT;
use super::runtime::{Data, Function, Library, Reference};

/// What has been taken from the library.
#[derive(Debug, Default)]
pub struct Linked {
    /// Functions by symbol.
    pub functions: BTreeMap<String, Function>,
    /// Maps and variables by symbol.
    pub data: BTreeMap<String, Data>,
}

/// Takes the functions and data of these names, and all that they refer to.
///
/// # Panics
/// If the library lacks a name: it and the compiler are built together.
pub fn link<'a>(library: &Library, wanted: impl IntoIterator<Item = &'a str>) -> Linked {
    let mut linked = Linked::default();
    let mut wanted: VecDeque<String> = wanted.into_iter().map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    while let Some(symbol) = wanted.pop_front() {
        if !seen.insert(symbol.clone()) {
            continue;
        }
        if let Some(function) = library.functions.get(&symbol) {
            wanted.extend(function.references.iter().map(|reference| reference.symbol.clone()));
            linked.functions.insert(symbol, function.clone());
        } else if let Some(data) = library.data.get(&symbol) {
            linked.data.insert(symbol, data.clone());
        } else {
            panic!("the runtime library has no `{symbol}`");
        }
    }
    linked
}

/// Whether a function has others called back: it names one without calling it.
pub fn calls_back(function: &Function, functions: &BTreeMap<String, Function>) -> bool {
    const CALL: u8 = 0x85;
    let is_call = |reference: &Reference| function.code[reference.instruction * SLOT] == CALL;
    function.references.iter().any(|reference| functions.contains_key(&reference.symbol) && !is_call(reference))
}

/// The runtime's array of areas of scratch memory.
pub const SCRATCH: &str = "SCRATCH";

/// Bytes of the stack that a call of a library function takes, its callees included.
pub fn stack_depth(library: &Library, symbol: &str) -> u32 {
    let function = &library.functions[symbol];
    let calls = function.references.iter().filter(|reference| library.functions.contains_key(&reference.symbol));
    let deepest = calls.map(|call| stack_depth(library, &call.symbol)).max();
    frame_size(&function.code).next_multiple_of(UNIT).max(UNIT) + deepest.unwrap_or(0)
}

/// The lowest address below the frame pointer that the code makes or accesses.
fn frame_size(code: &[u8]) -> u32 {
    const FRAME: u8 = 10;
    const MOVE: u8 = 0xbf;
    const ADD: u8 = 0x07;
    let mut lowest = 0;
    let mut previous: Option<[u8; SLOT]> = None;
    for insn in code.chunks_exact(SLOT) {
        let insn: [u8; SLOT] = insn.try_into().expect("chunks are of that size");
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = insn;
        let (dst, src) = (registers & 15, registers >> 4);
        let offset = i32::from(i16::from_le_bytes([o0, o1]));
        let class = opcode & 7;
        let (is_load, is_store) = (class == 1, class == 2 || class == 3);
        if (is_load && src == FRAME) || (is_store && dst == FRAME) {
            lowest = lowest.min(offset);
        }
        // An address in the frame is a copy of the frame pointer and an addition.
        if let Some([MOVE, copy, ..]) = previous
            && opcode == ADD
            && copy == (dst | FRAME << 4)
        {
            lowest = lowest.min(i32::from_le_bytes([i0, i1, i2, i3]));
        }
        previous = Some(insn);
    }
    lowest.unsigned_abs()
}
