//! Format strings of `printf`: taken apart, and checked against the types of the arguments.
//!
//! What is no conversion stands for itself, as in bpftrace: `%q` is printed as it is. A precision has no effect there
//! (neither on numbers nor on texts); the plan carries it all the same. How much of a number is looked at is said by the
//! length before the conversion, and is 4 bytes without one.

use super::types::Ty;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;
use crate::plan::{Conversion, Format, Piece};

/// Takes `text`, which stands at `at`, apart and checks it against the arguments' types.
pub fn parse(text: &str, at: Span, arguments: &[(Ty, Span)], call: Span) -> Result<Format, Vec<Diagnostic>> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut literal = String::new();
    let mut conversions = Vec::new();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        literal.push_str(&rest[..percent]);
        rest = &rest[percent..];
        match specification(rest) {
            Some((Specification::Percent, length)) => {
                literal.push('%');
                rest = &rest[length..];
            }
            Some((Specification::Argument(piece), length)) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                let Piece::Argument { conversion, .. } = piece else { unreachable!("an argument") };
                conversions.push((conversion, &rest[..length]));
                pieces.push(piece);
                rest = &rest[length..];
            }
            None => {
                literal.push('%');
                rest = &rest[1..];
            }
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    if conversions.len() != arguments.len() {
        let how = if arguments.len() < conversions.len() { "not enough" } else { "too many" };
        let error = Diagnostic::error(call, format!("{how} arguments for the format"))
            .also(at, format!("{} expected", conversions.len()))
            .label(format!("{} given", arguments.len()));
        return Err(vec![match unknown(text) {
            Some(unknown) if arguments.len() > conversions.len() => {
                error.help(format!("`{unknown}` is no conversion: it is printed as it is"))
            }
            _ => error,
        }]);
    }
    let mut errors = Vec::new();
    for ((conversion, written), (ty, span)) in conversions.into_iter().zip(arguments) {
        if !takes(conversion, ty) {
            let error = Diagnostic::error(*span, format!("`{written}` cannot print a value of type `{ty}`"));
            let error = error.also(at, "in this format");
            errors.push(if matches!(ty, Ty::Void | Ty::Args | Ty::Array(..)) { error } else { error.help("use `%s`") });
        }
    }
    if errors.is_empty() { Ok(Format { pieces }) } else { Err(errors) }
}

/// What looks like a conversion, and is none.
fn unknown(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        rest = &rest[percent..];
        match specification(rest) {
            Some((_, length)) => rest = &rest[length..],
            None => {
                let letter = rest[1..].find(|c: char| c.is_ascii_alphabetic() && !"hlLjzt".contains(c));
                return letter.map(|at| &rest[..at + 2]);
            }
        }
    }
    None
}

fn takes(conversion: Conversion, ty: &Ty) -> bool {
    match conversion {
        Conversion::Text => ty.shape().is_some(),
        Conversion::Escaped | Conversion::Hexadecimal | Conversion::Spaced => matches!(ty, Ty::Buffer(_)),
        _ => matches!(ty, Ty::Int { .. } | Ty::Bool | Ty::Enum { .. } | Ty::Pointer { .. }),
    }
}

enum Specification {
    Percent,
    Argument(Piece),
}

/// The specification that `text`, which begins with `%`, begins with, and its length in bytes.
fn specification(text: &str) -> Option<(Specification, usize)> {
    let letters = text.as_bytes();
    let mut at = 1;
    let (mut left, mut zero, mut plus, mut space, mut alternate) = (false, false, false, false, false);
    while let Some(flag) = letters.get(at) {
        match flag {
            b'-' => left = true,
            b'0' => zero = true,
            b'+' => plus = true,
            b' ' => space = true,
            b'#' => alternate = true,
            _ => break,
        }
        at += 1;
    }
    let width = digits(text, &mut at)?;
    let mut precision = None;
    if letters.get(at) == Some(&b'.') {
        at += 1;
        precision = digits(text, &mut at)?;
    }
    let modifiers = at;
    while matches!(letters.get(at), Some(b'h' | b'l' | b'L' | b'j' | b'z' | b't')) {
        at += 1;
    }
    let bytes = match &text[modifiers..at] {
        "hh" => 1,
        "h" => 2,
        "l" | "ll" | "j" | "z" | "t" => 8,
        _ => 4,
    };
    let conversion = match letters.get(at)? {
        b'%' => return Some((Specification::Percent, at + 1)),
        b'd' | b'i' => Conversion::Signed,
        b'u' => Conversion::Unsigned,
        b'x' => Conversion::Hex,
        b'X' => Conversion::HexUpper,
        b'o' => Conversion::Octal,
        b'p' => Conversion::Pointer,
        b'c' => Conversion::Char,
        b's' => Conversion::Text,
        b'r' => match letters.get(at + 1) {
            Some(b'x') => Conversion::Hexadecimal,
            Some(b'h') => Conversion::Spaced,
            _ => Conversion::Escaped,
        },
        b'g' if letters.get(at + 1) == Some(&b'r') => Conversion::AllocationFlags,
        _ => return None,
    };
    let letters_of_two = [Conversion::Hexadecimal, Conversion::Spaced, Conversion::AllocationFlags];
    at += usize::from(letters_of_two.contains(&conversion));
    let piece = Piece::Argument { left, zero, plus, space, alternate, width, precision, bytes, conversion };
    Some((Specification::Argument(piece), at + 1))
}

/// A number, if there is one; `None` if it is none that a field can have.
fn digits(text: &str, at: &mut usize) -> Option<Option<u32>> {
    let end = text[*at..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |length| *at + length);
    if end == *at {
        return Some(None);
    }
    let number = text[*at..end].parse().ok().filter(|&width: &u32| width <= 4096)?;
    *at = end;
    Some(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, types: &[Ty]) -> Vec<String> {
        let arguments: Vec<(Ty, Span)> = types.iter().map(|ty| (ty.clone(), Span::default())).collect();
        let format = parse(text, Span::default(), &arguments, Span::default()).unwrap();
        let show = |piece: Piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Argument { left, zero, plus, space, alternate, width, conversion, .. } => {
                let flags = [(left, "-"), (zero, "0"), (plus, "+"), (space, " "), (alternate, "#")];
                let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
                format!("{flags}{}{conversion:?}", width.map_or(String::new(), |width| width.to_string()))
            }
        };
        format.pieces.into_iter().map(show).collect()
    }

    fn errors(text: &str, types: &[Ty]) -> Vec<String> {
        let arguments: Vec<(Ty, Span)> = types.iter().map(|ty| (ty.clone(), Span::default())).collect();
        let errors = parse(text, Span::default(), &arguments, Span::default()).unwrap_err();
        errors.into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn conversions_have_flags_and_widths() {
        assert_eq!(
            pieces("%d %-5s|%05d\n", &[Ty::I64, Ty::Str(16), Ty::U32]),
            ["Signed", "\" \"", "-5Text", "\"|\"", "05Signed", "\"\\n\""]
        );
        assert_eq!(pieces("%#x%llu%p", &[Ty::I64, Ty::U64, Ty::U64]), ["#Hex", "Unsigned", "Pointer"]);
    }

    #[test]
    fn what_is_no_conversion_stands_for_itself() {
        assert_eq!(pieces("100%% %q %", &[]), ["\"100% %q %\""]);
    }

    #[test]
    fn texts_and_tuples_are_printed_with_s_only() {
        assert_eq!(errors("%d", &[Ty::Str(16)]), ["`%d` cannot print a value of type `string[16]`"]);
        let tuple = Ty::Tuple(vec![Ty::I64, Ty::Bool]);
        assert_eq!(errors("%x", std::slice::from_ref(&tuple)), ["`%x` cannot print a value of type `(int64,bool)`"]);
        assert_eq!(pieces("%s%s%d", &[tuple, Ty::I64, Ty::Bool]), ["Text", "Text", "Signed"]);
    }

    #[test]
    fn arguments_are_counted() {
        assert_eq!(errors("%d %s", &[Ty::I64]), ["not enough arguments for the format"]);
        assert_eq!(errors("%q", &[Ty::I64]), ["too many arguments for the format"]);
    }

    #[test]
    fn the_length_says_how_many_bytes_are_looked_at() {
        let arguments = vec![(Ty::I64, Span::default()); 5];
        let format = parse("%hhd %hx %d %ld %.3zu", Span::default(), &arguments, Span::default()).unwrap();
        let seen = format.pieces.iter().filter_map(|piece| match piece {
            Piece::Argument { bytes, precision, .. } => Some((*bytes, *precision)),
            Piece::Text(_) => None,
        });
        assert_eq!(seen.collect::<Vec<_>>(), [(1, None), (2, None), (4, None), (8, None), (8, Some(3))]);
    }
}
