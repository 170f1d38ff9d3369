//! IR by hand: a function block by block.

use crate::compile::ir::{
    BinaryOp, Block, BlockData, CompareOp, Function, Helper, Inst, MapRef, Runtime, Slot, SlotId, Target, Terminator,
    Value, ValueData, Width,
};
use crate::compile::source::Span;
use crate::plan::MapId;

/// A function in the making; instructions go to the block that was entered last.
pub struct Builder {
    function: Function,
    current: Block,
}

impl Builder {
    /// A function of one empty block, which has been entered.
    pub fn new(symbol: &str) -> Self {
        let entry =
            BlockData { parameters: Vec::new(), insts: Vec::new(), terminator: Terminator::Return, cold: false };
        let function = Function {
            symbol: symbol.to_owned(),
            blocks: vec![entry],
            values: Vec::new(),
            slots: Vec::new(),
            callbacks: Vec::new(),
        };
        let mut builder = Self { function, current: Block(0) };
        builder.parameter(Block(0));
        builder
    }

    pub const CONTEXT: Value = Value(0);

    pub fn block(&mut self) -> Block {
        let block =
            BlockData { parameters: Vec::new(), insts: Vec::new(), terminator: Terminator::Return, cold: false };
        self.function.blocks.push(block);
        Block(self.function.blocks.len() as u32 - 1)
    }

    pub fn cold_block(&mut self) -> Block {
        let block = self.block();
        self.function.blocks[block.0 as usize].cold = true;
        block
    }

    pub fn parameter(&mut self, block: Block) -> Value {
        let value = self.value(None);
        self.function.blocks[block.0 as usize].parameters.push(value);
        value
    }

    pub fn slot(&mut self, size: u32) -> SlotId {
        self.function.slots.push(Slot { size });
        SlotId(self.function.slots.len() as u32 - 1)
    }

    pub fn enter(&mut self, block: Block) {
        self.current = block;
    }

    pub fn inst(&mut self, inst: Inst) -> Value {
        let value = self.value(Some(inst));
        self.function.blocks[self.current.0 as usize].insts.push(value);
        value
    }

    pub fn number(&mut self, number: i64) -> Value {
        self.inst(Inst::Const(number))
    }

    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        self.inst(Inst::Binary { op, a, b })
    }

    pub fn add(&mut self, a: Value, number: i64) -> Value {
        let number = self.number(number);
        self.binary(BinaryOp::Add, a, number)
    }

    pub fn compare(&mut self, op: CompareOp, a: Value, b: Value) -> Value {
        self.inst(Inst::Compare { op, a, b })
    }

    pub fn extend(&mut self, value: Value, width: Width, signed: bool) -> Value {
        self.inst(Inst::Extend { value, width, signed })
    }

    pub fn load(&mut self, pointer: Value, offset: i16, width: Width) -> Value {
        self.inst(Inst::Load { pointer, offset, width })
    }

    pub fn store(&mut self, pointer: Value, offset: i16, width: Width, value: Value) {
        self.inst(Inst::Store { pointer, offset, width, value });
    }

    pub fn atomic_add(&mut self, pointer: Value, offset: i16, width: Width, value: Value) {
        self.inst(Inst::AtomicAdd { pointer, offset, width, value });
    }

    pub fn address(&mut self, slot: SlotId) -> Value {
        self.inst(Inst::SlotAddress(slot))
    }

    pub fn map(&mut self, map: u32) -> Value {
        self.inst(Inst::MapReference(MapRef::Script(MapId(map))))
    }

    pub fn helper(&mut self, helper: Helper, arguments: &[Value]) -> Value {
        self.inst(Inst::Helper { helper, arguments: arguments.to_vec() })
    }

    pub fn runtime(&mut self, function: Runtime, arguments: &[Value]) -> Value {
        self.inst(Inst::Runtime { function, arguments: arguments.to_vec() })
    }

    pub fn jump(&mut self, block: Block, arguments: &[Value]) {
        self.terminate(Terminator::Jump(target(block, arguments)));
    }

    pub fn branch(&mut self, op: CompareOp, a: Value, b: Value, then: Target, otherwise: Target) {
        self.terminate(Terminator::Branch { op, a, b, then, otherwise });
    }

    pub fn switch(&mut self, value: Value, cases: &[(i64, Target)], default: Target) {
        self.terminate(Terminator::Switch { value, cases: cases.to_vec(), default });
    }

    pub fn finish(self) -> Function {
        self.function
    }

    fn terminate(&mut self, terminator: Terminator) {
        self.function.blocks[self.current.0 as usize].terminator = terminator;
    }

    fn value(&mut self, inst: Option<Inst>) -> Value {
        self.function.values.push(ValueData { inst, span: Span::default() });
        Value(self.function.values.len() as u32 - 1)
    }
}

pub fn target(block: Block, arguments: &[Value]) -> Target {
    Target { block, arguments: arguments.to_vec() }
}
