//! Bytes of a [`Shape`] → a [`Value`], and how values are written and ordered.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Buf;
use tracer_common::stack::StackId;

use super::world::Names;
use crate::plan::{Bits, Member, Shape};

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
    /// A number that stands for a name, if it has one.
    Enum(i64, Option<String>),
    /// Elements in a row.
    Array(Vec<Value>),
    /// Named values.
    Record(Vec<(String, Value)>),
    /// Bytes of any kind.
    Buffer(Vec<u8>),
}

impl Value {
    /// Decodes what lies at the beginning of `bytes`; what is missing there counts as zero.
    pub fn decode(shape: &Shape, bytes: &[u8], names: Names<'_>) -> Value {
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
            Shape::Tuple(ref parts) => Value::Tuple(decode_parts(parts, bytes, names)),
            Shape::Pointer => Value::Pointer(integer(bytes, 8)),
            Shape::Probe => text(names.probe(integer(bytes, 8))),
            Shape::Syscall => text(names.syscall(integer(bytes, 8))),
            Shape::Name(ref naming) => text(names.named(naming, integer(bytes, 8))),
            Shape::Buffer { size } => {
                let length = (integer(bytes, 4) as usize).min(size as usize);
                Value::Buffer(bytes.iter().skip(4).take(length).copied().collect())
            }
            Shape::Inet => text(inet(bytes)),
            Shape::Mac => {
                let bytes: Vec<String> = bytes.iter().take(6).map(|byte| format!("{byte:02X}")).collect();
                text(bytes.join(":"))
            }
            Shape::Stack(frames) => {
                let id = StackId { digest: integer(bytes, 8), frames: integer(bytes.get(8..).unwrap_or_default(), 8) };
                text(names.world.stack(id, frames))
            }
            Shape::Enum { size, signed, ref names } => {
                let bits = Bits { shift: 0, width: 8 * size };
                let number = bits.of(integer(bytes, size), signed) as i64;
                let name = names.iter().find(|&&(known, _)| known == number).map(|(_, name)| name.clone());
                Value::Enum(number, name)
            }
            Shape::Array { ref element, length } => {
                let size = element.size() as usize;
                let at = |index: usize| bytes.get(index * size..).unwrap_or_default();
                Value::Array((0..length as usize).map(|index| Value::decode(element, at(index), names)).collect())
            }
            Shape::Record { ref members, .. } => Value::Record(
                members.iter().map(|member| (member.name.clone(), decode_member(member, bytes, names))).collect(),
            ),
        }
    }

    /// Every number in the value divided, cut off towards zero.
    pub fn divided(self, divisor: i64) -> Value {
        match self {
            Value::Signed(number) => Value::Signed(number.wrapping_div(divisor)),
            Value::Unsigned(number) => Value::Unsigned(number / divisor as u64),
            Value::Tuple(parts) => Value::Tuple(parts.into_iter().map(|part| part.divided(divisor)).collect()),
            other @ (Value::Bool(_)
            | Value::Text(_)
            | Value::Pointer(_)
            | Value::Enum(..)
            | Value::Array(_)
            | Value::Record(_)
            | Value::Buffer(_)) => other,
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
            Value::Buffer(bytes) => out.extend(escaped(bytes).bytes()),
            Value::Tuple(parts) => {
                out.push(b'(');
                write_parts(parts, out);
                out.push(b')');
            }
            Value::Enum(number, name) => match name {
                Some(name) => out.extend(name.bytes()),
                None => out.extend(number.to_string().bytes()),
            },
            Value::Array(elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    element.write_text(out);
                }
                out.push(b']');
            }
            Value::Record(members) => {
                out.extend(b"{ ");
                for (index, (name, member)) in members.iter().enumerate() {
                    out.extend(format!("{}.{name} = ", if index > 0 { ", " } else { "" }).bytes());
                    member.write_text(out);
                }
                out.extend(b" }");
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
pub fn decode_parts(parts: &[Shape], bytes: &[u8], names: Names<'_>) -> Vec<Value> {
    let at = |offset: u32| bytes.get(offset as usize..).unwrap_or_default();
    Shape::offsets(parts).map(|(offset, part)| Value::decode(part, at(offset), names)).collect()
}

/// Decodes the arguments of a record that is short: see [`Shape::sent`].
pub fn decode_sent(parts: &[Shape], bytes: &[u8], names: Names<'_>) -> Vec<Value> {
    if parts.iter().all(|part| part.sent_behind() == 0) {
        return decode_parts(parts, bytes, names);
    }
    let sent: Vec<Shape> = parts.iter().map(Shape::sent).collect();
    let behind = Shape::Tuple(sent.clone()).size().next_multiple_of(8);
    let mut behind = bytes.get(behind as usize..).unwrap_or_default();
    decode_sent_parts((parts, &sent), bytes, &mut behind, names)
}

fn decode_sent_parts(
    (parts, sent): (&[Shape], &[Shape]),
    bytes: &[u8],
    behind: &mut &[u8],
    names: Names<'_>,
) -> Vec<Value> {
    let decode = |(part, (offset, sent)): (&Shape, (u32, &Shape))| {
        let bytes = bytes.get(offset as usize..).unwrap_or_default();
        match (part, sent) {
            (Shape::Str { .. }, Shape::Int { .. }) => {
                let (text, rest) = behind.split_at((integer(bytes, 4) as usize).min(behind.len()));
                *behind = rest;
                Value::decode(part, text, names)
            }
            (Shape::Tuple(parts), Shape::Tuple(sent)) => {
                Value::Tuple(decode_sent_parts((parts, sent), bytes, behind, names))
            }
            _ => Value::decode(part, bytes, names),
        }
    };
    parts.iter().zip(Shape::offsets(sent)).map(decode).collect()
}

fn decode_member(member: &Member, bytes: &[u8], names: Names<'_>) -> Value {
    let bytes = bytes.get(member.offset as usize..).unwrap_or_default();
    let Some(bits) = member.bits else { return Value::decode(&member.shape, bytes, names) };
    let signed = matches!(member.shape, Shape::Int { signed: true, .. } | Shape::Enum { signed: true, .. });
    let integer = bits.of(integer(bytes, member.shape.size() as u8), signed);
    Value::decode(&member.shape, &integer.to_le_bytes(), names)
}

/// Bytes as text: what is not printable ASCII as `\x01`.
pub fn escaped(bytes: &[u8]) -> String {
    let show = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(show).collect()
}

fn text(text: String) -> Value {
    Value::Text(text.into_bytes())
}

/// The text of an address, as inet_ntop(3) gives it; of an unknown family, nothing.
fn inet(bytes: &[u8]) -> String {
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    let address: [u8; 16] = std::array::from_fn(|at| bytes.get(8 + at).copied().unwrap_or(0));
    let [a, b, c, d, ..] = address;
    match integer(bytes, 8) {
        AF_INET => Ipv4Addr::new(a, b, c, d).to_string(),
        AF_INET6 => Ipv6Addr::from(address).to_string(),
        _ => String::new(),
    }
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
    let size = bytes.len().min(usize::from(size));
    (&bytes[..size]).get_uint_le(size)
}
