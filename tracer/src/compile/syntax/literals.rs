//! The values of literals: `0x1f`, `1e6`, `5ms`, `"a\n"`, `'a'`.

use super::MAX_ERRORS;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

/// What may stand behind a number and multiplies it: durations, as nanoseconds.
const DURATIONS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A number's value, and whether a suffix marks it unsigned.
pub(super) fn integer(text: &str, span: Span) -> Result<(u64, bool), Diagnostic> {
    let too_large = || Diagnostic::error(span, "this number does not fit in 64 bits").label("the largest is 2^64 - 1");

    let (radix, digits_from) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, 2),
        [b'0', b'0'..=b'9' | b'_', ..] => (8, 1),
        _ => (10, 0),
    };
    let belongs = |c: char| c == '_' || if radix == 16 { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
    let body = &text[digits_from..];
    let (digits, mut suffix) = body.split_at(body.find(|c| !belongs(c)).unwrap_or(body.len()));
    if digits.ends_with('_') {
        return Err(Diagnostic::error(span, "a number cannot end in `_`"));
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() {
        return Err(Diagnostic::error(span, "hexadecimal digits must follow `0x`"));
    }
    if radix == 8 && digits.contains(['8', '9']) {
        return Err(Diagnostic::error(span, "a number that begins with 0 is octal")
            .label("8 and 9 are no octal digits")
            .help("leave out the leading 0 for a decimal number"));
    }
    let mut value = u64::from_str_radix(&digits, radix).map_err(|_| too_large())?;

    if radix == 10 && suffix.starts_with(['e', 'E']) {
        let exponent = &suffix[1..];
        let (digits, rest) = exponent.split_at(exponent.find(|c| !belongs(c)).unwrap_or(exponent.len()));
        if digits.is_empty() || digits.ends_with('_') {
            return Err(Diagnostic::error(span, "an exponent is missing: 1e6 is a million"));
        }
        let power = digits.replace('_', "").parse().ok().and_then(|exponent| 10u64.checked_pow(exponent));
        value = power.and_then(|power| value.checked_mul(power)).ok_or_else(too_large)?;
        suffix = rest;
    }

    if let Some((_, factor)) = DURATIONS.iter().find(|(name, _)| *name == suffix) {
        return value.checked_mul(*factor).map(|value| (value, false)).ok_or_else(too_large);
    }
    match suffix.to_ascii_lowercase().as_str() {
        "" | "l" | "ll" => Ok((value, false)),
        "u" | "ul" | "ull" | "lu" | "llu" => Ok((value, true)),
        _ => {
            let at = Span::new(span.range().end - suffix.len(), span.range().end);
            Err(Diagnostic::error(at, format!("a number cannot end in `{suffix}`"))
                .help("numbers may end in ns, us, ms, s, m, h, d (durations) or u, l, ul, ull"))
        }
    }
}

/// A string's text with its escapes resolved. `text` is what was written, quotes included; what is wrong in it goes to
/// `errors`. Escapes make bytes; the bytes must be UTF-8 in the end.
pub(super) fn string(text: &str, span: Span, errors: &mut Vec<Diagnostic>) -> String {
    let mut inner = &text[1..];
    let mut at = span.range().start + 1;
    let mut value = Vec::with_capacity(inner.len());
    let quote = text.chars().next().expect("a literal begins with its quote");
    while let Some(c) = inner.chars().next() {
        if c == quote {
            break;
        }
        let length = if c == '\\' {
            match escape(inner) {
                Ok((byte, length)) => {
                    value.push(byte);
                    length
                }
                Err((_, length)) if errors.len() >= MAX_ERRORS => length,
                Err((message, length)) => {
                    let span = Span::new(at, at + length);
                    errors.push(
                        Diagnostic::error(span, message)
                            .help("the escapes are \\n \\t \\r \\\\ \\\" \\0…\\377 (octal) and \\x00…\\xff"),
                    );
                    length
                }
            }
        } else {
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            c.len_utf8()
        };
        at += length;
        inner = &inner[length..];
    }
    String::from_utf8(value).unwrap_or_else(|error| {
        errors.push(Diagnostic::error(span, "the escapes in this string do not make UTF-8 text"));
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    })
}

/// A character's number: `'a'` is 97.
pub(super) fn character(text: &str, span: Span, errors: &mut Vec<Diagnostic>) -> u64 {
    let value = string(text, span, errors);
    let mut characters = value.chars();
    match (characters.next(), characters.next()) {
        (Some(c), None) => u64::from(u32::from(c)),
        _ => {
            // An unclosed one has been reported by the lexer.
            if text.len() > 1 && text.ends_with('\'') {
                errors.push(
                    Diagnostic::error(span, "single quotes hold exactly one character")
                        .help("strings stand between double quotes: \"text\""),
                );
            }
            0
        }
    }
}

/// The byte an escape stands for, and its length in the source; or what is wrong with it.
fn escape(text: &str) -> Result<(u8, usize), (String, usize)> {
    let Some(kind) = text[1..].chars().next() else { return Err(("a `\\` at the end of a string".into(), 1)) };
    let simple = match kind {
        'n' => Some(b'\n'),
        't' => Some(b'\t'),
        'r' => Some(b'\r'),
        '"' => Some(b'"'),
        '\'' => Some(b'\''),
        '\\' => Some(b'\\'),
        _ => None,
    };
    if let Some(byte) = simple {
        return Ok((byte, 2));
    }
    let (from, radix, most) = match kind {
        '0'..='7' => (1, 8, 3),
        'x' | 'X' => (2, 16, 2),
        _ => return Err((format!("unknown escape `\\{kind}`"), 1 + kind.len_utf8())),
    };
    let digits: String = text[from..].chars().take(most).take_while(|c| c.is_digit(radix)).collect();
    let length = from + digits.len();
    if digits.is_empty() {
        return Err(("hexadecimal digits must follow `\\x`".into(), length));
    }
    match u32::from_str_radix(&digits, radix).ok().and_then(|value| u8::try_from(value).ok()) {
        Some(byte) => Ok((byte, length)),
        None => Err((format!("`{}` is larger than a byte", &text[..length]), length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<(u64, bool), String> {
        integer(text, Span::new(0, text.len())).map_err(|error| error.message)
    }

    #[test]
    fn numbers_in_every_base() {
        assert_eq!(value("42"), Ok((42, false)));
        assert_eq!(value("1_000_000"), Ok((1_000_000, false)));
        assert_eq!(value("0"), Ok((0, false)));
        assert_eq!(value("0755"), Ok((0o755, false)));
        assert_eq!(value("0xffff_ffff_ffff_ffff"), Ok((u64::MAX, false)));
        assert_eq!(value("18446744073709551615"), Ok((u64::MAX, false)));
        assert_eq!(value("1e6"), Ok((1_000_000, false)));
        assert_eq!(value("9E18"), Ok((9_000_000_000_000_000_000, false)));
        assert_eq!(value("0x1e6"), Ok((0x1e6, false)));
    }

    #[test]
    fn suffixes_mark_and_multiply() {
        assert_eq!(value("5u"), Ok((5, true)));
        assert_eq!(value("5ULL"), Ok((5, true)));
        assert_eq!(value("5l"), Ok((5, false)));
        assert_eq!(value("0x10ul"), Ok((16, true)));
        assert_eq!(value("7ns"), Ok((7, false)));
        assert_eq!(value("7us"), Ok((7_000, false)));
        assert_eq!(value("7ms"), Ok((7_000_000, false)));
        assert_eq!(value("7s"), Ok((7_000_000_000, false)));
        assert_eq!(value("7m"), Ok((420_000_000_000, false)));
        assert_eq!(value("7h"), Ok((25_200_000_000_000, false)));
        assert_eq!(value("7d"), Ok((604_800_000_000_000, false)));
        assert_eq!(value("1e3ms"), Ok((1_000_000_000, false)));
    }

    #[test]
    fn numbers_that_are_none() {
        let errors = ["18446744073709551616", "1e20", "584543d", "0x", "08", "1_", "1e", "12abc", "1S"]
            .map(|text| value(text).unwrap_err());
        assert_eq!(
            errors,
            [
                "this number does not fit in 64 bits",
                "this number does not fit in 64 bits",
                "this number does not fit in 64 bits",
                "hexadecimal digits must follow `0x`",
                "a number that begins with 0 is octal",
                "a number cannot end in `_`",
                "an exponent is missing: 1e6 is a million",
                "a number cannot end in `abc`",
                "a number cannot end in `S`",
            ]
        );
    }

    #[test]
    fn escapes() {
        let mut errors = Vec::new();
        let text = r#""a\n\t\r\\\"\x41\X4a\101\0z\xe2\x9c\223""#;
        assert_eq!(string(text, Span::new(0, text.len()), &mut errors), "a\n\t\r\\\"AJA\0z✓");
        assert_eq!(errors, []);

        let text = r#""\q\x\400é""#;
        assert_eq!(string(text, Span::new(10, 10 + text.len()), &mut errors), "é");
        let found: Vec<_> = errors.iter().map(|error| (error.span, error.message.as_str())).collect();
        assert_eq!(
            found,
            [
                (Span::new(11, 13), "unknown escape `\\q`"),
                (Span::new(13, 15), "hexadecimal digits must follow `\\x`"),
                (Span::new(15, 19), "`\\400` is larger than a byte"),
            ]
        );
    }

    #[test]
    fn characters_are_numbers() {
        let mut errors = Vec::new();
        assert_eq!(character("'a'", Span::new(0, 3), &mut errors), 97);
        assert_eq!(character(r"'\n'", Span::new(0, 4), &mut errors), 10);
        assert_eq!(character(r"'\''", Span::new(0, 4), &mut errors), 39);
        assert_eq!(errors, []);
        character("'ab'", Span::new(0, 4), &mut errors);
        assert_eq!(errors[0].message, "single quotes hold exactly one character");
    }
}
