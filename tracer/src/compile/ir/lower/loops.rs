//! Loops.
//!
//! A loop is a callback of `bpf_loop`: the verifier looks at it once, whatever number of turns it takes, and the kernel allows
//! 2^23 of them. One over a map is a callback of `bpf_for_each_map_elem`. A callback is a function of its own, so whatever it has in common with the program it is called from
//! lies in the *shared frame*, a slot of the program whose address callbacks are given and hand on to those inside them:
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 7 | the context pointer |
//! | 8 to 15 | how the innermost loop that has ended did so: [`Ended`] |
//! | 16 to 23 | the index of the clause's probe, where that is not the same for all events |
//! | 24 to 31 | the address of the clause's scratch memory, where a callback uses it |
//! | 32 on | the variables that a loop of the clause names; each number takes 8 bytes |
//!
//! The verifier follows numbers through the frame. It must not: told that `$i` starts with 0 and is compared with 1000, it would
//! go through a thousand turns instead of one. So a number that is read is added to a zero that the verifier does not know.

use super::memory::Place;
use super::scratch::Memory;
use super::{Local, Lowering, Probe, number, shape};
use crate::compile::ir::build::Builder;
use crate::compile::ir::{BinaryOp, Block, CallbackId, CompareOp, Helper, Inst, SlotId, Value, Width};
use crate::compile::sema::typed::{Clause, Expr, LocalId, Stmt, StmtKind};
use crate::plan::{self, MapId, Shape};
use tracer_common::agg::GENERATION_SIZE;
use tracer_common::failure::Failure;
use tracer_common::loss::Loss;

/// Most turns of a loop: BPF_MAX_LOOPS in include/linux/bpf_verifier.h.
const MAX_TURNS: i64 = 1 << 23;

const CONTEXT: i16 = 0;
const ENDED: i16 = 8;
const PROBE: i16 = 16;
const SCRATCH: i16 = 24;
const LOCALS: u32 = 32;

/// How a loop has ended.
#[derive(Clone, Copy)]
enum Ended {
    /// It has not: it would have gone on.
    Cut = 0,
    /// By its condition or by `break`.
    Done = 1,
    /// By leaving the clause.
    Left = 2,
}

/// What a callback is given.
struct Signature {
    parameters: u32,
    /// The parameter that is the address of the shared frame.
    frame: Value,
}

/// Of `bpf_loop`: the number of the turn, the frame.
const LOOP: Signature = Signature { parameters: 2, frame: Value(1) };

/// Of `bpf_for_each_map_elem`: the map, the addresses of key and value, the frame.
const EACH: Signature = Signature { parameters: 4, frame: Value(3) };
const EACH_KEY: Value = Value(1);
const EACH_VALUE: Value = Value(2);

/// Where the shared frame is.
#[derive(Clone, Copy)]
pub(super) enum Shared {
    /// The clause has no loops.
    None,
    /// Here, in the program.
    Slot(SlotId),
    /// In the program that this callback is called from: a parameter.
    Parameter(Value),
}

/// Where `break` and `continue` go.
#[derive(Clone, Copy)]
pub(super) struct Exits {
    done: Block,
    next: Block,
}

impl Lowering<'_> {
    /// Gives each variable of a clause its place, and those that loops name one in the shared frame.
    pub(super) fn place_locals(&mut self, clause: &Clause) {
        let mut size = LOCALS;
        let in_loops = has_loop(&clause.body);
        let mut locals = Vec::new();
        for (index, local) in clause.locals.iter().enumerate() {
            let shape = shape(&local.ty);
            let is_shared = in_loops && in_loop(&clause.body, LocalId(index as u32));
            locals.push(match number(shape) {
                Some(_) if !is_shared => Local::Number(self.b.variable()),
                None if self.is_large(shape.size()) => Local::Memory(self.allocate_scratch(shape.size())),
                None if !is_shared => Local::Memory(Memory::Slot(self.b.slot(shape.size()))),
                _ => {
                    let offset = size;
                    size += shape.size().next_multiple_of(8);
                    Local::Shared(offset as i16)
                }
            });
        }
        self.locals = locals;
        self.shared = Shared::None;
        if !in_loops {
            return;
        }
        let slot = self.b.slot(size);
        self.shared = Shared::Slot(slot);
        let (frame, context) = (self.b.slot_address(slot), self.b.context());
        self.b.store(frame, CONTEXT, Width::B8, context);
        if let Probe::Computed(probe) = self.probe {
            self.b.store(frame, PROBE, Width::B8, probe);
        }
    }

    /// Forgets the clause's variables.
    pub(super) fn release_locals(&mut self) {
        for local in std::mem::take(&mut self.locals) {
            if let Local::Memory(memory) = local {
                self.release(memory);
            }
        }
        if let Shared::Slot(slot) = std::mem::replace(&mut self.shared, Shared::None) {
            self.b.release(slot);
        }
    }

    /// Whether a callback is being made.
    pub(super) fn in_callback(&self) -> bool {
        matches!(self.shared, Shared::Parameter(_))
    }

    /// The address of the shared frame.
    fn shared(&mut self) -> Value {
        match self.shared {
            Shared::Slot(slot) => self.b.slot_address(slot),
            Shared::Parameter(value) => value,
            Shared::None => unreachable!("nothing is shared in a clause without loops"),
        }
    }

    /// The place of a variable that is in memory.
    pub(super) fn local_place(&mut self, local: LocalId) -> Place {
        match self.locals[local.0 as usize] {
            Local::Memory(memory) => self.memory_place(memory),
            Local::Shared(offset) => Place { pointer: self.shared(), offset: offset.into() },
            Local::Number(_) => unreachable!("a number is not in memory"),
        }
    }

    /// The value of a variable that is a number.
    pub(super) fn read_local(&mut self, local: LocalId) -> Value {
        match self.locals[local.0 as usize] {
            Local::Number(variable) => self.b.read(variable),
            Local::Shared(offset) => self.read_shared(offset),
            Local::Memory(_) => unreachable!("a number is not kept in memory"),
        }
    }

    /// From here on, a variable that is a number has this value.
    pub(super) fn write_local(&mut self, local: LocalId, value: Value) {
        match self.locals[local.0 as usize] {
            Local::Number(variable) => self.b.write(variable, value),
            Local::Shared(offset) => self.write_shared(offset, value),
            Local::Memory(_) => unreachable!("a number is not kept in memory"),
        }
    }

    fn read_shared(&mut self, offset: i16) -> Value {
        let frame = self.shared();
        let value = self.b.load(frame, offset, Width::B8);
        let zero = self.b.unknown_zero();
        self.b.binary(BinaryOp::Add, value, zero)
    }

    fn write_shared(&mut self, offset: i16, value: Value) {
        let frame = self.shared();
        self.b.store(frame, offset, Width::B8, value);
    }

    fn set_ended(&mut self, ended: Ended) {
        let ended = self.b.constant(ended as i64);
        self.write_shared(ENDED, ended);
    }

    /// The index of the clause's probe, where the program has left it.
    pub(super) fn shared_probe(&mut self) -> Value {
        let frame = self.shared();
        self.b.load(frame, PROBE, Width::B8)
    }

    /// Takes turns as long as the condition holds; `step` comes after each.
    pub(super) fn take_turns(&mut self, condition: &Expr, body: &[Stmt], step: &[Stmt]) {
        self.set_ended(Ended::Cut);
        let callback = self.callback(LOOP, |l| {
            let (turn, done, next) = (l.b.new_block(), l.b.new_block(), l.b.new_block());
            l.condition(condition, turn, done);
            l.release_temporaries(0);
            l.b.fill(turn);
            let outer = l.exits.replace(Exits { done, next });
            l.block(body);
            l.exits = outer;
            if l.b.reachable() {
                l.b.jump(next, &[]);
            }
            l.b.fill(next);
            l.block(step);
            if l.b.reachable() {
                l.b.ret();
            }
            l.b.fill(done);
            if l.b.reachable() {
                l.set_ended(Ended::Done);
                l.b.stop();
            }
        });
        self.share_scratch();
        let turns = self.b.constant(MAX_TURNS);
        let callback = self.b.inst(Inst::CallbackAddress(callback));
        let (frame, flags) = (self.shared(), self.b.constant(0));
        self.b.helper(Helper::Loop, &[turns, callback, frame, flags]);
        let ended = self.after_loop();
        let (cut, on) = (self.b.new_cold_block(), self.b.new_block());
        self.b.branch_if(ended, on, cut);
        self.b.fill(cut);
        self.failed(Failure::Loop, None);
        self.lost(Loss::LoopCut);
        self.b.jump(on, &[]);
        self.b.fill(on);
    }

    /// Takes a turn for each entry of a map: `entry` is a tuple of its key and its value.
    pub(super) fn for_each(&mut self, map: MapId, entry: LocalId, body: &[Stmt]) {
        let plan = self.map(map);
        let key = plan.key.clone().expect("analysis lets `for` go over maps with keys only");
        let (live, value) = match plan.value.clone() {
            plan::Value::Plain(shape) => (None, shape),
            plan::Value::Aggregation(aggregation) => (Some(aggregation), Shape::I64),
        };
        self.set_ended(Ended::Cut);
        let callback = self.callback(EACH, |l| {
            let to = l.local_place(entry);
            let (key_size, value_size) = (key.size(), value.size());
            let offsets: Vec<u32> = Shape::offsets(&[key, value]).map(|(offset, _)| offset).collect();
            let (done, next) = (l.b.new_block(), l.b.new_block());
            let (found, held) = (Place { pointer: EACH_KEY, offset: 0 }, Place { pointer: EACH_VALUE, offset: 0 });
            match live {
                None => {
                    l.copy(found, to.at(offsets[0]), key_size);
                    l.copy(held, to.at(offsets[1]), value_size);
                }
                Some(aggregation) => {
                    let current = l.b.new_block();
                    l.branch_current(map, current, next);
                    l.b.fill(current);
                    l.copy(found.at(GENERATION_SIZE as u32), to.at(offsets[0]), key_size);
                    let total = l.total(held, aggregation);
                    let value = to.at(offsets[1]);
                    l.b.store(value.pointer, value.offset, Width::B8, total);
                }
            }
            let outer = l.exits.replace(Exits { done, next });
            l.block(body);
            l.exits = outer;
            if l.b.reachable() {
                l.b.jump(next, &[]);
            }
            l.b.fill(next);
            if l.b.reachable() {
                l.b.ret();
            }
            l.b.fill(done);
            if l.b.reachable() {
                l.b.stop();
            }
        });
        self.share_scratch();
        let map = self.b.map(map);
        let callback = self.b.inst(Inst::CallbackAddress(callback));
        let (frame, flags) = (self.shared(), self.b.constant(0));
        self.b.helper(Helper::ForEachMapElem, &[map, callback, frame, flags]);
        self.after_loop();
    }

    /// Branches on whether an entry that a loop has come to, of an aggregation, is one of the current generation. Others
    /// are about to be taken away by user space.
    fn branch_current(&mut self, map: MapId, then: Block, otherwise: Block) {
        let of = self.b.load(EACH_KEY, 0, Width::B8);
        let current = self.b.generation(map);
        self.b.branch(CompareOp::Eq, of, current, then, otherwise);
    }

    /// How many keys a map has. Of a plain one, the kernel counts the turns of a loop that does nothing.
    pub(super) fn entries(&mut self, map: MapId) -> Value {
        if self.map(map).is_live() {
            return self.live_entries(map);
        }
        self.loops += 1;
        let mut callback = Builder::with_parameters(format!("{}_loop_{}", self.symbol, self.loops), EACH.parameters);
        callback.span = self.b.span;
        callback.ret();
        self.callbacks.push(callback.finish());
        let callback = self.b.inst(Inst::CallbackAddress(CallbackId(self.callbacks.len() as u32 - 1)));
        let (map, nothing, flags) = (self.b.map(map), self.b.constant(0), self.b.constant(0));
        self.b.helper(Helper::ForEachMapElem, &[map, callback, nothing, flags])
    }

    /// The same of an aggregation: how many are of the current generation.
    fn live_entries(&mut self, map: MapId) -> Value {
        self.loops += 1;
        let mut callback = Builder::with_parameters(format!("{}_loop_{}", self.symbol, self.loops), EACH.parameters);
        callback.span = self.b.span;
        let program = std::mem::replace(&mut self.b, callback);
        let (current, next) = (self.b.new_block(), self.b.new_block());
        self.branch_current(map, current, next);
        self.b.fill(current);
        let before = self.b.load(EACH.frame, 0, Width::B8);
        let after = self.b.binary_with(BinaryOp::Add, before, 1);
        self.b.store(EACH.frame, 0, Width::B8, after);
        self.b.jump(next, &[]);
        self.b.fill(next);
        self.b.ret();
        let callback = std::mem::replace(&mut self.b, program);
        self.callbacks.push(callback.finish());

        let callback = self.b.inst(Inst::CallbackAddress(CallbackId(self.callbacks.len() as u32 - 1)));
        // The verifier must not follow the number, or it would go through as many turns as it can count.
        // And it takes nothing but the frame's memory to be handed to a callback.
        let slot = self.b.slot(8);
        let count = self.b.slot_address(slot);
        let zero = self.b.unknown_zero();
        self.b.store(count, 0, Width::B8, zero);
        let (map, flags) = (self.b.map(map), self.b.constant(0));
        self.b.helper(Helper::ForEachMapElem, &[map, callback, count, flags]);
        let number = self.b.load(count, 0, Width::B8);
        self.b.release(slot);
        number
    }

    /// Lets callbacks know where scratch memory is, if they use it.
    fn share_scratch(&mut self) {
        if let Some(base) = self.area.base.filter(|_| self.area.called_back && !self.in_callback()) {
            self.write_shared(SCRATCH, base);
        }
    }

    /// Leaves the clause if the loop did; otherwise gives how it has ended.
    fn after_loop(&mut self) -> Value {
        let ended = self.read_shared(ENDED);
        // A loop around this one has not ended yet.
        self.set_ended(Ended::Cut);
        let (left, stayed) = (self.b.new_block(), self.b.new_block());
        let number = self.b.constant(Ended::Left as i64);
        self.b.branch(CompareOp::Eq, ended, number, left, stayed);
        self.b.fill(left);
        self.b.jump(self.end, &[]);
        self.b.fill(stayed);
        ended
    }

    /// Makes a callback.
    fn callback(&mut self, Signature { parameters, frame }: Signature, fill: impl FnOnce(&mut Self)) -> CallbackId {
        self.loops += 1;
        let symbol = format!("{}_loop_{}", self.symbol, self.loops);
        let mut builder = Builder::with_parameters(symbol, parameters);
        builder.span = self.b.span;
        let end = builder.new_block();
        // What the program knows, its callback does not.
        let program = std::mem::replace(&mut self.b, builder);
        let facts = std::mem::take(&mut self.facts);
        let comm_slot = self.comm_slot.take();
        let temporaries = std::mem::take(&mut self.temporaries);
        let outer_end = std::mem::replace(&mut self.end, end);
        let shared = std::mem::replace(&mut self.shared, Shared::Parameter(frame));
        let probe = self.probe;
        if let Probe::Computed(_) = probe {
            self.probe = Probe::Shared;
        }

        let context = self.b.load(frame, CONTEXT, Width::B8);
        self.b.set_context(context);
        let base = self.area.base.map(|_| self.b.load(frame, SCRATCH, Width::B8));
        let base = std::mem::replace(&mut self.area.base, base);
        fill(self);
        self.b.fill(end);
        if self.b.reachable() {
            self.set_ended(Ended::Left);
            self.b.stop();
        }

        self.area.base = base;
        self.probe = probe;
        self.shared = shared;
        self.end = outer_end;
        self.temporaries = temporaries;
        self.comm_slot = comm_slot;
        self.facts = facts;
        let builder = std::mem::replace(&mut self.b, program);
        self.callbacks.push(builder.finish());
        CallbackId(self.callbacks.len() as u32 - 1)
    }

    pub(super) fn leave_loop(&mut self) {
        let Exits { done, .. } = self.exits.expect("analysis lets `break` stand in loops only");
        self.b.jump(done, &[]);
    }

    pub(super) fn next_turn(&mut self) {
        let Exits { next, .. } = self.exits.expect("analysis lets `continue` stand in loops only");
        self.b.jump(next, &[]);
    }
}

fn is_loop(stmt: &Stmt) -> bool {
    matches!(stmt.kind, StmtKind::Loop { .. } | StmtKind::ForEach { .. })
}

/// Whether a clause has loops.
pub(super) fn has_loops(clause: &Clause) -> bool {
    has_loop(&clause.body)
}

fn has_loop(block: &[Stmt]) -> bool {
    block.iter().any(|stmt| stmt.any(&mut |stmt| is_loop(stmt)))
}

/// Whether a loop in the block names a variable.
fn in_loop(block: &[Stmt], local: LocalId) -> bool {
    block.iter().any(|stmt| stmt.any(&mut |stmt| is_loop(stmt) && super::statement::names(stmt, local)))
}
