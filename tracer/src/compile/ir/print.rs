//! The IR as text, for `--emit ir` and tests. Numbers and addresses stand where they are used, not where they are made.

use std::fmt::{self, Display, Formatter};

use super::{
    BinaryOp, Block, BlockData, CallbackId, CompareOp, Function, Helper, Inst, MapRef, Module, SlotId, Target,
    Terminator, Value, Width,
};

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, function) in self.functions.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{function}")?;
        }
        Ok(())
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, callback) in self.callbacks.iter().enumerate() {
            callback.print(f, &format!("callback {} of {}", CallbackId(index as u32), self.symbol))?;
        }
        self.print(f, &format!("program {}", self.symbol))
    }
}

impl Function {
    fn print(&self, f: &mut Formatter<'_>, heading: &str) -> fmt::Result {
        writeln!(f, "{heading} {{")?;
        for (index, slot) in self.slots.iter().enumerate() {
            writeln!(f, "  slot {}: {} bytes", SlotId(index as u32), slot.size)?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            self.print_block(f, Block(index as u32), block)?;
        }
        writeln!(f, "}}")
    }

    fn print_block(&self, f: &mut Formatter<'_>, name: Block, block: &BlockData) -> fmt::Result {
        write!(f, "  {name}")?;
        if !block.parameters.is_empty() {
            write!(f, "({})", list(block.parameters.iter()))?;
        }
        writeln!(f, "{}:", if block.cold { " cold" } else { "" })?;
        for &value in &block.insts {
            let Some(inst) = &self.values[value.0 as usize].inst else { continue };
            if !is_inline(inst) {
                writeln!(f, "    {}", self.inst(value, inst))?;
            }
        }
        writeln!(f, "    {}", self.terminator(&block.terminator))
    }

    fn inst(&self, value: Value, inst: &Inst) -> String {
        let operand = |value| self.operand(value);
        let operands = |values: &[Value]| list(values.iter().map(|&value| operand(value)));
        let text = match inst {
            Inst::Const(_) | Inst::SlotAddress(_) | Inst::MapReference(_) | Inst::CallbackAddress(_) => operand(value),
            Inst::Binary { op, a, b } => format!("{} {}, {}", binary(*op), operand(*a), operand(*b)),
            Inst::Compare { op, a, b } => format!("{} {}, {}", compare(*op), operand(*a), operand(*b)),
            Inst::Extend { value, width, signed } => {
                format!("extend {}{} {}", if *signed { "i" } else { "u" }, width.bytes() * 8, operand(*value))
            }
            Inst::Load { pointer, offset, width } => format!("load {width} {}", self.place(*pointer, *offset)),
            Inst::Store { pointer, offset, width, value } => {
                return format!("store {width} {}, {}", self.place(*pointer, *offset), operand(*value));
            }
            Inst::AtomicAdd { pointer, offset, width, value } => {
                return format!("atomic_add {width} {}, {}", self.place(*pointer, *offset), operand(*value));
            }
            Inst::Generation(map) => format!("generation map_{}", map.0),
            Inst::StartTime => "start_time".into(),
            Inst::UnknownZero => "unknown_zero".into(),
            Inst::Helper { helper, arguments } => format!("{helper}({})", operands(arguments)),
            Inst::Runtime { function, arguments } => format!("{}({})", function.symbol(), operands(arguments)),
        };
        format!("{value} = {text}")
    }

    fn place(&self, pointer: Value, offset: i16) -> String {
        match offset {
            0 => format!("[{}]", self.operand(pointer)),
            _ => format!("[{} {offset:+}]", self.operand(pointer)),
        }
    }

    fn operand(&self, value: Value) -> String {
        match self.values.get(value.0 as usize).and_then(|data| data.inst.as_ref()) {
            Some(Inst::Const(number)) => number.to_string(),
            Some(Inst::SlotAddress(slot)) => format!("&{slot}"),
            Some(Inst::CallbackAddress(callback)) => format!("&{callback}"),
            Some(Inst::MapReference(MapRef::Script(map))) => format!("map_{}", map.0),
            Some(Inst::MapReference(MapRef::Front(map))) => format!("front_{}", map.0),
            Some(Inst::MapReference(MapRef::Keys(map))) => format!("keys_{}", map.0),
            Some(Inst::MapReference(MapRef::Runtime(name))) => (*name).into(),
            _ => value.to_string(),
        }
    }

    fn target(&self, target: &Target) -> String {
        match target.arguments[..] {
            [] => target.block.to_string(),
            ref arguments => format!("{}({})", target.block, list(arguments.iter().map(|&value| self.operand(value)))),
        }
    }

    /// Consecutive cases with one target as a range.
    fn cases(&self, cases: &[(i64, Target)]) -> String {
        let together = |a: &(i64, Target), b: &(i64, Target)| a.0.checked_add(1) == Some(b.0) && a.1 == b.1;
        list(cases.chunk_by(together).map(|run| {
            let (first, last, target) = (run[0].0, run[run.len() - 1].0, self.target(&run[0].1));
            if first == last { format!("{first}: {target}") } else { format!("{first}..={last}: {target}") }
        }))
    }

    fn terminator(&self, terminator: &Terminator) -> String {
        match terminator {
            Terminator::Jump(target) => format!("jump {}", self.target(target)),
            Terminator::Branch { op, a, b, then, otherwise } => format!(
                "if {} {}, {} jump {} else {}",
                compare(*op),
                self.operand(*a),
                self.operand(*b),
                self.target(then),
                self.target(otherwise)
            ),
            Terminator::Switch { value, cases, default } => {
                format!("switch {} [{}] else {}", self.operand(*value), self.cases(cases), self.target(default))
            }
            Terminator::Return => "return".into(),
            Terminator::Stop => "stop".into(),
        }
    }
}

/// Whether an instruction is printed at its uses.
fn is_inline(inst: &Inst) -> bool {
    matches!(inst, Inst::Const(_) | Inst::SlotAddress(_) | Inst::MapReference(_) | Inst::CallbackAddress(_))
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Display for Block {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

impl Display for SlotId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl Display for CallbackId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl Display for Width {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.bytes() * 8)
    }
}

/// As in `bpf_…`: `map_lookup_elem`.
impl Display for Helper {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, letter) in format!("{self:?}").char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                write!(f, "_")?;
            }
            write!(f, "{}", letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

fn binary(op: BinaryOp) -> String {
    format!("{op:?}").to_lowercase()
}

fn compare(op: CompareOp) -> String {
    format!("{op:?}").to_lowercase()
}
