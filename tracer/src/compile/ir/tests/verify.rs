//! Each breach of the contract is found.

use crate::compile::ir::build::Builder;
use crate::compile::ir::verify::{Breach, check};
use crate::compile::ir::{
    BinaryOp, Block, CompareOp, Function, Helper, Inst, Runtime, Slot, SlotId, Target, Terminator, Value, ValueData,
    Width,
};
use crate::compile::source::Span;

/// `b0(v0): v1 = 1; v2 = v0 + v1; if v2 != v1 jump b1 else b2`, both of which return.
fn sound() -> Function {
    let mut b = Builder::new("p".into());
    let (yes, no) = (b.new_block(), b.new_block());
    let one = b.constant(1);
    let sum = b.inst(Inst::Binary { op: BinaryOp::Add, a: Value(0), b: one });
    b.branch(CompareOp::Ne, sum, one, yes, no);
    for block in [yes, no] {
        b.fill(block);
        b.ret();
    }
    b.finish()
}

fn broken(breach: Breach, change: impl FnOnce(&mut Function)) {
    let mut function = sound();
    assert_eq!(check(&function), Ok(()));
    change(&mut function);
    assert_eq!(check(&function), Err(breach));
}

fn add(function: &mut Function, block: usize, inst: Inst) -> Value {
    let value = Value(function.values.len() as u32);
    let data = crate::compile::ir::ValueData { inst: Some(inst), ..function.values[0].clone() };
    function.values.push(data);
    function.blocks[block].insts.push(value);
    value
}

#[test]
fn entry() {
    broken(Breach::NoEntry, |f| f.blocks.clear());
    broken(Breach::EntryParameters, |f| f.blocks[0].parameters.clear());
    broken(Breach::JumpToEntry(Block(1)), |f| {
        f.blocks[1].terminator = Terminator::Jump(Target { block: Block(0), arguments: vec![Value(0)] });
    });
}

#[test]
fn names() {
    broken(Breach::Missing(Block(1), "b7".into()), |f| {
        f.blocks[1].terminator = Terminator::Jump(Target { block: Block(7), arguments: vec![] });
    });
    broken(Breach::Missing(Block(0), "v1".into()), |f| {
        f.blocks[0].insts.remove(0);
    });
    broken(Breach::Missing(Block(1), "s0".into()), |f| {
        add(f, 1, Inst::SlotAddress(SlotId(0)));
    });
    broken(Breach::Redefined(Value(1), Block(1)), |f| f.blocks[1].insts.push(Value(1)));
    broken(Breach::Confused(Value(1), Block(0)), |f| f.values[1].inst = None);
}

#[test]
fn dominance() {
    // In one of two branches, used in the other; and after its use in the same block.
    broken(Breach::NotDominated(Value(3), Block(2)), |f| {
        let value = add(f, 1, Inst::Const(5));
        add(f, 2, Inst::Extend { value, width: Width::B4, signed: true });
    });
    broken(Breach::NotDominated(Value(1), Block(0)), |f| f.blocks[0].insts.swap(0, 1));
    broken(Breach::NotDominated(Value(3), Block(0)), |f| {
        let value = add(f, 1, Inst::Const(5));
        if let Terminator::Branch { a, .. } = &mut f.blocks[0].terminator {
            *a = value;
        }
    });
}

#[test]
fn arity() {
    broken(Breach::Arity { from: Block(0), to: Block(1), passed: 1, expected: 0 }, |f| {
        f.blocks[0].terminator.targets_mut()[0].arguments.push(Value(1));
    });
    broken(Breach::Arguments { value: Value(3), given: 1, expected: 0 }, |f| {
        add(f, 0, Inst::Helper { helper: Helper::KtimeGetNs, arguments: vec![Value(1)] });
    });
    broken(Breach::Arguments { value: Value(3), given: 1, expected: 4 }, |f| {
        add(f, 0, Inst::Runtime { function: Runtime::LinearIndex, arguments: vec![Value(1)] });
    });
}

/// A record of 16 bytes is reserved, and submitted where it is not null; `change` breaks that.
#[test]
fn records() {
    let reserve = |f: &mut Function, size| {
        // Neither the ring nor the flags are looked at.
        let arguments = vec![Value(1), size, Value(1)];
        let record = add(f, 0, Inst::Helper { helper: Helper::RingbufReserve, arguments });
        let zero = add(f, 0, Inst::Const(0));
        if let Terminator::Branch { a, b, .. } = &mut f.blocks[0].terminator {
            (*a, *b) = (record, zero);
        }
        (record, zero)
    };
    let submit = |f: &mut Function, block, record, zero| {
        add(f, block, Inst::Helper { helper: Helper::RingbufSubmit, arguments: vec![record, zero] });
    };
    let mut good = sound();
    let (record, zero) = reserve(&mut good, Value(1));
    submit(&mut good, 1, record, zero);
    assert_eq!(check(&good), Ok(()));

    // The same when it arrives as a parameter.
    let pass = |f: &mut Function, record| {
        f.values.push(ValueData { inst: None, span: Span::default() });
        let parameter = Value(f.values.len() as u32 - 1);
        f.blocks[1].parameters.push(parameter);
        f.blocks[0].terminator.targets_mut()[0].arguments.push(record);
        parameter
    };
    let mut passed = sound();
    let (record, zero) = reserve(&mut passed, Value(1));
    let parameter = pass(&mut passed, record);
    submit(&mut passed, 1, parameter, zero);
    assert_eq!(check(&passed), Ok(()));

    broken(Breach::Unreleased(Value(3), Block(1)), |f| {
        let (record, _) = reserve(f, Value(1));
        pass(f, record);
    });
    broken(Breach::Unreleased(Value(3), Block(1)), |f| {
        reserve(f, Value(1));
    });
    broken(Breach::Unreleased(Value(3), Block(1)), |f| {
        let (record, zero) = reserve(f, Value(1));
        submit(f, 2, record, zero);
    });
    broken(Breach::RecordSize(Value(3)), |f| {
        let (record, zero) = reserve(f, Value(2));
        submit(f, 1, record, zero);
    });
}

#[test]
fn memory() {
    let access = |offset| {
        move |f: &mut Function| {
            f.slots.push(Slot { size: 16 });
            let pointer = add(f, 0, Inst::SlotAddress(SlotId(0)));
            add(f, 0, Inst::Load { pointer, offset, width: Width::B8 });
        }
    };
    broken(Breach::SlotBounds(Value(4), 12, 20, SlotId(0)), access(12));
    broken(Breach::SlotBounds(Value(4), -8, 0, SlotId(0)), access(-8));
    broken(Breach::SlotSize(SlotId(0), 12), |f| f.slots.push(Slot { size: 12 }));
    broken(Breach::AtomicWidth(Value(3), 2), |f| {
        add(f, 0, Inst::AtomicAdd { pointer: Value(0), offset: 0, width: Width::B2, value: Value(1) });
    });
}

#[test]
fn switches() {
    broken(Breach::Cases(Block(0)), |f| {
        let target = |block| Target { block: Block(block), arguments: vec![] };
        let cases = vec![(2, target(1)), (1, target(2))];
        f.blocks[0].terminator = Terminator::Switch { value: Value(1), cases, default: target(1) };
    });
}
