//! Checks a function against the IR's contract. What it finds is a mistake of ours, never of the script.

use std::collections::HashSet;

use thiserror::Error;

use super::cfg::Dominators;
use super::{Block, CompareOp, Function, Helper, Inst, Module, Runtime, SlotId, Target, Terminator, Value, Width};

/// A breach of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Breach {
    /// A function without blocks.
    #[error("there is no entry block")]
    NoEntry,
    /// The entry's parameters are not `Value` 0 and on.
    #[error("the entry block does not have v0 and on as its parameters")]
    EntryParameters,
    /// Something jumps to the entry.
    #[error("{0} jumps to the entry block")]
    JumpToEntry(Block),
    /// A value, block or slot that is not there.
    #[error("{0} names {1}, which does not exist")]
    Missing(Block, String),
    /// A value that is defined twice.
    #[error("{0} is defined a second time in {1}")]
    Redefined(Value, Block),
    /// A parameter with an instruction, or an instruction's place without one.
    #[error("{0} in {1} is a parameter and an instruction, or neither")]
    Confused(Value, Block),
    /// A use that the definition does not dominate.
    #[error("{0} is used in {1}, but not defined on every way there")]
    NotDominated(Value, Block),
    /// A jump with too many or too few arguments.
    #[error("{from} passes {passed} arguments to {to}, which has {expected} parameters")]
    Arity {
        /// Where the jump is.
        from: Block,
        /// Where it goes.
        to: Block,
        /// How many arguments it has.
        passed: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A call with too many or too few arguments.
    #[error("{value} has {given} arguments, of {expected}")]
    Arguments {
        /// The call.
        value: Value,
        /// How many it has.
        given: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A record whose size the verifier would not know.
    #[error("the size of {0} is not a constant")]
    RecordSize(Value),
    /// A record that is neither submitted nor discarded on some way to the end, or an area that is not given back.
    #[error("{0} is still held at the end of {1}")]
    Unreleased(Value, Block),
    /// An atomic addition of 1 or 2 bytes.
    #[error("{0} adds atomically to {1} bytes")]
    AtomicWidth(Value, u32),
    /// A slot whose size is no multiple of 8.
    #[error("{0} is {1} bytes long")]
    SlotSize(SlotId, u32),
    /// A direct access to a slot that is out of its bounds.
    #[error("{0} accesses bytes {1} to {2} of {3}")]
    SlotBounds(Value, i32, i32, SlotId),
    /// A switch whose cases are not in order.
    #[error("the cases in {0} are not sorted and distinct")]
    Cases(Block),
}

/// Checks every function; the error names the first breach, and the function.
pub fn verify(module: &Module) -> Result<(), (String, Breach)> {
    let all = module.functions.iter().flat_map(|function| function.callbacks.iter().chain([function]));
    all.into_iter().try_for_each(|function| check(function).map_err(|breach| (function.symbol.clone(), breach)))
}

/// Checks one function.
pub fn check(function: &Function) -> Result<(), Breach> {
    // First of all, for everything else walks along them.
    edges(function)?;
    entry(function)?;
    for (index, slot) in function.slots.iter().enumerate() {
        if slot.size == 0 || slot.size % 8 != 0 {
            return Err(Breach::SlotSize(SlotId(index as u32), slot.size));
        }
    }
    let definitions = definitions(function)?;
    let dominators = Dominators::compute(function);
    for block in function.reverse_postorder() {
        // Where in the block each use stands: definitions of the same block must come before.
        for (position, &value) in function.block(block).insts.iter().enumerate() {
            let inst = definition(function, value);
            instruction(function, block, value, inst)?;
            if is_reservation(inst) || is_claim(inst) {
                released(function, value, (block, position + 1))?;
            }
            for operand in inst.operands() {
                used(&definitions, &dominators, operand, (block, position))?;
            }
        }
        for operand in function.block(block).terminator.operands() {
            used(&definitions, &dominators, operand, (block, usize::MAX))?;
        }
    }
    Ok(())
}

/// Whether an instruction gives a record that must be given back.
fn is_reservation(inst: &Inst) -> bool {
    matches!(
        inst,
        Inst::Runtime { function: Runtime::ReserveControl, .. } | Inst::Helper { helper: Helper::RingbufReserve, .. }
    )
}

/// Whether an instruction gives an area of scratch memory, which must be given back as well.
fn is_claim(inst: &Inst) -> bool {
    matches!(inst, Inst::Runtime { function: Runtime::Claim, .. })
}

fn entry(function: &Function) -> Result<(), Breach> {
    let entry = function.blocks.first().ok_or(Breach::NoEntry)?;
    let in_order = (0..).map(Value).zip(&entry.parameters).all(|(value, &parameter)| value == parameter);
    if entry.parameters.is_empty() || !in_order {
        return Err(Breach::EntryParameters);
    }
    match function.predecessors()[0].first() {
        Some(&from) => Err(Breach::JumpToEntry(from)),
        None => Ok(()),
    }
}

/// Where each value is defined: its block, and its position there counted from 1; parameters are at 0.
fn definitions(function: &Function) -> Result<Vec<Option<(Block, usize)>>, Breach> {
    let mut definitions = vec![None; function.values.len()];
    for block in function.block_ids() {
        let data = function.block(block);
        let parameters = data.parameters.iter().map(|&value| (value, 0));
        let insts = data.insts.iter().enumerate().map(|(index, &value)| (value, index + 1));
        for (value, position) in parameters.chain(insts) {
            let place =
                definitions.get_mut(value.0 as usize).ok_or_else(|| Breach::Missing(block, value.to_string()))?;
            if place.replace((block, position)).is_some() {
                return Err(Breach::Redefined(value, block));
            }
            if function.values[value.0 as usize].inst.is_some() != (position > 0) {
                return Err(Breach::Confused(value, block));
            }
        }
    }
    Ok(definitions)
}

fn definition(function: &Function, value: Value) -> &Inst {
    function.values[value.0 as usize].inst.as_ref().expect("checked with the definitions")
}

fn edges(function: &Function) -> Result<(), Breach> {
    for block in function.block_ids() {
        let terminator = &function.block(block).terminator;
        for target in terminator.targets() {
            let to = target.block;
            let data = function.blocks.get(to.0 as usize).ok_or_else(|| Breach::Missing(block, to.to_string()))?;
            let (passed, expected) = (target.arguments.len(), data.parameters.len());
            if passed != expected {
                return Err(Breach::Arity { from: block, to, passed, expected });
            }
        }
        if let Terminator::Switch { cases, .. } = terminator
            && !cases.is_sorted_by(|(a, _), (b, _)| a < b)
        {
            return Err(Breach::Cases(block));
        }
    }
    Ok(())
}

fn instruction(function: &Function, block: Block, value: Value, inst: &Inst) -> Result<(), Breach> {
    match *inst {
        Inst::Helper { helper, ref arguments } => {
            call(value, arguments, helper.arity())?;
            let size = arguments.get(1).filter(|_| helper == Helper::RingbufReserve);
            record_size(function, value, size)
        }
        Inst::Runtime { function: callee, ref arguments } => {
            call(value, arguments, callee.arity())?;
            let size = arguments.first().filter(|_| callee == Runtime::ReserveControl);
            record_size(function, value, size)
        }
        Inst::AtomicAdd { width: width @ (Width::B1 | Width::B2), .. } => {
            Err(Breach::AtomicWidth(value, width.bytes()))
        }
        Inst::SlotAddress(slot) if slot.0 as usize >= function.slots.len() => {
            Err(Breach::Missing(block, slot.to_string()))
        }
        Inst::Load { pointer, offset, width }
        | Inst::Store { pointer, offset, width, .. }
        | Inst::AtomicAdd { pointer, offset, width, .. } => slot_access(function, value, pointer, offset, width),
        _ => Ok(()),
    }
}

/// The size of a record, where one is reserved, is a constant.
fn record_size(function: &Function, value: Value, size: Option<&Value>) -> Result<(), Breach> {
    match size.map(|&size| inst_of(function, size)) {
        None | Some(Some(Inst::Const(_))) => Ok(()),
        Some(_) => Err(Breach::RecordSize(value)),
    }
}

fn call(value: Value, arguments: &[Value], expected: usize) -> Result<(), Breach> {
    let given = arguments.len();
    if given == expected { Ok(()) } else { Err(Breach::Arguments { value, given, expected }) }
}

/// Whether a record is given back on every way from where it was reserved, but those on which it is null. On its way it
/// may become a parameter of a block.
fn released(function: &Function, reserved: Value, start: (Block, usize)) -> Result<(), Breach> {
    let is_area = inst_of(function, reserved).is_some_and(is_claim);
    let mut seen = HashSet::new();
    let mut work = vec![(start, reserved)];
    while let Some(((block, from), record)) = work.pop() {
        let gives_back = |&value: &Value| match inst_of(function, value) {
            Some(Inst::Helper { helper: Helper::RingbufSubmit | Helper::RingbufDiscard, arguments }) => {
                arguments.first() == Some(&record)
            }
            Some(Inst::Store { pointer, offset: 0, .. }) => is_area && *pointer == record,
            _ => false,
        };
        let data = function.block(block);
        if data.insts.iter().skip(from).any(gives_back) {
            continue;
        }
        let held: Vec<&Target> = match &data.terminator {
            Terminator::Return => return Err(Breach::Unreleased(reserved, block)),
            Terminator::Branch { op: CompareOp::Ne, a, b, then, .. } if is_null_test(function, record, *a, *b) => {
                vec![then]
            }
            Terminator::Branch { op: CompareOp::Eq, a, b, otherwise, .. } if is_null_test(function, record, *a, *b) => {
                vec![otherwise]
            }
            other => other.targets(),
        };
        for next in held {
            let passed = next.arguments.iter().position(|&argument| argument == record);
            let record = passed.map_or(record, |index| function.block(next.block).parameters[index]);
            if seen.insert((next.block, record)) {
                work.push(((next.block, 0), record));
            }
        }
    }
    Ok(())
}

fn is_null_test(function: &Function, record: Value, a: Value, b: Value) -> bool {
    a == record && matches!(inst_of(function, b), Some(Inst::Const(0)))
}

fn inst_of(function: &Function, value: Value) -> Option<&Inst> {
    function.values.get(value.0 as usize)?.inst.as_ref()
}

fn slot_access(function: &Function, value: Value, pointer: Value, offset: i16, width: Width) -> Result<(), Breach> {
    let Some(Inst::SlotAddress(slot)) = inst_of(function, pointer) else {
        return Ok(());
    };
    let start = i32::from(offset);
    let end = start + width.bytes() as i32;
    let size = function.slots.get(slot.0 as usize).map_or(0, |slot| slot.size as i32);
    if start < 0 || end > size { Err(Breach::SlotBounds(value, start, end, *slot)) } else { Ok(()) }
}

fn used(
    definitions: &[Option<(Block, usize)>],
    dominators: &Dominators,
    value: Value,
    (block, position): (Block, usize),
) -> Result<(), Breach> {
    match definitions.get(value.0 as usize).copied().flatten() {
        None => Err(Breach::Missing(block, value.to_string())),
        Some((defined, place)) if defined == block && place <= position => Ok(()),
        Some((defined, _)) if defined != block && dominators.dominates(defined, block) => Ok(()),
        Some(_) => Err(Breach::NotDominated(value, block)),
    }
}
