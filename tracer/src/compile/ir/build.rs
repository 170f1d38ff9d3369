//! Builds one function, block after block, in SSA form from the start.
//!
//! Variables become values as in Braun et al., "Simple and Efficient Construction of Static Single Assignment Form":
//! reading one looks for the last write along the ways to the current block, and gives a block a parameter where ways
//! with different values meet. A block is filled after all jumps to it have been made, so a parameter is never
//! provisional; and dominance is known while building, so what was computed before can be used again.

use std::collections::HashMap;

use super::cfg::Dominators;
use super::fold::{Folded, fold};
use super::{
    BinaryOp, Block, BlockData, CompareOp, Function, Helper, Inst, MapRef, Runtime, Slot, SlotId, Target, Terminator,
    Value, ValueData, Width,
};
use crate::compile::source::Span;
use crate::plan::MapId;

/// A variable of the source: not a value, but a series of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variable(u32);

/// A function in the making.
pub struct Builder {
    function: Function,
    /// The block being filled; `None` after a terminator.
    current: Option<Block>,
    predecessors: Vec<Vec<Block>>,
    dominators: Dominators,
    variables: u32,
    /// The value of a variable at the end of a block.
    written: HashMap<(Variable, Block), Value>,
    free_slots: Vec<SlotId>,
    /// The program's context pointer, in a program its parameter.
    context: Value,
    /// Where instructions come from until it is set again.
    pub span: Span,
}

impl Builder {
    /// A function with an entry block, which is being filled; its parameter is [`Builder::context`].
    pub fn new(symbol: String) -> Self {
        Self::with_parameters(symbol, 1)
    }

    /// The same with so many parameters, `Value` 0 and on.
    pub fn with_parameters(symbol: String, parameters: u32) -> Self {
        let function =
            Function { symbol, blocks: Vec::new(), values: Vec::new(), slots: Vec::new(), callbacks: Vec::new() };
        let mut builder = Self {
            function,
            current: None,
            predecessors: Vec::new(),
            dominators: Dominators::default(),
            variables: 0,
            written: HashMap::new(),
            free_slots: Vec::new(),
            context: Value(0),
            span: Span::default(),
        };
        let entry = builder.new_block();
        (0..parameters).for_each(|_| _ = builder.parameter(entry));
        builder.fill(entry);
        builder
    }

    /// The finished function. Every block that is jumped to must have been filled.
    pub fn finish(self) -> Function {
        self.function
    }

    /// The context pointer.
    pub fn context(&self) -> Value {
        self.context
    }

    /// This is the context pointer, here and from here on.
    pub fn set_context(&mut self, context: Value) {
        self.context = context;
    }

    // ---- blocks ----

    /// A block to be filled later.
    pub fn new_block(&mut self) -> Block {
        let block = Block(self.function.blocks.len() as u32);
        let data = BlockData { parameters: Vec::new(), insts: Vec::new(), terminator: Terminator::Return, cold: false };
        self.function.blocks.push(data);
        self.predecessors.push(Vec::new());
        block
    }

    /// The same, not expected to run.
    pub fn new_cold_block(&mut self) -> Block {
        let block = self.new_block();
        self.function.blocks[block.0 as usize].cold = true;
        block
    }

    /// Adds a parameter to a block that nothing jumps to yet.
    pub fn parameter(&mut self, block: Block) -> Value {
        debug_assert!(self.predecessors[block.0 as usize].is_empty());
        let value = self.define(None);
        self.function.blocks[block.0 as usize].parameters.push(value);
        value
    }

    /// Goes on in `block`, to which all jumps have been made. If there are none, code is unreachable from here on.
    pub fn fill(&mut self, block: Block) {
        debug_assert!(self.current.is_none(), "the block before has no terminator");
        let predecessors = &self.predecessors[block.0 as usize];
        if predecessors.is_empty() && block != Block(0) {
            return;
        }
        self.dominators.add(block, predecessors);
        self.current = Some(block);
    }

    /// Interrupts the filling of a block, if one is being filled, until it is resumed.
    pub fn leave(&mut self) -> Option<Block> {
        self.current.take()
    }

    /// Goes on where filling was interrupted.
    pub fn resume(&mut self, block: Option<Block>) {
        debug_assert!(self.current.is_none(), "the block before has no terminator");
        self.current = block;
    }

    /// Whether there is a block being filled.
    pub fn reachable(&self) -> bool {
        self.current.is_some()
    }

    /// The block being filled.
    pub fn current(&self) -> Block {
        self.current.expect("code is made only where it can be reached")
    }

    /// Whether all ways to the current block lead through `block`.
    pub fn dominated_by(&self, block: Block) -> bool {
        self.dominators.dominates(block, self.current())
    }

    /// Ends the block with a jump.
    pub fn jump(&mut self, block: Block, arguments: &[Value]) {
        self.terminate(Terminator::Jump(target(block, arguments)));
    }

    /// Ends the block with a branch.
    pub fn branch(&mut self, op: CompareOp, a: Value, b: Value, then: Block, otherwise: Block) {
        self.terminate(Terminator::Branch { op, a, b, then: target(then, &[]), otherwise: target(otherwise, &[]) });
    }

    /// The same with the value's being zero as the relation.
    pub fn branch_if(&mut self, value: Value, then: Block, otherwise: Block) {
        let zero = self.constant(0);
        self.branch(CompareOp::Ne, value, zero, then, otherwise);
    }

    /// Ends the program.
    pub fn ret(&mut self) {
        self.terminate(Terminator::Return);
    }

    /// Ends a callback, which is not called again.
    pub fn stop(&mut self) {
        self.terminate(Terminator::Stop);
    }

    /// Ends the block.
    pub fn terminate(&mut self, terminator: Terminator) {
        let block = self.current();
        for target in terminator.targets() {
            self.predecessors[target.block.0 as usize].push(block);
        }
        self.function.blocks[block.0 as usize].terminator = terminator;
        self.current = None;
    }

    /// Takes back a branch, to blocks that nothing else leads to: the block goes on to `then`, and a call is not made that has
    /// decided it.
    pub fn undo_branch(&mut self, block: Block, call: Value, then: Block, otherwise: Block) {
        let data = &mut self.function.blocks[block.0 as usize];
        let decided = std::mem::replace(&mut data.terminator, Terminator::Jump(target(then, &[]))).operands();
        debug_assert!(decided.contains(&call));
        data.insts.retain(|value| !decided.contains(value));
        self.predecessors[otherwise.0 as usize].clear();
    }

    // ---- values ----

    /// Appends an instruction, or finds that its value is known.
    pub fn inst(&mut self, inst: Inst) -> Value {
        let values = &self.function.values;
        match fold(&inst, |value| values[value.0 as usize].inst.as_ref()) {
            Some(Folded::Const(number)) => self.append(Inst::Const(number)),
            Some(Folded::Same(value)) => value,
            None => self.append(inst),
        }
    }

    fn append(&mut self, inst: Inst) -> Value {
        let block = self.current();
        let value = self.define(Some(inst));
        self.function.blocks[block.0 as usize].insts.push(value);
        value
    }

    fn define(&mut self, inst: Option<Inst>) -> Value {
        let value = Value(self.function.values.len() as u32);
        self.function.values.push(ValueData { inst, span: self.span });
        value
    }

    /// The number, if a value is one.
    pub fn as_constant(&self, value: Value) -> Option<i64> {
        match self.function.values[value.0 as usize].inst {
            Some(Inst::Const(number)) => Some(number),
            _ => None,
        }
    }

    /// A number.
    pub fn constant(&mut self, number: i64) -> Value {
        self.inst(Inst::Const(number))
    }

    /// `a op b`. Powers of two are multiplied and divided by with shifts: a division takes some thirty cycles.
    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        let commutes = matches!(op, BinaryOp::Add | BinaryOp::Mul | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor);
        let (a, b) = if commutes && self.as_constant(a).is_some() { (b, a) } else { (a, b) };
        let power = self.as_constant(b).map(|n| n as u64).filter(|n| n.is_power_of_two());
        match (op, power) {
            (BinaryOp::Mul, Some(n)) => self.binary_with(BinaryOp::Shl, a, n.trailing_zeros().into()),
            (BinaryOp::UDiv, Some(n)) => self.binary_with(BinaryOp::Shr, a, n.trailing_zeros().into()),
            (BinaryOp::UMod, Some(n)) => self.binary_with(BinaryOp::And, a, (n - 1) as i64),
            _ => self.inst(Inst::Binary { op, a, b }),
        }
    }

    /// `a op number`.
    pub fn binary_with(&mut self, op: BinaryOp, a: Value, number: i64) -> Value {
        let b = self.constant(number);
        self.inst(Inst::Binary { op, a, b })
    }

    /// 1 or 0.
    pub fn compare(&mut self, op: CompareOp, a: Value, b: Value) -> Value {
        self.inst(Inst::Compare { op, a, b })
    }

    /// The low `width` of a value, extended.
    pub fn extend(&mut self, value: Value, width: Width, signed: bool) -> Value {
        self.inst(Inst::Extend { value, width, signed })
    }

    /// Reads memory.
    pub fn load(&mut self, pointer: Value, offset: impl Into<i32>, width: Width) -> Value {
        let (pointer, offset) = self.near(pointer, offset.into());
        self.inst(Inst::Load { pointer, offset, width })
    }

    /// Writes memory.
    pub fn store(&mut self, pointer: Value, offset: impl Into<i32>, width: Width, value: Value) {
        let (pointer, offset) = self.near(pointer, offset.into());
        self.inst(Inst::Store { pointer, offset, width, value });
    }

    /// The same place, at an offset that an instruction can say.
    pub fn near(&mut self, pointer: Value, offset: i32) -> (Value, i16) {
        match i16::try_from(offset) {
            Ok(offset) => (pointer, offset),
            Err(_) => (self.binary_with(BinaryOp::Add, pointer, offset.into()), 0),
        }
    }

    /// Calls a helper of the kernel.
    pub fn helper(&mut self, helper: Helper, arguments: &[Value]) -> Value {
        self.inst(Inst::Helper { helper, arguments: arguments.to_vec() })
    }

    /// Calls a function of the runtime library.
    pub fn runtime(&mut self, function: Runtime, arguments: &[Value]) -> Value {
        self.inst(Inst::Runtime { function, arguments: arguments.to_vec() })
    }

    /// The generation that an aggregation is updated in.
    pub fn generation(&mut self, map: MapId) -> Value {
        self.inst(Inst::Generation(map))
    }

    /// When the script began.
    pub fn start_time(&mut self) -> Value {
        self.inst(Inst::StartTime)
    }

    /// 0, which the verifier does not know.
    pub fn unknown_zero(&mut self) -> Value {
        self.inst(Inst::UnknownZero)
    }

    /// One of the script's maps.
    pub fn map(&mut self, map: MapId) -> Value {
        self.inst(Inst::MapReference(MapRef::Script(map)))
    }

    /// The table before one of them.
    pub fn front(&mut self, map: MapId) -> Value {
        self.inst(Inst::MapReference(MapRef::Front(map)))
    }

    /// The list of a map's keys.
    pub fn keys(&mut self, map: MapId) -> Value {
        self.inst(Inst::MapReference(MapRef::Keys(map)))
    }

    // ---- slots ----

    /// Memory in the frame, of at least so many bytes: a slot that was released, or a new one.
    pub fn slot(&mut self, size: u32) -> SlotId {
        let size = size.next_multiple_of(8).max(8);
        let slots = &self.function.slots;
        let fitting = (0..self.free_slots.len())
            .filter(|&index| slots[self.free_slots[index].0 as usize].size >= size)
            .min_by_key(|&index| slots[self.free_slots[index].0 as usize].size);
        if let Some(index) = fitting {
            return self.free_slots.swap_remove(index);
        }
        self.function.slots.push(Slot { size });
        SlotId(self.function.slots.len() as u32 - 1)
    }

    /// Whether a slot has been released that holds so many bytes.
    pub fn has_free_slot(&self, size: u32) -> bool {
        self.free_slots.iter().any(|slot| self.function.slots[slot.0 as usize].size >= size)
    }

    /// Bytes of all slots.
    pub fn slots_size(&self) -> u32 {
        self.function.slots.iter().map(|slot| slot.size).sum()
    }

    /// The slot's contents are not needed any more.
    pub fn release(&mut self, slot: SlotId) {
        debug_assert!(!self.free_slots.contains(&slot));
        self.free_slots.push(slot);
    }

    /// The address of a slot.
    pub fn slot_address(&mut self, slot: SlotId) -> Value {
        self.inst(Inst::SlotAddress(slot))
    }

    // ---- variables ----

    /// A variable. It must be written on every way to where it is read.
    pub fn variable(&mut self) -> Variable {
        self.variables += 1;
        Variable(self.variables - 1)
    }

    /// From here on the variable has this value.
    pub fn write(&mut self, variable: Variable, value: Value) {
        let block = self.current();
        self.written.insert((variable, block), value);
    }

    /// The variable's value here.
    pub fn read(&mut self, variable: Variable) -> Value {
        self.read_at(variable, self.current())
    }

    /// The variable's value at the end of a block.
    fn read_at(&mut self, variable: Variable, block: Block) -> Value {
        // Up the chain of blocks with a single way in; a loop, because unrolled scripts make long chains.
        let mut chain = Vec::new();
        let mut at = block;
        let value = loop {
            if let Some(&value) = self.written.get(&(variable, at)) {
                break value;
            }
            chain.push(at);
            match self.predecessors[at.0 as usize][..] {
                [] => unreachable!("a variable is written before it is read"),
                [only] => at = only,
                _ => break self.join(variable, at),
            }
        };
        for block in chain {
            self.written.insert((variable, block), value);
        }
        value
    }

    /// The variable's value at the start of a block where ways meet.
    fn join(&mut self, variable: Variable, block: Block) -> Value {
        let predecessors = self.predecessors[block.0 as usize].clone();
        let values: Vec<Value> = predecessors.iter().map(|&from| self.read_at(variable, from)).collect();
        if values.iter().all(|&value| value == values[0]) {
            return values[0];
        }
        let parameter = self.define(None);
        self.function.blocks[block.0 as usize].parameters.push(parameter);
        // A predecessor with two edges to the block is listed twice, and gets its argument on both at its first turn.
        let mut done: Vec<Block> = Vec::new();
        for (from, value) in predecessors.into_iter().zip(values) {
            if done.contains(&from) {
                continue;
            }
            done.push(from);
            for target in self.function.blocks[from.0 as usize].terminator.targets_mut() {
                if target.block == block {
                    target.arguments.push(value);
                }
            }
        }
        parameter
    }
}

fn target(block: Block, arguments: &[Value]) -> Target {
    Target { block, arguments: arguments.to_vec() }
}
