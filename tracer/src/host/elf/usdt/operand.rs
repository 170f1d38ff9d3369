//! An argument's place as a note writes it: `SIZE@OPERAND`, the operand as GNU's assembler for x86-64 (AT&T) has it.
//!
//! | written | means |
//! |---|---|
//! | `8@%rdi`, `-4@%eax`, `1@%ah` | a register, or a part of one; a size with a minus is that of a signed number |
//! | `-4@$5`, `8@$0x10` | a number |
//! | `4@-8(%rbp)`, `8@(%rax,%rbx,4)`, `8@16(,%rbx,8)` | in memory |
//! | `4@name(%rip)`, `4@40+name(%rip)`, `4@name+40(%rip)` | in memory, where the linker has put a symbol |

use super::{Argument, Operand};

/// An argument whose symbol, if it has one, is to be looked up.
pub struct Parsed<'n> {
    /// The symbol that its address is relative to.
    pub symbol: Option<&'n str>,
    argument: Argument,
}

impl Parsed<'_> {
    /// With the symbol's distance from the probe's place, which is where `%rip` points.
    pub fn resolve(self, distance: impl Fn(&str) -> Option<i64>) -> Result<Argument, String> {
        let Some(symbol) = self.symbol else { return Ok(self.argument) };
        let distance = distance(symbol).ok_or_else(|| format!("the file has no symbol `{symbol}`"))?;
        match self.argument.operand {
            Operand::Memory { base, index, offset } => {
                let operand = Operand::Memory { base, index, offset: offset.wrapping_add(distance) };
                Ok(Argument { operand, ..self.argument })
            }
            Operand::Constant(_) | Operand::Register { .. } => Ok(self.argument),
        }
    }
}

/// Each argument of a note. Spaces are between them; within parentheses they mean nothing.
pub fn split(arguments: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    arguments
        .split(move |c: char| {
            inside = (inside || c == '(') && c != ')';
            c == ' ' && !inside
        })
        .filter(|argument| !argument.is_empty())
}

/// Reads one argument; the error says why it is not understood.
pub fn parse(text: &str) -> Result<Parsed<'_>, String> {
    let wrong = |why: &str| format!("`{text}` {why}");
    let (size, place) = text.split_once('@').ok_or_else(|| wrong("has no size"))?;
    if size.ends_with('f') || place.starts_with("%xmm") || place.starts_with("%st") {
        return Err(wrong("is a floating-point number"));
    }
    let (signed, digits) = size.strip_prefix('-').map_or((false, size), |digits| (true, digits));
    let size = match digits {
        "1" => 1,
        "2" => 2,
        "4" => 4,
        "8" => 8,
        _ => return Err(wrong("has a size that no number has")),
    };
    let argument = |operand| Argument { size, signed, operand };
    let plain = |operand| Ok(Parsed { symbol: None, argument: argument(operand) });
    if let Some(constant) = place.strip_prefix('$') {
        return plain(Operand::Constant(number(constant).ok_or_else(|| wrong("is not a number"))?));
    }
    if place.starts_with('%') && !place.contains(':') {
        let (register, shift) = register(place).ok_or_else(|| wrong("is in a register that cannot be read"))?;
        return plain(Operand::Register { register, shift });
    }
    if place.starts_with('%') {
        return Err(wrong("is in another segment"));
    }
    let (displacement, registers) = place.split_once('(').ok_or_else(|| wrong("is not an operand"))?;
    let registers = registers.strip_suffix(')').ok_or_else(|| wrong("is cut off"))?;
    let (symbol, offset) = displacement_of(displacement).ok_or_else(|| wrong("is not an operand"))?;
    let mut parts = registers.split(',').map(str::trim);
    let whole = |name: &str| match name {
        "%rip" => Some("ip"),
        name => {
            register(name).filter(|_| name.starts_with("%r") && !name.ends_with(['d', 'w', 'b'])).map(|(name, _)| name)
        }
    };
    let not_address = || wrong("has registers that are none of an address");
    let base = match parts.next() {
        None | Some("") => None,
        Some(name) => Some(whole(name).ok_or_else(not_address)?),
    };
    let index = match parts.next() {
        None => None,
        Some(name) => Some(whole(name).filter(|name| *name != "ip" && *name != "sp").ok_or_else(not_address)?),
    };
    let scale = match parts.next() {
        None | Some("1") => 1,
        Some("2") => 2,
        Some("4") => 4,
        Some("8") => 8,
        Some(_) => return Err(wrong("has a scale that no address has")),
    };
    if parts.next().is_some() || symbol.is_some() != (base == Some("ip")) {
        return Err(wrong("is not an operand"));
    }
    let operand = Operand::Memory { base, index: index.map(|index| (index, scale)), offset };
    Ok(Parsed { symbol, argument: argument(operand) })
}

/// `-8`, `name`, `name+8`, `8+name`: a symbol, and a number.
fn displacement_of(text: &str) -> Option<(Option<&str>, i64)> {
    if text.is_empty() {
        return Some((None, 0));
    }
    if let Some(offset) = number(text) {
        return Some((None, offset));
    }
    let is_symbol = |text: &str| {
        !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(['+', '@', '%', ' '])
    };
    if let Some((left, right)) = text.split_once('+') {
        return match (number(left), number(right)) {
            (Some(offset), None) if is_symbol(right) => Some((Some(right), offset)),
            (None, Some(offset)) if is_symbol(left) => Some((Some(left), offset)),
            _ => None,
        };
    }
    if let Some((symbol, offset)) = text.rsplit_once('-')
        && let Some(offset) = number(offset)
    {
        return is_symbol(symbol).then_some((Some(symbol), -offset));
    }
    is_symbol(text).then_some((Some(text), 0))
}

/// `5`, `-5`, `0x10`; what fills 64 bits as an unsigned number is one, too.
fn number(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    Some(if negative { (value as i64).wrapping_neg() } else { value as i64 })
}

/// The register that a name means, and the bit of it where that begins.
fn register(name: &str) -> Option<(&'static str, u8)> {
    /// Of 64, 32, 16 and 8 bits, the high half of 16 bits, and what `struct pt_regs` calls it.
    const OLD: [(&str, &str, &str, &str, &str, &str); 8] = [
        ("rax", "eax", "ax", "al", "ah", "ax"),
        ("rbx", "ebx", "bx", "bl", "bh", "bx"),
        ("rcx", "ecx", "cx", "cl", "ch", "cx"),
        ("rdx", "edx", "dx", "dl", "dh", "dx"),
        ("rsi", "esi", "si", "sil", "", "si"),
        ("rdi", "edi", "di", "dil", "", "di"),
        ("rbp", "ebp", "bp", "bpl", "", "bp"),
        ("rsp", "esp", "sp", "spl", "", "sp"),
    ];
    const NEW: [&str; 8] = ["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    let name = name.strip_prefix('%').filter(|name| !name.is_empty())?;
    let old = OLD.iter().find_map(|&(quad, double, word, low, high, known)| match name {
        _ if name == high => Some((known, 8)),
        _ if [quad, double, word, low].contains(&name) => Some((known, 0)),
        _ => None,
    });
    old.or_else(|| {
        let whole = name.strip_suffix(['d', 'w', 'b']).unwrap_or(name);
        NEW.iter().find(|known| **known == whole).map(|known| (*known, 0))
    })
}
