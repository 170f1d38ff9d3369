//! Generated code as text, for `--emit bpf`: source, labels, and names for whatever is called and addressed.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::insn::{AluOp, Base, Bits, Callee, Condition, Insn, JumpOp, Operand, Reg, SLOT, Variable, Wide};
use super::layout::Line;
use super::maps::MapDefinition;
use super::{Code, Object, Program, maps};
use crate::compile::ir::{MapRef, Width};
use crate::compile::source::{Source, Span};
use crate::plan::MapId;

/// All programs of an object, with the source that their instructions come from, the maps and the functions linked to them.
/// `names` are those of the script's maps.
pub fn disassemble(object: &Object, names: &[&str], source: &Source) -> String {
    let mut text = String::new();
    for program in &object.programs {
        text += &disassemble_program(program, names, source);
        text.push('\n');
    }
    for (map, name) in object.maps.iter().zip(names) {
        let MapDefinition { kind, key_size, value_size, max_entries, .. } = map;
        let kind = helper_name(&format!("{kind:?}")).replace('_', " ");
        let entries = if *max_entries == 0 { String::new() } else { format!(", {max_entries} entries") };
        text += &format!("; {name}: {kind}{entries}, keys of {key_size} bytes, values of {value_size}\n");
    }
    for (symbol, function) in &object.functions {
        text += &format!("; {symbol}: {} instructions of the runtime library\n", function.code.len() / SLOT);
    }
    text
}

fn disassemble_program(program: &Program, names: &[&str], source: &Source) -> String {
    let callbacks =
        program.callbacks.iter().map(|callback| disassemble_code(callback, &callback.symbol, names, source) + "\n");
    callbacks.chain([disassemble_code(&program.code, &program.section, names, source)]).collect()
}

fn disassemble_code(code: &Code, name: &str, names: &[&str], source: &Source) -> String {
    let Code { frame, lines, encoded, inlined, .. } = code;
    let slots = encoded.bytes.len() / SLOT;
    let inlined = match inlined.as_slice() {
        [] => String::new(),
        symbols => format!(", {} inlined", symbols.join(", ")),
    };
    format!("{name}: {slots} instructions, {frame} bytes of frame{inlined}\n{}", listing(lines, names, source))
}

/// Instructions, with labels where jumps go to and the source where it changes.
pub(super) fn listing(lines: &[Line], names: &[&str], source: &Source) -> String {
    let labels = labels(lines);
    let mut text = String::new();
    let mut shown = Span::default();
    for (index, (insn, span)) in lines.iter().enumerate() {
        if let Some(label) = labels.get(&index) {
            text += &format!("L{label}:\n");
        }
        if *span != shown && *span != Span::default() {
            text += &format!("  ; {}\n", excerpt(source, *span));
        }
        shown = *span;
        let (instruction, meaning) = (instruction(insn, names, &labels), meaning(insn));
        text += &match meaning {
            Some(meaning) => format!("    {instruction:<40} ; {meaning}\n"),
            None => format!("    {instruction}\n"),
        };
    }
    text
}

/// The lines that are jumped to, numbered from the top.
fn labels(lines: &[Line]) -> BTreeMap<usize, usize> {
    let mut labels: BTreeMap<usize, usize> = lines
        .iter()
        .filter_map(|(insn, _)| match insn {
            Insn::Jump { to } | Insn::Branch { to, .. } => Some((*to, 0)),
            _ => None,
        })
        .collect();
    labels.values_mut().zip(1..).for_each(|(label, number)| *label = number);
    labels
}

/// The first line of a span, with its place.
fn excerpt(source: &Source, span: Span) -> String {
    let text = source.text.get(span.range()).unwrap_or_default();
    let (number, _) = source.line_and_column(span.start);
    let first = text.lines().next().unwrap_or_default().trim_end();
    let more = if text.lines().nth(1).is_some() { " …" } else { "" };
    format!("{number}: {first}{more}")
}

/// What is likely behind a number: letters that are compared, or written, several at a time.
fn meaning(insn: &Insn) -> Option<String> {
    /// Fewer letters are found in too many numbers.
    const LEAST: usize = 3;
    let number = match *insn {
        Insn::LoadWide { value: Wide::Number(number), .. } => number as u64,
        Insn::Alu { op: AluOp::Mov, src: Operand::Imm(number), .. }
        | Insn::Store { src: Operand::Imm(number), .. }
        | Insn::Branch { condition: Condition { b: Operand::Imm(number), .. }, .. } => u64::try_from(number).ok()?,
        _ => return None,
    };
    let bytes = number.to_le_bytes();
    let text = std::str::from_utf8(&bytes).ok()?.trim_end_matches('\0');
    let is_text = text.len() >= LEAST && text.chars().all(|letter| letter.is_ascii_graphic() || letter == ' ');
    is_text.then(|| format!("{text:?}"))
}

fn instruction(insn: &Insn, names: &[&str], labels: &BTreeMap<usize, usize>) -> String {
    let map = |map: MapId| names.get(map.0 as usize).map_or_else(|| maps::symbol(map), |name| (*name).to_owned());
    match *insn {
        Insn::Alu { bits, op: AluOp::Mov, dst, src } => format!("{} = {}", name(dst, bits), operand(src, bits)),
        Insn::Alu { bits, op, dst, src } => format!("{} {}= {}", name(dst, bits), arithmetic(op), operand(src, bits)),
        Insn::Neg { dst } => format!("{0} = -{0}", name(dst, Bits::B64)),
        Insn::FrameAddress { dst } => format!("{} = fp", name(dst, Bits::B64)),
        Insn::LoadWide { dst, value } => {
            let value = match value {
                Wide::Number(number) => format!("{number:#x}"),
                Wide::Map(MapRef::Script(id)) => map(id),
                Wide::Map(MapRef::Front(id)) => format!("front of {}", map(id)),
                Wide::Map(MapRef::Keys(id)) => format!("keys of {}", map(id)),
                Wide::Map(MapRef::Runtime(symbol)) => symbol.to_owned(),
                Wide::Address(Variable::Generation(id)) => format!("&generation of {}", map(id)),
                Wide::Address(Variable::StartTime) => "&start time".to_owned(),
                Wide::Address(Variable::UnknownZero) => "&unknown zero".to_owned(),
                Wide::Callback(callback) => format!("&{callback}"),
            };
            format!("{} = {value}", name(dst, Bits::B64))
        }
        Insn::Load { width, dst, base, offset } => {
            format!("{} = {}", name(dst, Bits::B64), memory(width, base, offset))
        }
        Insn::Store { width, base, offset, src } => {
            format!("{} = {}", memory(width, base, offset), operand(src, Bits::B64))
        }
        Insn::AtomicAdd { bits, base, offset, src } => {
            let width = match bits {
                Bits::B32 => Width::B4,
                Bits::B64 => Width::B8,
            };
            format!("lock {} += {}", memory(width, base, offset), name(src, Bits::B64))
        }
        Insn::Jump { to } => format!("goto L{}", labels[&to]),
        Insn::Branch { condition: Condition { bits, op, a, b }, to } => {
            format!("if {} {} {} goto L{}", name(a, bits), relation(op), operand(b, bits), labels[&to])
        }
        Insn::Call(Callee::Helper(helper)) => format!("call {}", helper_name(&format!("{helper:?}"))),
        Insn::Call(Callee::Runtime(function)) => format!("call {}", function.symbol()),
        Insn::Exit => "exit".to_owned(),
    }
}

fn name(reg: Reg, bits: Bits) -> String {
    match bits {
        Bits::B32 => format!("w{}", reg as u8),
        Bits::B64 => format!("r{}", reg as u8),
    }
}

fn operand(operand: Operand, bits: Bits) -> String {
    match operand {
        Operand::Reg(reg) => name(reg, bits),
        Operand::Imm(imm) => imm.to_string(),
    }
}

fn memory(width: Width, base: Base, offset: i16) -> String {
    let width = match width {
        Width::B1 => "u8",
        Width::B2 => "u16",
        Width::B4 => "u32",
        Width::B8 => "u64",
    };
    let base = match base {
        Base::Reg(reg) => name(reg, Bits::B64),
        Base::Frame => "fp".to_owned(),
    };
    let sign = if offset < 0 { '-' } else { '+' };
    format!("*({width} *)({base} {sign} {})", offset.unsigned_abs())
}

fn arithmetic(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+",
        AluOp::Sub => "-",
        AluOp::Mul => "*",
        AluOp::Div => "/",
        AluOp::Or => "|",
        AluOp::And => "&",
        AluOp::Lsh => "<<",
        AluOp::Rsh => ">>",
        AluOp::Mod => "%",
        AluOp::Xor => "^",
        AluOp::Mov => "",
        AluOp::Arsh => "s>>",
    }
}

fn relation(op: JumpOp) -> &'static str {
    match op {
        JumpOp::Eq => "==",
        JumpOp::Gt => ">",
        JumpOp::Ge => ">=",
        JumpOp::Set => "&",
        JumpOp::Ne => "!=",
        JumpOp::Sgt => "s>",
        JumpOp::Sge => "s>=",
        JumpOp::Lt => "<",
        JumpOp::Le => "<=",
        JumpOp::Slt => "s<",
        JumpOp::Sle => "s<=",
    }
}

/// `GetCurrentPidTgid` → `get_current_pid_tgid`, as the kernel writes it.
fn helper_name(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        _ = write!(name, "{}", letter.to_ascii_lowercase());
    }
    name
}
