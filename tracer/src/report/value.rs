//! Bytes of a [`Shape`] → a [`Value`], and how values are written and ordered.

use crate::plan::{Plan, Shape};

/// A decoded value. Values of one shape are ordered as keys are printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A number of a signed type.
    Signed(i64),
    /// A number of an unsigned type.
    Unsigned(u64),
    /// `true` or `false`.
    Bool(bool),
    /// Text, which need not be UTF-8.
    Text(Vec<u8>),
    /// Several values.
    Tuple(Vec<Value>),
    /// An address.
    Pointer(u64),
}

impl Value {
    /// Decodes what lies at the beginning of `bytes`; what is missing there counts as zero.
    pub fn decode(shape: &Shape, bytes: &[u8], plan: &Plan) -> Value {
        match *shape {
            Shape::Int { size, signed: false } => Value::Unsigned(integer(bytes, size)),
            Shape::Int { size, signed: true } => {
                let unused = 64 - 8 * u32::from(size);
                Value::Signed((integer(bytes, size) << unused) as i64 >> unused)
            }
            Shape::Bool => Value::Bool(integer(bytes, 1) != 0),
            Shape::Str { size } => {
                let text = &bytes[..bytes.len().min(size as usize)];
                Value::Text(text.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
            }
            Shape::Tuple(ref parts) => Value::Tuple(decode_parts(parts, bytes, plan)),
            Shape::Pointer => Value::Pointer(integer(bytes, 8)),
            Shape::Probe => {
                let index = integer(bytes, 8);
                named(plan.probes.get(index as usize), index)
            }
            Shape::Syscall => {
                match integer(bytes, 8) {
                    // The one call that returns without its number: it has restored the registers of before a signal.
                    u64::MAX if !plan.syscalls.is_empty() => Value::Text(b"rt_sigreturn".to_vec()),
                    number => named(plan.syscalls.get(number as usize).and_then(Option::as_ref), number),
                }
            }
        }
    }

    /// Every number in the value divided, cut off towards zero.
    pub fn divided(self, divisor: i64) -> Value {
        match self {
            Value::Signed(number) => Value::Signed(number.wrapping_div(divisor)),
            Value::Unsigned(number) => Value::Unsigned(number / divisor as u64),
            Value::Tuple(parts) => Value::Tuple(parts.into_iter().map(|part| part.divided(divisor)).collect()),
            other @ (Value::Bool(_) | Value::Text(_) | Value::Pointer(_)) => other,
        }
    }

    /// Appends the value as `print` shows it: tuples in parentheses, addresses in hexadecimal.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Signed(number) => out.extend(number.to_string().bytes()),
            Value::Unsigned(number) => out.extend(number.to_string().bytes()),
            Value::Bool(value) => out.extend(value.to_string().bytes()),
            Value::Text(text) => out.extend(text),
            Value::Pointer(address) => out.extend(format!("{address:#x}").bytes()),
            Value::Tuple(parts) => {
                out.push(b'(');
                write_parts(parts, out);
                out.push(b')');
            }
        }
    }

    /// The same as a string; what is not UTF-8 in it is replaced.
    pub fn to_text(&self) -> String {
        let mut text = Vec::new();
        self.write_text(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Appends the value as it stands between the brackets of a key: a tuple has no parentheses.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Value::Tuple(parts) => write_parts(parts, out),
            other => other.write_text(out),
        }
    }
}

/// Decodes values that lie one after the other as C would lay them out.
pub fn decode_parts(parts: &[Shape], bytes: &[u8], plan: &Plan) -> Vec<Value> {
    let at = |offset: u32| bytes.get(offset as usize..).unwrap_or_default();
    Shape::offsets(parts).map(|(offset, part)| Value::decode(part, at(offset), plan)).collect()
}

/// The name of something numbered, or the number where there is none.
fn named(name: Option<&String>, number: u64) -> Value {
    Value::Text(name.map_or_else(|| number.to_string(), String::clone).into_bytes())
}

fn write_parts(parts: &[Value], out: &mut Vec<u8>) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        part.write_text(out);
    }
}

fn integer(bytes: &[u8], size: u8) -> u64 {
    let mut word = [0; 8];
    let size = bytes.len().min(usize::from(size));
    word[..size].copy_from_slice(&bytes[..size]);
    u64::from_le_bytes(word)
}
