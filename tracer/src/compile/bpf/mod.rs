//! IR → BPF instructions, with the functions of the runtime library that they call.
//!
//! In: the IR of all programs, the plan's maps, the runtime library and the scope. Out: everything that stands in the
//! object, owned and by name; [`super::elf`] gives it its form. The stages, in the order of the modules:
//!
//! ```text
//! IR ──select──▶ machine IR ──regalloc──▶ blocks on registers ──layout──▶ lines ──reach──▶ lines ──encode──▶ bytes
//! ```
//!
//! Code is for kernels from 5.15 on: BPF ISA v3, and a verifier that follows bounds and null checks as
//! [`regalloc`] says.

mod dead;
mod disasm;
mod frame;
mod inline;
mod insn;
mod layout;
pub mod link;
mod liveness;
pub(in crate::compile) mod maps;
mod mir;
mod moves;
mod raw;
mod reach;
mod regalloc;
pub mod runtime;
mod select;
mod specialise;
mod spill;
mod switch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tracer_common::scope::Scope;

pub use disasm::disassemble;
pub use insn::{Encoded, Target};
pub use layout::Line;
pub use maps::{MapDefinition, MapKind};

use super::ir;
use crate::plan::{Attach, Plan};
use frame::{Frame, STACK, UNIT};
use runtime::Library;

/// Everything that stands in the object of a script.
#[derive(Debug)]
pub struct Object {
    /// In the order of the plan's programs.
    pub programs: Vec<Program>,
    /// Functions of the runtime library by symbol: what programs call, and what these call in turn.
    pub functions: BTreeMap<String, runtime::Function>,
    /// Maps and variables of the runtime library by symbol: what code names, and [`ALWAYS`].
    pub data: BTreeMap<String, runtime::Data>,
    /// The script's maps, in the order of the plan's.
    pub maps: Vec<MapDefinition>,
}

/// Maps of the runtime library that user space reads from whether programs write to them or not.
const ALWAYS: [&str; 2] = ["EVENTS", "LOSSES"];

/// A program.
#[derive(Debug)]
pub struct Program {
    /// The section that it stands in, alone: `TYPE/SYMBOL`.
    pub section: String,
    /// Its code; the symbol is the plan's.
    pub code: Code,
    /// The functions that helpers call back, by their ids.
    pub callbacks: Vec<Code>,
}

/// The code of a program or of a callback.
#[derive(Debug)]
pub struct Code {
    /// Its symbol.
    pub symbol: String,
    /// Bytes of the frame.
    pub frame: u32,
    /// Its instructions, to be read.
    pub lines: Vec<Line>,
    /// Its instructions, to be run; those of functions that it calls once stand in place of the call.
    pub encoded: Encoded,
    /// The symbols of these functions.
    pub inlined: Vec<&'static str>,
}

/// A script is too large for what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The frame does not fit the kernel's stack.
    #[error(
        "`{symbol}` needs {needed} bytes of stack, of which the kernel leaves {available}; \
         use fewer variables, or fewer loops inside each other"
    )]
    Stack {
        /// The program.
        symbol: String,
        /// Bytes.
        needed: u32,
        /// Bytes.
        available: u32,
    },
    /// A jump is longer than an instruction can say.
    #[error("`{symbol}` has a jump over more than 32767 instructions; attach to fewer probes or split the action")]
    Jump {
        /// The program.
        symbol: String,
    },
}

/// Generates the code of all programs.
pub fn generate(module: &ir::Module, plan: &Plan, library: &Library, scope: &Scope) -> Result<Object, Limit> {
    let library = &specialise::for_scope(library, scope);
    let programs = module
        .functions
        .iter()
        .zip(&plan.programs)
        .map(|(function, program)| generate_program(function, &program.attach, library))
        .collect::<Result<Vec<_>, _>>()?;
    let code = programs.iter().flat_map(|program| program.callbacks.iter().chain([&program.code]));
    let named = code.flat_map(|code| &code.encoded.relocations).filter_map(|(_, target)| target.symbol());
    let link::Linked { functions, mut data } = link::link(library, named.chain(ALWAYS));
    if let Some(areas) = data.get_mut(link::SCRATCH) {
        maps::size_scratch(areas, module.scratch, module.cpus);
    }
    Ok(Object { programs, functions, data, maps: maps::definitions(&plan.maps) })
}

fn generate_program(function: &ir::Function, attach: &Attach, library: &Library) -> Result<Program, Limit> {
    let mut callbacks = Vec::new();
    // Of each callback, the bytes that a call of it takes, its callees included.
    let mut depths = Vec::new();
    for callback in &function.callbacks {
        let (code, depth) = generate_code(callback, library, &depths)?;
        callbacks.push(code);
        depths.push(depth);
    }
    let (code, _) = generate_code(function, library, &depths)?;
    let section = format!("{}/{}", section_type(attach), function.symbol);
    Ok(Program { section, code, callbacks })
}

/// The code of a function, and the bytes of stack that a call of it takes.
fn generate_code(function: &ir::Function, library: &Library, callbacks: &[u32]) -> Result<(Code, u32), Limit> {
    let selected = select::select(function);
    let frame = Frame::new(&function.slots, &selected);
    let callees = selected.callees().map(|callee| link::stack_depth(library, callee.symbol()));
    let deepest = callees.chain(selected.callbacks().map(|callback| callbacks[callback.0 as usize])).max();
    let available = STACK.saturating_sub(deepest.unwrap_or(0));
    let fits = |needed: u32| {
        let symbol = function.symbol.clone();
        let fits = needed.max(1).next_multiple_of(UNIT) <= available;
        if fits { Ok(()) } else { Err(Limit::Stack { symbol, needed, available }) }
    };
    fits(frame.size(0))?;
    let allocated = regalloc::allocate(&selected, &frame);
    let needed = frame.size(allocated.spills);
    fits(needed)?;
    let lines = reach::reach(layout::lay_out(allocated.blocks));
    let encoded = insn::encode(lines.iter().map(|(insn, _)| insn))
        .map_err(|insn::TooFar| Limit::Jump { symbol: function.symbol.clone() })?;
    let (encoded, inlined) = inline::inline(encoded, library);
    let depth = needed.max(1).next_multiple_of(UNIT) + deepest.unwrap_or(0);
    Ok((Code { symbol: function.symbol.clone(), frame: needed, lines, encoded, inlined }, depth))
}

/// What a section's name begins with, by which a loader knows the type of the program in it.
fn section_type(attach: &Attach) -> &'static str {
    match attach {
        // User space runs them through BPF_PROG_TEST_RUN, which raw tracepoint programs allow.
        Attach::Begin | Attach::End | Attach::Interval { .. } | Attach::Signal => "raw_tp",
        Attach::RawTracepoint { .. } => "raw_tp",
        // The loader is told the kind when it loads the program: aya reads the section and leaves it to us.
        Attach::Iterator { .. } => "fentry",
        Attach::Tracepoint { .. } => "tracepoint",
        Attach::Sample(_) => "perf_event",
        Attach::Uprobe { exit: false, .. } => "uprobe",
        Attach::Uprobe { exit: true, .. } => "uretprobe",
        Attach::Kprobe { exit: false, .. } => "kprobe",
        Attach::Kprobe { exit: true, .. } => "kretprobe",
        Attach::Fentry { exit: false, .. } => "fentry",
        Attach::Fentry { exit: true, .. } => "fexit",
    }
}
