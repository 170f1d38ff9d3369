//! A parsed format and decoded arguments → text, by the rules that bpftrace 0.27 prints by.
//!
//! They differ from C's: `%s` takes anything, precision and the flag ` ` have no effect, and `0` fills the field with
//! zeros whatever stands in it, so that -5 as `%05d` is `000-5`.

use super::value::{Value, escaped};
use crate::plan::{Conversion, Format, Piece, numbers};

/// What `printf` prints. Arguments that are missing print as nothing.
pub fn render(format: &Format, arguments: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut arguments = arguments.iter();
    for piece in &format.pieces {
        match *piece {
            Piece::Text(ref text) => out.extend(text.bytes()),
            Piece::Argument { left, zero, plus, space: _, alternate, width, precision: _, bytes, conversion } => {
                let Some(argument) = arguments.next() else { continue };
                let text = convert(argument, conversion, bytes, plus, alternate);
                let room = (width.unwrap_or(0) as usize).saturating_sub(text.len());
                let fill = vec![if zero { b'0' } else { b' ' }; room];
                let (first, second) = if left { (text, fill) } else { (fill, text) };
                out.extend(first);
                out.extend(second);
            }
        }
    }
    out
}

fn convert(argument: &Value, conversion: Conversion, bytes: u8, plus: bool, alternate: bool) -> Vec<u8> {
    let unused = 64 - 8 * u32::from(bytes);
    let unsigned = number(argument) << unused >> unused;
    let prefix = |prefix| if alternate && unsigned != 0 { prefix } else { "" };
    let text = match conversion {
        Conversion::Signed => {
            let signed = (number(argument) << unused) as i64 >> unused;
            if plus { format!("{signed:+}") } else { signed.to_string() }
        }
        Conversion::Unsigned => unsigned.to_string(),
        Conversion::Hex => format!("{}{unsigned:x}", prefix("0x")),
        Conversion::HexUpper => format!("{}{unsigned:X}", prefix("0X")),
        Conversion::Octal => format!("{}{unsigned:o}", prefix("0")),
        Conversion::Pointer => match number(argument) {
            0 => "0".to_owned(),
            address => format!("{address:#x}"),
        },
        Conversion::Char => return vec![number(argument) as u8],
        Conversion::AllocationFlags => numbers::allocation_flags(number(argument)),
        Conversion::Escaped => escaped(bytes_of(argument)),
        Conversion::Hexadecimal => bytes_of(argument).iter().map(|byte| format!("\\x{byte:02x}")).collect(),
        Conversion::Spaced => {
            let bytes: Vec<String> = bytes_of(argument).iter().map(|byte| format!("{byte:02x}")).collect();
            bytes.join(" ")
        }
        Conversion::Text => {
            let mut text = Vec::new();
            argument.write_text(&mut text);
            return text;
        }
    };
    text.into_bytes()
}

/// The bits of a number; what is not a number, which analysis does not let through, counts as 0.
fn number(value: &Value) -> u64 {
    match *value {
        Value::Signed(number) => number as u64,
        Value::Unsigned(number) | Value::Pointer(number) => number,
        Value::Bool(value) => u64::from(value),
        Value::Enum(number, _) => number as u64,
        Value::Text(_) | Value::Tuple(_) | Value::Array(_) | Value::Record(_) | Value::Buffer(_) => 0,
    }
}

/// The bytes of a buffer; what is none, which analysis does not let through, has none.
fn bytes_of(value: &Value) -> &[u8] {
    match value {
        Value::Buffer(bytes) => bytes,
        _ => &[],
    }
}
