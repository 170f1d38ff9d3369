//! Types as scripts write them: `uint64`, `struct foo *`, `string[64]`, `int32[4]`, `typeof($x)`.

use super::super::ast::{ExprKey, TypeName, TypeNameKind};
use super::super::literals;
use super::super::token::TokenKind;
use super::Parser;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

/// How many `*` and `[]` may follow a type's name.
const MAX_SUFFIXES: u32 = 16;

/// Words of C that several of may make one type: `unsigned long long`.
const C_WORDS: [&str; 8] = ["unsigned", "signed", "long", "short", "int", "char", "float", "double"];

/// Types whose brackets give their own size, not a number of elements.
const SIZED: [&str; 4] = ["string", "buffer", "buf", "inet"];

/// Type names of the language and the kernel that end in no `_t`.
const TYPE_WORDS: [&str; 26] = [
    "void",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "string",
    "buffer",
    "inet",
    "timestamp",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "__u8",
    "__u16",
    "__u32",
    "__u64",
];

/// How sure it is that some tokens are a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeAhead {
    /// They can be nothing else.
    Certain,
    /// One word, perhaps with an array's brackets: it may name a variable's value just as well.
    Possible,
}

impl Parser<'_> {
    /// Whether the tokens from the `n`th on make a type: how sure that is, and the number of the token after it.
    pub(super) fn type_ahead(&self, n: usize) -> Option<(TypeAhead, usize)> {
        let word = self.word_at(n)?;
        let mut sure = TypeAhead::Possible;
        let mut next = n + 1;
        match word {
            "struct" | "union" | "enum" => {
                self.word_at(next)?;
                next += 1;
                sure = TypeAhead::Certain;
            }
            "typeof" => {
                if self.kind_at(next) != TokenKind::LParen {
                    return None;
                }
                next = self.after_parenthesis(next)?;
                sure = TypeAhead::Certain;
            }
            _ if is_c_word(word) => {
                while self.word_at(next).is_some_and(is_c_word) {
                    next += 1;
                }
                sure = TypeAhead::Certain;
            }
            _ if TYPE_WORDS.contains(&word) || word.ends_with("_t") => sure = TypeAhead::Certain,
            _ => {}
        }
        loop {
            match self.kind_at(next) {
                TokenKind::Star => {
                    sure = TypeAhead::Certain;
                    next += 1;
                }
                TokenKind::LBracket if self.kind_at(next + 1) == TokenKind::RBracket => {
                    sure = TypeAhead::Certain;
                    next += 2;
                }
                TokenKind::LBracket
                    if self.kind_at(next + 1) == TokenKind::Integer
                        && self.kind_at(next + 2) == TokenKind::RBracket =>
                {
                    next += 3;
                }
                _ => return Some((sure, next)),
            }
        }
    }

    /// The number of the token behind the parenthesis that closes the `n`th, which opens one.
    pub(super) fn after_parenthesis(&self, n: usize) -> Option<usize> {
        let mut open = 0;
        for next in n.. {
            match self.kind_at(next) {
                TokenKind::LParen => open += 1,
                TokenKind::RParen => open -= 1,
                TokenKind::End => return None,
                _ => {}
            }
            if open == 0 {
                return Some(next + 1);
            }
        }
        None
    }

    /// A type, or an error if none is here.
    pub(super) fn type_name(&mut self) -> TypeName {
        let start = self.span();
        let base = self.nested(Self::base_type).unwrap_or(TypeNameKind::Named(String::new()));
        let base = TypeName { kind: base, span: self.since(start) };
        self.type_suffixes(base, start)
    }

    fn base_type(&mut self) -> TypeNameKind {
        if self.is(TokenKind::LParen) {
            return self.tuple_type();
        }
        let Some(word) = self.word_at(0) else {
            self.expected("a type", "");
            return TypeNameKind::Named(String::new());
        };
        if word == "typeof" {
            return self.typeof_type();
        }
        self.bump();
        if matches!(word, "struct" | "union" | "enum") {
            let tag = self.expect_name("a name", &format!("after `{word}`")).map_or(String::new(), |name| name.text);
            return match word {
                "struct" => TypeNameKind::Struct(tag),
                "union" => TypeNameKind::Union(tag),
                _ => TypeNameKind::Enum(tag),
            };
        }
        let mut name = word.to_string();
        while is_c_word(word) && self.word_at(0).is_some_and(is_c_word) {
            name.push(' ');
            name.push_str(self.text());
            self.bump();
        }
        TypeNameKind::Named(name)
    }

    /// `(T, U)`
    fn tuple_type(&mut self) -> TypeNameKind {
        let opened = self.bump().span;
        let mut members = Vec::new();
        while !matches!(self.kind(), TokenKind::RParen | TokenKind::End) {
            members.push(self.type_name());
            if !self.eat(TokenKind::Comma) {
                break;
            }
        }
        self.expect_closing(TokenKind::RParen, opened);
        TypeNameKind::Tuple(members)
    }

    /// `typeof(expression)`; `typeof(type)` is that type.
    pub(super) fn typeof_type(&mut self) -> TypeNameKind {
        self.bump();
        let opened = self.span();
        if !self.expect(TokenKind::LParen, "after `typeof`") {
            return TypeNameKind::Named(String::new());
        }
        let kind = match self.type_ahead(0) {
            Some((TypeAhead::Certain, end)) if self.kind_at(end) == TokenKind::RParen => self.type_name().kind,
            _ => TypeNameKind::TypeOf(Box::new(ExprKey(self.expression()))),
        };
        self.expect_closing(TokenKind::RParen, opened);
        kind
    }

    /// `*`, `[n]` and `[]` behind a type.
    pub(super) fn type_suffixes(&mut self, mut ty: TypeName, start: Span) -> TypeName {
        for _ in 0..MAX_SUFFIXES {
            let kind = if self.eat(TokenKind::Star) {
                TypeNameKind::Pointer(Box::new(ty))
            } else if self.is(TokenKind::LBracket) {
                let size = self.array_size();
                match (ty.kind, size) {
                    (TypeNameKind::Named(name), Some(size)) if SIZED.contains(&name.as_str()) => {
                        TypeNameKind::Sized(name, size)
                    }
                    (kind, size) => TypeNameKind::Array(Box::new(TypeName { kind, span: ty.span }), size),
                }
            } else {
                return ty;
            };
            ty = TypeName { kind, span: self.since(start) };
        }
        self.stop(Diagnostic::error(self.span(), format!("a type may have {MAX_SUFFIXES} pointers and arrays")));
        ty
    }

    /// `[n]` or `[]`
    fn array_size(&mut self) -> Option<u64> {
        let opened = self.bump().span;
        let mut size = None;
        if self.is(TokenKind::Integer) {
            match literals::integer(self.text(), self.span()) {
                Ok((value, _)) => size = Some(value),
                Err(error) => self.report(error),
            }
            self.bump();
        }
        self.expect_closing(TokenKind::RBracket, opened);
        size
    }
}

pub(super) fn is_c_word(word: &str) -> bool {
    C_WORDS.contains(&word)
}
