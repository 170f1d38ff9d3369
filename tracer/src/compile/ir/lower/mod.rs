//! Typed program → IR.
//!
//! In reading order: this module makes a function for each program (scope check, then its clauses one after the
//! other); [`selector`] chooses clauses by system call; [`statement`] and [`expression`] follow the typed tree; [`loops`] makes
//! callbacks; [`scratch`] finds memory; [`facts`] is what the kernel knows, asked for once in a run; [`memory`] writes strings, tuples and keys; [`maps`] and
//! [`aggregation`] update maps; [`record`] sends to user space;
//! [`subject`] asks whether an event is the scope's.
//!
//! An expression whose value is a number becomes a [`Value`]; any other is written to a [`memory::Place`] that the
//! consumer names, so that a string goes straight from the process's memory to the record that prints it.

mod aggregation;
mod expression;
mod facts;
mod front;
mod functions;
mod loops;
mod maps;
mod memory;
mod record;
mod scratch;
mod selector;
mod statement;
mod subject;
mod threads;

use super::build::{Builder, Variable};
use super::{Block, Function, Module, Runtime, SlotId, Value};
use crate::compile::sema::typed;
use crate::compile::target::Target;
use crate::plan::{Map, MapId, ProbeId};
pub use scratch::Frames;
use scratch::Memory;

/// A function for each program.
pub fn lower(script: &typed::Script, target: &Target, frames: Frames) -> Module {
    let mut scratch = 0;
    let symbols = script.plan.programs.iter().map(|program| program.symbol.clone());
    let functions = script
        .programs
        .iter()
        .zip(symbols)
        .map(|(program, symbol)| {
            let (function, needed) = function(script, target, frames, (program, symbol));
            scratch = scratch.max(needed);
            function
        })
        .collect();
    Module { functions, scratch, cpus: target.possible_cpus.max(1) }
}

/// A program's function, and how much scratch memory it needs.
fn function(
    script: &typed::Script,
    target: &Target,
    frames: Frames,
    (program, symbol): (&typed::Program, String),
) -> (Function, u32) {
    let mut lowering = Lowering {
        b: Builder::new(symbol.clone()),
        symbol,
        callbacks: Vec::new(),
        loops: 0,
        script,
        target,
        program,
        facts: Vec::new(),
        comm_uses: program.clauses.iter().map(|clause| statement::uses(clause, typed::Builtin::Comm)).sum(),
        comm_slot: None,
        locals: Vec::new(),
        temporaries: Vec::new(),
        frames,
        calls_back: program.clauses.iter().any(loops::has_loops),
        area: scratch::Area::default(),
        probe: Probe::Fixed(ProbeId(0)),
        only_call: None,
        shared: loops::Shared::None,
        exits: None,
        end: Block(0),
    };
    lowering.leave_other_calls();
    lowering.scope_check();
    let whole = match program.context {
        typed::Context::FollowFork => Some(Runtime::FollowFork),
        typed::Context::ForgetTask => Some(Runtime::ForgetTask),
        typed::Context::NoteRequest => Some(Runtime::NoteRequest),
        typed::Context::NoteStarted { .. } => Some(Runtime::NoteStarted),
        typed::Context::None
        | typed::Context::SysEnter
        | typed::Context::SysExit
        | typed::Context::Words
        | typed::Context::TypedWords
        | typed::Context::Iterator { .. }
        | typed::Context::Registers
        | typed::Context::Record
        | typed::Context::Sample => None,
    };
    if let Some(function) = whole {
        let context = lowering.b.context();
        match program.context {
            typed::Context::NoteStarted { bio } => {
                let bio = lowering.b.constant(bio.into());
                lowering.b.runtime(function, &[context, bio])
            }
            _ => lowering.b.runtime(function, &[context]),
        };
    }
    let mut rest = &program.clauses[..];
    while let [clause, ..] = rest {
        let (next, later) = rest.split_at(selector::exclusive(rest).max(1));
        match next {
            [_] => lowering.clause(clause),
            _ => lowering.one_of(next),
        }
        rest = later;
    }
    lowering.b.ret();
    let needed = lowering.area.most;
    (Function { callbacks: lowering.callbacks, ..lowering.b.finish() }, needed)
}

/// A function being made, and what the statement at hand refers to.
struct Lowering<'a> {
    b: Builder,
    /// The program's symbol.
    symbol: String,
    /// Finished callbacks of the program.
    callbacks: Vec<Function>,
    /// How many loops the program has, so far.
    loops: u32,
    script: &'a typed::Script,
    target: &'a Target,
    program: &'a typed::Program,
    /// What the kernel has been asked for so far, and where.
    facts: Vec<facts::Known>,
    /// How often the program names `comm`.
    comm_uses: usize,
    /// Where `comm` is kept, once it has been asked for.
    comm_slot: Option<SlotId>,
    /// The clause's variables.
    locals: Vec<Local>,
    /// Memory to release after the statement.
    temporaries: Vec<Memory>,
    /// How much memory is found in frames.
    frames: Frames,
    /// Whether a clause of the program has loops.
    calls_back: bool,
    /// Scratch memory.
    area: scratch::Area,
    /// The clause's probe.
    probe: Probe,
    /// The one system call that the program has gone on for.
    only_call: Option<u32>,
    /// What callbacks have in common with the program.
    shared: loops::Shared,
    /// The ways out of the loop at hand.
    exits: Option<loops::Exits>,
    /// Where the clause ends.
    end: Block,
}

/// Where a variable is kept.
#[derive(Clone, Copy)]
enum Local {
    /// Numbers.
    Number(Variable),
    /// The rest.
    Memory(Memory),
    /// Either, where a loop names it: so far into the shared frame.
    Shared(i16),
}

/// Which probe a clause runs for.
#[derive(Clone, Copy)]
enum Probe {
    /// The only one it can be.
    Fixed(ProbeId),
    /// The one with this index.
    Computed(Value),
    /// The same, in a callback.
    Shared,
}

impl Lowering<'_> {
    /// Runs a clause if its selector and its predicate say so, and goes on behind it.
    fn clause(&mut self, clause: &typed::Clause) {
        self.b.span = clause.span;
        let behind = self.b.new_block();
        self.end = behind;
        if clause.of_current {
            self.only_if_current_is_in_scope();
        }
        self.select(clause);
        self.selected(clause, behind);
    }

    /// Runs a clause for which the event is, if its predicate says so, and goes on in the block `behind`.
    fn selected(&mut self, clause: &typed::Clause, behind: Block) {
        self.place_locals(clause);
        let early = self.predicate_is_large(clause);
        if early {
            self.begin_claim();
        }
        self.zero_locals(clause, early);
        if let Some(predicate) = &clause.predicate {
            let body = self.b.new_block();
            self.condition(predicate, body, self.end);
            self.release_temporaries(0);
            self.b.fill(body);
        }
        if !early && self.b.reachable() {
            self.begin_claim();
            self.zero_scratch_locals(clause);
        }
        self.block(&clause.body);
        if self.b.reachable() {
            self.b.jump(self.end, &[]);
        }
        self.release_locals();
        if self.end != behind {
            self.b.fill(self.end);
            self.end_claim(behind);
        }
        self.b.fill(behind);
        self.forget_facts();
    }

    fn map(&self, map: MapId) -> &Map {
        &self.script.plan.maps[map.0 as usize]
    }

    /// Fills a block that does not come next, if anything leads there, and comes back.
    fn aside(&mut self, block: Block, fill: impl FnOnce(&mut Self)) {
        let next = self.b.leave();
        self.b.fill(block);
        if self.b.reachable() {
            fill(self);
        }
        self.b.resume(next);
    }

    fn release_temporaries(&mut self, keep: usize) {
        for memory in self.temporaries.split_off(keep) {
            self.release(memory);
        }
    }
}

/// The layout of a value.
fn shape(ty: &typed::Type) -> &crate::plan::Shape {
    match ty {
        typed::Type::Data(shape) => shape,
        typed::Type::Void => unreachable!("analysis lets no value of type void be used"),
    }
}

/// Bytes and signedness of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    width: super::Width,
    signed: bool,
}

/// How a shape is represented as a value, if it is a number.
fn number(shape: &crate::plan::Shape) -> Option<Number> {
    use super::Width;
    use crate::plan::Shape;
    let (width, signed) = match *shape {
        Shape::Int { size, signed } | Shape::Enum { size, signed, .. } => (Width::of(size.into()), signed),
        Shape::Bool => (Width::B1, false),
        Shape::Pointer | Shape::Probe | Shape::Syscall | Shape::Name(_) => (Width::B8, false),
        Shape::Str { .. }
        | Shape::Tuple(_)
        | Shape::Array { .. }
        | Shape::Record { .. }
        | Shape::Buffer { .. }
        | Shape::Inet
        | Shape::Stack(_)
        | Shape::Mac => return None,
    };
    Some(Number { width, signed })
}
