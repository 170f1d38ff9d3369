//! Probe specifications: `tracepoint:syscalls:sys_enter_*`, `uprobe:/bin/sh:main+8, uprobe:"/a b":f`.

use super::super::ast::{Name, ProbeSpec};
use super::super::token::TokenKind;
use super::Parser;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

impl Parser<'_> {
    /// Specifications between commas, of which the last may be followed by one.
    pub(super) fn probe_specs(&mut self) -> Vec<ProbeSpec> {
        let mut specs = Vec::new();
        loop {
            let progress = self.progress();
            if self.is(TokenKind::SpecField) || self.is(TokenKind::Colon) {
                specs.push(self.probe_spec());
            } else {
                self.expected("a probe such as `kprobe:vfs_read`", "");
            }
            if !self.eat(TokenKind::Comma) || !matches!(self.kind(), TokenKind::SpecField | TokenKind::Colon) {
                return specs;
            }
            self.must_have_advanced(progress);
        }
    }

    /// Fields and the colons between them, with nothing else in between.
    fn probe_spec(&mut self) -> ProbeSpec {
        let start = self.span();
        let mut fields = Vec::new();
        let mut field = Name { text: String::new(), span: Span { start: start.start, end: start.start } };
        while matches!(self.kind(), TokenKind::SpecField | TokenKind::Colon)
            && (self.span() == start || self.span().start == self.last_end())
        {
            if self.is(TokenKind::Colon) {
                let end = self.bump().span.end;
                fields
                    .push(std::mem::replace(&mut field, Name { text: String::new(), span: Span { start: end, end } }));
            } else {
                let is_first = fields.is_empty();
                let text = if is_first { provider(self.text()) } else { self.text() };
                field = Name { text: self.unquote(text), span: self.bump().span };
            }
        }
        fields.push(field);
        ProbeSpec { fields, span: self.since(start) }
    }

    /// A field without its quotes and with positional parameters replaced. Between quotes, `\` takes the next character
    /// as it is and `$` means itself.
    fn unquote(&mut self, raw: &str) -> String {
        let mut text = String::with_capacity(raw.len());
        let mut quoted = false;
        let mut rest = raw;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => quoted = !quoted,
                '\\' if quoted => {
                    text.extend(rest.chars().next());
                    rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
                }
                '$' if !quoted => {
                    let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
                    rest = &rest[digits.len()..];
                    match digits.parse::<usize>() {
                        Ok(number) if number > 0 => {
                            text.push_str(self.parameters.get(number - 1).map_or("", String::as_str));
                        }
                        _ => self.report(
                            Diagnostic::error(self.span(), "a `$` in a probe must be followed by a parameter's number")
                                .help("put the field between double quotes if the `$` belongs to a name"),
                        ),
                    }
                }
                _ => text.push(c),
            }
        }
        self.recovering |= quoted; // reported by the lexer
        text
    }
}

/// A first field without `name=`, which the language keeps for later use.
fn provider(field: &str) -> &str {
    match field.split_once('=') {
        Some((name, provider)) if !name.contains('"') => provider,
        _ => field,
    }
}
