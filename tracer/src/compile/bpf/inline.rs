//! Puts the code of a library function in place of the one call that a program makes of it: a call costs some 9 ns, as much as
//! the scope check itself, and every program begins with that.
//!
//! Only what needs nothing of its own can be put anywhere: no frame, none of the registers that survive calls, no symbols. A
//! call leaves r1 to r5 undefined, so the code may use them as it likes.

use super::insn::{Encoded, SLOT, Target};
use super::raw::{self, FRAME, Insn};
use super::runtime::{self, Library};

/// The largest function that is put in place of a call, in slots.
const LARGEST: usize = 128;

/// The code with what it calls once in place of the call, and the symbols of that.
pub fn inline(code: Encoded, library: &Library) -> (Encoded, Vec<&'static str>) {
    let called: Vec<&'static str> = code
        .relocations
        .iter()
        .filter_map(|(_, target)| match target {
            Target::Runtime(function) => Some(function.symbol()),
            _ => None,
        })
        .collect();
    let once = |symbol: &&str| called.iter().filter(|other| *other == symbol).count() == 1;
    let inlined: Vec<&str> =
        called.iter().copied().filter(once).filter(|symbol| fits_anywhere(&library.functions[*symbol])).collect();
    let room = i16::MAX as usize * SLOT;
    if inlined.is_empty() || code.bytes.len() + inlined.len() * LARGEST * SLOT > room {
        return (code, Vec::new());
    }
    let references: Vec<(usize, Target)> = code.relocations.iter().map(|&(at, target)| (at / SLOT, target)).collect();
    let mut program = raw::decode(&code.bytes, &references);
    for symbol in &inlined {
        let body = &library.functions[*symbol];
        let is_call = |insn: &Insn<Target>| insn.symbol.is_some_and(|target| target.symbol() == Some(symbol));
        let at = program.insns.iter().position(is_call).expect("it is called");
        program.replace(at, raw::decode(&body.code, &[]));
    }
    let (bytes, references) = program.encode();
    let relocations = references.into_iter().map(|(slot, target)| (slot * SLOT, target)).collect();
    (Encoded { bytes, relocations }, inlined)
}

fn fits_anywhere(function: &runtime::Function) -> bool {
    let own = |register: u8| (6..=FRAME).contains(&register);
    let insns = || raw::decode::<Target>(&function.code, &[]).insns.into_iter();
    function.references.is_empty()
        && function.code.len() <= LARGEST * SLOT
        && !insns().any(|insn| own(insn.dst) || (insn.src_is_register() && own(insn.src)))
}
