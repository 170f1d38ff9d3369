//! Register allocation: machine IR on values → instructions on registers, blocks still apart.
//!
//! One walk over the blocks, each behind one that leads to it. Within a block registers are given out instruction by
//! instruction; when none is left, the value whose next use is farthest away goes to the frame (Belady's rule). A value
//! that must outlive a call prefers r6 to r9, one that is passed to the next call prefers its argument register. Where
//! paths meet, the likeliest of them decides where values are expected, and the others move theirs.
//!
//! The verifier learns bounds of a value from a comparison, for the register compared and not (before Linux 6.3) for a copy
//! that was spilled earlier. So a spilled copy is forgotten when its value is compared: whoever spills it again stores
//! what the verifier knows by then. Null checks reach spilled copies in all versions.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::Frame;
use super::insn::{self, AluOp, Bits, Callee, Condition, Insn, JumpOp, Operand, Reg, Wide};
use super::layout::{CodeBlock, CodeExit, Step};
use super::liveness::{Liveness, liveness};
use super::mir::{Base, Exit, Function, Op, Remat, Val};
use super::moves::{self, Move, Place, Source};
use super::spill::SpillSlots;
use crate::compile::ir::Width;
use crate::compile::source::Span;

/// A program on registers.
#[derive(Debug)]
pub struct Allocated {
    /// The first is the entry. Blocks that cannot be reached are empty and nothing leads to them.
    pub blocks: Vec<CodeBlock>,
    /// How many values the frame holds beside the slots.
    pub spills: usize,
}

/// Gives every value of the program its places.
pub fn allocate(function: &Function, frame: &Frame) -> Allocated {
    let order = reverse_postorder(function);
    let mut incoming = vec![Vec::new(); function.blocks.len()];
    for &block in &order {
        for (which, edge) in function.blocks[block].exit.edges().enumerate() {
            incoming[edge.to].push((block, which));
        }
    }
    let liveness = liveness(function, &order);
    let mut allocator = Allocator {
        function,
        frame,
        liveness,
        incoming,
        slots: SpillSlots::new(function),
        expected: vec![None; function.blocks.len()],
        left: vec![None; function.blocks.len()],
        blocks: function.blocks.iter().map(|block| CodeBlock::new(block.exit_span, block.cold)).collect(),
        block: 0,
        uses: BTreeMap::new(),
        state: State::default(),
        span: Span::default(),
    };
    for &block in &order {
        allocator.allocate_block(block);
    }
    Allocated { blocks: allocator.blocks, spills: allocator.slots.count() }
}

/// Which value each register holds, and which values have a copy in the frame.
#[derive(Clone, Debug, Default)]
struct State {
    regs: [Option<Val>; Reg::ALL.len()],
    stored: BTreeSet<Val>,
}

impl State {
    fn reg_of(&self, value: Val) -> Option<Reg> {
        Reg::ALL.into_iter().find(|reg| self.regs[*reg as usize] == Some(value))
    }

    fn holds(&self, reg: Reg) -> Option<Val> {
        self.regs[reg as usize]
    }

    fn set(&mut self, reg: Reg, value: Option<Val>) {
        self.regs[reg as usize] = value;
    }
}

struct Allocator<'a> {
    function: &'a Function,
    frame: &'a Frame,
    liveness: Liveness,
    /// For each block, the edges to it: from which block, and which of its edges.
    incoming: Vec<Vec<(usize, usize)>>,
    slots: SpillSlots,
    /// For each block that has been visited, where it expects its values.
    expected: Vec<Option<BTreeMap<Val, Place>>>,
    /// For each block that has been visited, what is where at its end.
    left: Vec<Option<State>>,
    blocks: Vec<CodeBlock>,
    /// Of the block at hand: its index, where each value is used in it (last use first), what is where now.
    block: usize,
    uses: BTreeMap<Val, Vec<u32>>,
    state: State,
    span: Span,
}

impl Allocator<'_> {
    fn allocate_block(&mut self, block: usize) {
        let function = self.function;
        let data = &function.blocks[block];
        self.block = block;
        self.uses = uses_in(function, block);
        self.enter();
        for (at, inst) in data.insts.iter().enumerate() {
            self.span = inst.span;
            self.inst(at as u32, &inst.op);
        }
        self.span = data.exit_span;
        let end = data.insts.len() as u32;
        self.blocks[block].exit = match &data.exit {
            Exit::Jump(edge) => CodeExit::Jump(edge.to),
            Exit::Branch { condition, then, otherwise } => {
                let (condition, _) = self.condition(condition, end);
                CodeExit::Branch { condition, then: then.to, otherwise: otherwise.to }
            }
            Exit::Return => CodeExit::Return,
            Exit::Stop => CodeExit::Stop,
        };
        self.left[block] = Some(std::mem::take(&mut self.state));
        // Edges to blocks that are laid down already: the way back in a loop.
        for (which, edge) in data.exit.edges().enumerate() {
            if self.expected[edge.to].is_some() {
                self.connect(block, which);
            }
        }
    }

    /// Decides where the block at hand expects its values, and makes those who lead to it bring them there.
    fn enter(&mut self) {
        let block = self.block;
        let known: Vec<(usize, usize)> =
            self.incoming[block].iter().copied().filter(|&(from, _)| self.left[from].is_some()).collect();
        let likeliest = known.iter().copied().find(|&(from, _)| !self.function.blocks[from].cold);
        let Some((from, which)) = likeliest.or(known.first().copied()) else {
            // The entry.
            let parameters = self.function.blocks[block].parameters.iter().copied();
            let arriving = parameters.zip([Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);
            let live = &self.liveness.at_entry[block];
            let used: Vec<(Val, Reg)> = arriving.filter(|(value, _)| live.contains_key(value)).collect();
            used.iter().for_each(|&(value, reg)| self.state.set(reg, Some(value)));
            self.expected[block] = Some(used.into_iter().map(|(value, reg)| (value, Place::Reg(reg))).collect());
            return;
        };
        let expected = self.expectation(from, which);
        let only_edge = self.incoming[block].len() == 1;
        for (&value, &place) in &expected {
            match place {
                Place::Reg(reg) => self.state.set(reg, Some(value)),
                Place::Spill(_) => _ = self.state.stored.insert(value),
            }
        }
        if only_edge && let Some(left) = &self.left[from] {
            let live = &self.liveness.at_entry[block];
            self.state.stored.extend(left.stored.iter().copied().filter(|value| live.contains_key(value)));
        }
        self.expected[block] = Some(expected);
        for (from, which) in known {
            self.connect(from, which);
        }
    }

    /// Where the block at hand best finds its values if it is entered by that edge.
    fn expectation(&mut self, from: usize, which: usize) -> BTreeMap<Val, Place> {
        let function = self.function;
        let live = self.liveness.at_entry[self.block].clone();
        let parameters = &function.blocks[self.block].parameters;
        let left = self.left[from].clone().unwrap_or_default();
        let edge = function.blocks[from].exit.edges().nth(which).expect("an edge that was counted");
        let mut expected = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for &value in live.keys().filter(|value| !parameters.contains(value)) {
            let place = match left.reg_of(value) {
                Some(reg) => {
                    taken.insert(reg);
                    Place::Reg(reg)
                }
                None => Place::Spill(self.slots.of(value, function, &self.liveness)),
            };
            expected.insert(value, place);
        }
        for (&parameter, &argument) in parameters.iter().zip(&edge.arguments) {
            if !live.contains_key(&parameter) {
                continue;
            }
            let own = left.reg_of(argument).into_iter();
            let place = match own
                .chain(preference(self.liveness.outlives_call[parameter.index()]))
                .find(|reg| !taken.contains(reg))
            {
                Some(reg) => {
                    taken.insert(reg);
                    Place::Reg(reg)
                }
                None => Place::Spill(self.slots.of(parameter, function, &self.liveness)),
            };
            expected.insert(parameter, place);
        }
        expected
    }

    /// Moves the values that go along an edge to where its target expects them.
    fn connect(&mut self, from: usize, which: usize) {
        let function = self.function;
        let exit = &function.blocks[from].exit;
        let edge = exit.edges().nth(which).expect("an edge that was counted");
        let to = edge.to;
        let expected = self.expected[to].clone().expect("the target has been visited");
        let left = self.left[from].clone().expect("the source has been visited");
        let parameters = &function.blocks[to].parameters;
        let mut steps = Vec::new();
        for (&value, &place) in &expected {
            let passed = parameters.iter().position(|&parameter| parameter == value);
            let passed = passed.map(|index| edge.arguments[index]);
            let has_copy = passed.is_none() && left.stored.contains(&value);
            if !(has_copy && matches!(place, Place::Spill(_))) {
                steps.push(Move { to: place, from: self.source(&left, passed.unwrap_or(value)) });
            }
        }
        let is_free = |reg: &Reg| {
            let place = Place::Reg(*reg);
            !expected.values().any(|to| *to == place) && !steps.iter().any(|step| step.from == Source::Place(place))
        };
        let free: Vec<Reg> = Reg::ALL.into_iter().filter(is_free).collect();
        let steps = self.sequence(steps, &free);
        if steps.is_empty() {
            return;
        }
        self.span = function.blocks[from].exit_span;
        let place = if matches!(exit, Exit::Jump(_)) {
            from
        } else if self.incoming[to].len() == 1 {
            to
        } else {
            let cold = function.blocks[to].cold || function.blocks[from].cold;
            let mut between = CodeBlock::new(self.span, cold);
            between.exit = CodeExit::Jump(to);
            self.blocks.push(between);
            let between = self.blocks.len() - 1;
            self.blocks[from].exit.redirect(which, between);
            between
        };
        let at_hand = std::mem::replace(&mut self.block, place);
        self.perform(steps);
        self.block = at_hand;
    }

    fn inst(&mut self, at: u32, op: &Op) {
        match op {
            Op::Alu { bits, op, dst, a, b } => {
                let (mut a, mut b) = (*a, *b);
                // The first of a sum may be an address in a frame. The verifier forgets which frame when the number is added
                // the other way round, and takes it for the program's where it is a callback's.
                let may_be_address = *op == AluOp::Add && *bits == Bits::B64;
                if let Operand::Reg(second) = b
                    && op.commutes()
                    && !may_be_address
                    && self.is_live(a, at)
                    && !self.is_live(second, at)
                {
                    (a, b) = (second, Operand::Reg(a));
                }
                let (src, locked) = match b {
                    Operand::Reg(value) => {
                        let reg = self.read(value, &[], at);
                        (Operand::Reg(reg), vec![reg])
                    }
                    Operand::Imm(imm) => (Operand::Imm(imm), Vec::new()),
                };
                // If both are the same value, its register may be overwritten all the same.
                let reg = self.take_over(*dst, a, &locked, b == Operand::Reg(a), at);
                let src = if b == Operand::Reg(a) { Operand::Reg(locked[0]) } else { src };
                self.emit(Insn::Alu { bits: *bits, op: *op, dst: reg, src });
            }
            Op::Neg { dst, a } => {
                let dst = self.take_over(*dst, *a, &[], false, at);
                self.emit(Insn::Neg { dst });
            }
            Op::ZeroExtend { dst, a } => {
                let src = self.read(*a, &[], at);
                self.release_dead(at, op);
                let dst = self.take(*dst, &[], at);
                self.emit(Insn::Alu { bits: Bits::B32, op: AluOp::Mov, dst, src: Operand::Reg(src) });
            }
            Op::Set { dst, condition } => {
                let (condition, locked) = self.condition(condition, at);
                let dst = self.take(*dst, &locked, at);
                self.emit(mov(dst, Operand::Imm(1)));
                self.step(Step::SkipNextIf(condition));
                self.emit(mov(dst, Operand::Imm(0)));
            }
            Op::Load { width, dst, base, offset } => {
                let (base, offset) = self.base(*base, *offset, &[], at);
                // The result may overwrite the pointer, even one that has just been evicted for it.
                self.release_dead(at, op);
                let dst = self.take(*dst, &[], at);
                self.emit(Insn::Load { width: *width, dst, base, offset });
            }
            Op::Store { width, base, offset, src } => {
                let (src, locked) = self.operand(src, &[], at);
                let (base, offset) = self.base(*base, *offset, &locked, at);
                self.emit(Insn::Store { width: *width, base, offset, src });
            }
            Op::AtomicAdd { bits, base, offset, src } => {
                let src = self.read(*src, &[], at);
                let (base, offset) = self.base(*base, *offset, &[src], at);
                self.emit(Insn::AtomicAdd { bits: *bits, base, offset, src });
            }
            Op::Variable { dst, variable } => {
                let dst = self.take(*dst, &[], at);
                self.emit(Insn::LoadWide { dst, value: Wide::Address(*variable) });
                self.emit(Insn::Load { width: Width::B8, dst, base: insn::Base::Reg(dst), offset: 0 });
            }
            Op::Call { dst, callee, arguments } => self.call(*dst, *callee, arguments, at),
        }
        self.release_dead(at, op);
    }

    /// Passes the arguments, brings what is needed later out of the way, and calls.
    fn call(&mut self, dst: Option<Val>, callee: Callee, arguments: &[Val], at: u32) {
        let mut after = State { stored: std::mem::take(&mut self.state.stored), ..State::default() };
        let mut steps = Vec::new();
        for reg in Reg::ALL.into_iter().filter(|reg| reg.survives_calls()) {
            after.set(reg, self.state.holds(reg).filter(|&value| self.is_kept(value) && self.is_live(value, at)));
        }
        let mut leaving: Vec<(u32, Reg, Val)> = Reg::ALL
            .into_iter()
            .filter(|reg| !reg.survives_calls())
            .filter_map(|reg| Some((reg, self.state.holds(reg)?)))
            .filter(|&(_, value)| self.is_kept(value))
            .filter_map(|(reg, value)| Some((self.next_use(value, at)?, reg, value)))
            .collect();
        leaving.sort();
        for (distance, reg, value) in leaving {
            let surviving = || Reg::ALL.into_iter().filter(|reg| reg.survives_calls());
            let farthest = surviving().filter_map(|to| Some((self.next_use(after.holds(to)?, at)?, to))).max();
            let to = match (surviving().find(|to| after.holds(*to).is_none()), farthest) {
                (Some(free), _) => free,
                (None, Some((farther, to))) if farther > distance => {
                    let displaced = after.holds(to).expect("a register that holds a value");
                    self.store(to, displaced, &mut after.stored);
                    to
                }
                _ => {
                    self.store(reg, value, &mut after.stored);
                    continue;
                }
            };
            after.set(to, Some(value));
            steps.push(Move { to: Place::Reg(to), from: Source::Place(Place::Reg(reg)) });
        }
        self.state.stored = std::mem::take(&mut after.stored);
        for (&argument, to) in arguments.iter().zip(Reg::ARGUMENTS) {
            steps.push(Move { to: Place::Reg(to), from: self.source(&self.state, argument) });
        }
        let is_free = |reg: &Reg| {
            let place = Place::Reg(*reg);
            after.holds(*reg).is_none()
                && !steps.iter().any(|step| step.to == place || step.from == Source::Place(place))
        };
        let free: Vec<Reg> = Reg::ALL.into_iter().filter(is_free).collect();
        let steps = self.sequence(steps, &free);
        self.perform(steps);
        self.emit(Insn::Call(callee));
        self.state.regs = after.regs;
        self.state.set(Reg::RESULT, dst);
    }

    /// Reads the operands of a comparison. What it tells the verifier about them, their spilled copies do not know.
    fn condition(&mut self, condition: &Condition<Val>, at: u32) -> (Condition, Vec<Reg>) {
        let a = self.read(condition.a, &[], at);
        let (b, mut locked) = self.operand(&condition.b, &[a], at);
        locked.push(a);
        if !matches!(condition.op, JumpOp::Eq | JumpOp::Ne) {
            self.state.stored.remove(&condition.a);
            if let Operand::Reg(value) = condition.b {
                self.state.stored.remove(&value);
            }
        }
        (Condition { bits: condition.bits, op: condition.op, a, b }, locked)
    }

    fn operand(&mut self, operand: &Operand<Val>, locked: &[Reg], at: u32) -> (Operand, Vec<Reg>) {
        match operand {
            Operand::Reg(value) => {
                let reg = self.read(*value, locked, at);
                (Operand::Reg(reg), vec![reg])
            }
            Operand::Imm(imm) => (Operand::Imm(*imm), Vec::new()),
        }
    }

    fn base(&mut self, base: Base, offset: i16, locked: &[Reg], at: u32) -> (insn::Base, i16) {
        match base {
            Base::Val(value) => (insn::Base::Reg(self.read(value, locked, at)), offset),
            // Frames are far smaller than an offset can say.
            Base::Slot(slot) => (insn::Base::Frame, self.frame.slot(slot) as i16 + offset),
        }
    }

    /// The register of a value, which is brought to one if it is in none.
    fn read(&mut self, value: Val, locked: &[Reg], at: u32) -> Reg {
        if let Some(reg) = self.state.reg_of(value) {
            return reg;
        }
        let from = self.source(&self.state, value);
        let to = self.take(value, locked, at);
        self.perform(vec![Move { to: Place::Reg(to), from }]);
        to
    }

    /// A register for `dst` that holds what `a` is: its own if it is not needed any more, else another with a copy.
    fn take_over(&mut self, dst: Val, a: Val, locked: &[Reg], may_be_locked: bool, at: u32) -> Reg {
        let dead = !self.is_live(a, at);
        match self.state.reg_of(a) {
            Some(reg) if dead && (may_be_locked || !locked.contains(&reg)) => {
                self.state.set(reg, Some(dst));
                reg
            }
            own => {
                let from = self.source(&self.state, a);
                let locked: Vec<Reg> = locked.iter().copied().chain(own).collect();
                let to = self.take(dst, &locked, at);
                self.perform(vec![Move { to: Place::Reg(to), from }]);
                to
            }
        }
    }

    /// A register for a value: one that is free, else that of the value whose next use is farthest away.
    fn take(&mut self, value: Val, locked: &[Reg], at: u32) -> Reg {
        let outlives = self.liveness.outlives_call[value.index()];
        let wanted = if outlives { None } else { self.argument_register(value, at) };
        let mut candidates = wanted.into_iter().chain(preference(outlives));
        let free = candidates.find(|reg| self.state.holds(*reg).is_none() && !locked.contains(reg));
        let reg = free.unwrap_or_else(|| {
            // What the instruction itself is still to read is needed at once.
            let distance = |reg: &Reg| {
                let value = self.state.holds(*reg)?;
                if self.uses.get(&value).is_some_and(|uses| uses.contains(&at)) {
                    Some(at)
                } else {
                    self.next_use(value, at)
                }
            };
            let evicted = Reg::ALL.into_iter().filter(|reg| !locked.contains(reg)).max_by_key(distance);
            let evicted = evicted.expect("an instruction locks fewer registers than there are");
            if let Some(value) = self.state.holds(evicted).filter(|&value| self.is_kept(value)) {
                let mut stored = std::mem::take(&mut self.state.stored);
                self.store(evicted, value, &mut stored);
                self.state.stored = stored;
            }
            evicted
        });
        self.state.set(reg, Some(value));
        reg
    }

    /// The register in which the next call takes the value, if that is the next use of it.
    fn argument_register(&self, value: Val, at: u32) -> Option<Reg> {
        let next = *self.uses.get(&value)?.iter().rev().find(|&&next| next >= at)?;
        match &self.function.blocks[self.block].insts.get(next as usize)?.op {
            Op::Call { arguments, .. } => {
                arguments.iter().zip(Reg::ARGUMENTS).find(|(argument, _)| **argument == value).map(|(_, reg)| reg)
            }
            _ => None,
        }
    }

    /// Copies a register to the frame unless that has been done.
    fn store(&mut self, reg: Reg, value: Val, stored: &mut BTreeSet<Val>) {
        if stored.insert(value) {
            let slot = self.slots.of(value, self.function, &self.liveness);
            self.perform(vec![Move { to: Place::Spill(slot), from: Source::Place(Place::Reg(reg)) }]);
        }
    }

    /// Where a value is found in that state.
    fn source(&self, state: &State, value: Val) -> Source {
        if let Some(reg) = state.reg_of(value) {
            return Source::Place(Place::Reg(reg));
        }
        match self.function.remat[value.index()] {
            Some(remat) => Source::Remat(remat),
            None => {
                assert!(state.stored.contains(&value), "a live value is in a register or in the frame");
                Source::Place(Place::Spill(self.slots.known(value)))
            }
        }
    }

    fn release_dead(&mut self, at: u32, op: &Op) {
        for value in op.uses() {
            if let Some(reg) = self.state.reg_of(value)
                && !self.is_live(value, at)
            {
                self.state.set(reg, None);
            }
        }
    }

    /// Whether the value is needed behind the instruction.
    fn is_live(&self, value: Val, at: u32) -> bool {
        self.next_use(value, at).is_some()
    }

    /// Whether the value must be kept somewhere while it is live.
    fn is_kept(&self, value: Val) -> bool {
        self.function.remat[value.index()].is_none()
    }

    /// The position of the next use behind the instruction, counted from the beginning of the block.
    fn next_use(&self, value: Val, at: u32) -> Option<u32> {
        let here = self.uses.get(&value).and_then(|uses| uses.iter().rev().copied().find(|&next| next > at));
        here.or_else(|| {
            let end = self.function.blocks[self.block].insts.len() as u32;
            Some(end.saturating_add(1).saturating_add(*self.liveness.at_exit[self.block].get(&value)?))
        })
    }

    fn sequence(&mut self, steps: Vec<Move>, free: &[Reg]) -> Vec<Move> {
        let slots = &mut self.slots;
        let mut spares = 0;
        moves::sequence(steps, free, || {
            spares += 1;
            slots.spare(spares - 1)
        })
    }

    fn perform(&mut self, steps: Vec<Move>) {
        for Move { to, from } in steps {
            match (to, from) {
                (Place::Reg(dst), Source::Place(Place::Reg(src))) => self.emit(mov(dst, Operand::Reg(src))),
                (Place::Reg(dst), Source::Place(Place::Spill(slot))) => {
                    let offset = self.frame.spill(slot) as i16;
                    self.emit(Insn::Load { width: Width::B8, dst, base: insn::Base::Frame, offset });
                }
                (Place::Spill(slot), Source::Place(Place::Reg(src))) => {
                    let (offset, src) = (self.frame.spill(slot) as i16, Operand::Reg(src));
                    self.emit(Insn::Store { width: Width::B8, base: insn::Base::Frame, offset, src });
                }
                (Place::Reg(dst), Source::Remat(remat)) => self.make(dst, remat),
                (Place::Spill(_), Source::Place(Place::Spill(_)) | Source::Remat(_)) => {
                    unreachable!("one side of a sequenced move is a register")
                }
            }
        }
    }

    fn make(&mut self, dst: Reg, remat: Remat) {
        match remat {
            Remat::Number(number) => match (i32::try_from(number), u32::try_from(number)) {
                (Ok(imm), _) => self.emit(mov(dst, Operand::Imm(imm))),
                (_, Ok(imm)) => {
                    let src = Operand::Imm(imm as i32);
                    self.emit(Insn::Alu { bits: Bits::B32, op: AluOp::Mov, dst, src });
                }
                _ => self.emit(Insn::LoadWide { dst, value: Wide::Number(number) }),
            },
            Remat::Map(map) => self.emit(Insn::LoadWide { dst, value: Wide::Map(map) }),
            Remat::Callback(callback) => self.emit(Insn::LoadWide { dst, value: Wide::Callback(callback) }),
            Remat::Slot(slot, offset) => {
                self.emit(Insn::FrameAddress { dst });
                let src = Operand::Imm(self.frame.slot(slot) + offset);
                self.emit(Insn::Alu { bits: Bits::B64, op: AluOp::Add, dst, src });
            }
        }
    }

    fn emit(&mut self, insn: Insn) {
        self.step(Step::Insn(insn));
    }

    fn step(&mut self, step: Step) {
        self.blocks[self.block].steps.push((step, self.span));
    }
}

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Alu { bits: Bits::B64, op: AluOp::Mov, dst, src }
}

/// Registers in the order in which a value likes them. The low argument registers come last: calls want them.
fn preference(outlives_call: bool) -> impl Iterator<Item = Reg> {
    use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9};
    let order =
        if outlives_call { [R6, R7, R8, R9, R0, R5, R4, R3, R2, R1] } else { [R0, R5, R4, R3, R2, R1, R6, R7, R8, R9] };
    order.into_iter()
}

/// Where each value is used in a block, last use first. The arguments of its edges are used at its end.
fn uses_in(function: &Function, block: usize) -> BTreeMap<Val, Vec<u32>> {
    let mut uses: BTreeMap<Val, Vec<u32>> = BTreeMap::new();
    let data = &function.blocks[block];
    let arguments = data.exit.edges().flat_map(|edge| edge.arguments.iter().copied());
    for value in data.exit.uses().into_iter().chain(arguments) {
        uses.entry(value).or_default().push(data.insts.len() as u32);
    }
    for (at, inst) in data.insts.iter().enumerate().rev() {
        for value in inst.op.uses() {
            uses.entry(value).or_default().push(at as u32);
        }
    }
    uses
}

/// The blocks that can be reached, each behind one that leads to it, and before those it leads to but for loops.
fn reverse_postorder(function: &Function) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = vec![false; function.blocks.len()];
    let mut path = vec![(0, 0)];
    seen[0] = true;
    while let Some((block, next)) = path.last_mut() {
        match function.blocks[*block].exit.edges().nth(*next) {
            Some(edge) => {
                *next += 1;
                if !std::mem::replace(&mut seen[edge.to], true) {
                    path.push((edge.to, 0));
                }
            }
            None => {
                order.push(*block);
                path.pop();
            }
        }
    }
    order.reverse();
    order
}
