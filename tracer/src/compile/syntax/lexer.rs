//! Text → tokens.
//!
//! One pass over the text, with a mode, because a probe specification is not made of the tokens of the code: in
//! `uprobe:/usr/lib/libc.so.6:mem*+0x10 /pid == 1/ { … }` the first slash belongs to a path, the third to a predicate.
//! The mode follows from the tokens alone (the word an item starts with, the depth of braces), so the parser never has
//! to tell the lexer where it is, but for one case: [`Lexer::restart`].
//!
//! Comments, blank space and what `#if` leaves out (see [`super::conditionals`]) produce no token. Whatever cannot be a
//! token is reported, and lexing goes on behind it.

use super::MAX_ERRORS;
use super::conditionals::Inactive;
use super::token::{PUNCTUATION, Token, TokenKind};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

/// What the next character can be the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Between two items: the next word decides.
    Item,
    /// In a list of probe specifications.
    Spec(SpecState),
    /// In code, until the item has ended.
    Code(ItemEnd),
}

/// Where in a probe specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SpecState {
    /// A colon has been seen since the specification began.
    provider_seen: bool,
    /// The provider takes paths: a slash in a later field is part of it.
    takes_path: bool,
}

/// What ends an item, after which [`Mode::Item`] is on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ItemEnd {
    /// The brace that closes the first one opened.
    Brace,
    /// The parenthesis that closes the first one opened, or a semicolon.
    Parenthesis,
    /// A string, or a semicolon.
    String,
    /// Nothing: code to the end of the range.
    Never,
}

const SPEC_START: SpecState = SpecState { provider_seen: false, takes_path: false };

/// Providers whose fields may hold a path.
const PATH_PROVIDERS: [&str; 8] = ["uprobe", "u", "uretprobe", "ur", "usdt", "U", "iter", "it"];

/// Goes over a text, or a range of one, and makes tokens.
pub(super) struct Lexer<'s> {
    text: &'s str,
    at: usize,
    end: usize,
    mode: Mode,
    braces: u32,
    parentheses: u32,
    /// The first open brace stands in parentheses, as a value in a predicate: the action is still to come.
    in_predicate: bool,
    inactive: &'s Inactive,
    errors: Vec<Diagnostic>,
}

impl<'s> Lexer<'s> {
    /// For a whole file, which is a range of the text.
    pub(super) fn new(text: &'s str, file: Span, inactive: &'s Inactive) -> Self {
        Self {
            text,
            at: file.range().start,
            end: file.range().end,
            mode: Mode::Item,
            braces: 0,
            parentheses: 0,
            in_predicate: false,
            inactive,
            errors: Vec::new(),
        }
    }

    /// For a range of the text that holds nothing but code: the body of a `#define`.
    pub(super) fn for_code(&self, range: Span) -> Self {
        let range = range.range();
        let whole = Self::new(self.text, Span::new(range.start, range.end), self.inactive);
        Self { mode: Mode::Code(ItemEnd::Never), ..whole }
    }

    /// Goes back to `offset` as to the beginning of an item: the parser has found that a brace is missing before it.
    pub(super) fn restart(&mut self, offset: usize) {
        self.at = offset;
        self.mode = Mode::Item;
        self.braces = 0;
        self.parentheses = 0;
        self.errors.retain(|error| error.span.range().start < offset);
    }

    /// All tokens up to and including [`TokenKind::End`].
    pub(super) fn tokens(&mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        loop {
            let token = self.next_token();
            tokens.push(token);
            if token.kind == TokenKind::End {
                return tokens;
            }
        }
    }

    /// What could not be lexed so far.
    pub(super) fn into_errors(self) -> Vec<Diagnostic> {
        self.errors
    }

    fn next_token(&mut self) -> Token {
        // A path may hold what looks like a comment: `uprobe:/opt/*/lib.so:f`.
        let in_path = matches!(self.mode, Mode::Spec(state) if self.slash_is_in_spec(state));
        if !(in_path && self.rest().starts_with('/')) {
            self.skip_trivia();
        }
        let start = self.at;
        if start >= self.end {
            return Token { kind: TokenKind::End, span: Span::new(self.end, self.end) };
        }
        let kind = match self.mode {
            _ if self.rest().starts_with("/*") && !in_path => self.open_comment(),
            _ if self.at_directive() => self.directive(),
            Mode::Item => self.item_start(),
            Mode::Spec(state) => self.spec(state),
            Mode::Code(_) => self.code(),
        };
        debug_assert!(self.at > start, "the lexer must advance");
        self.follow(kind);
        Token { kind, span: Span::new(start, self.at) }
    }

    /// Changes the mode by what the token just made does to the structure.
    fn follow(&mut self, kind: TokenKind) {
        let Mode::Code(end) = self.mode else { return };
        match kind {
            TokenKind::LBrace => {
                if self.braces == 0 {
                    self.in_predicate = self.parentheses > 0;
                }
                self.braces += 1;
            }
            TokenKind::RBrace => {
                self.braces = self.braces.saturating_sub(1);
                if self.braces == 0 && !self.in_predicate && end != ItemEnd::Never {
                    self.item_over();
                }
            }
            TokenKind::LParen => self.parentheses += 1,
            TokenKind::RParen => {
                self.parentheses = self.parentheses.saturating_sub(1);
                if self.parentheses == 0 && end == ItemEnd::Parenthesis {
                    self.item_over();
                }
            }
            TokenKind::Semicolon if self.braces == 0 && matches!(end, ItemEnd::Parenthesis | ItemEnd::String) => {
                self.item_over();
            }
            TokenKind::String if end == ItemEnd::String => self.item_over(),
            _ => {}
        }
    }

    fn item_over(&mut self) {
        self.mode = Mode::Item;
        self.braces = 0;
        self.parentheses = 0;
    }

    /// The first token of an item; decides how to go on.
    fn item_start(&mut self) -> TokenKind {
        match self.rest().as_bytes()[0] {
            // Where no item can begin: the parser reports it. Code rules apply to this one token only.
            b';' | b'}' | b')' | b']' => return self.code(),
            b'{' | b'/' => {
                self.mode = Mode::Code(ItemEnd::Brace);
                return self.code();
            }
            _ => {}
        }
        let word = self.word_ahead();
        let after = self.rest()[word.len()..].trim_start();
        let end = match word {
            "config" | "macro" | "fn" | "typedef" => Some(ItemEnd::Brace),
            "let" | "__attribute__" => Some(ItemEnd::Parenthesis),
            "import" => Some(ItemEnd::String),
            "struct" | "union" | "enum" if after.starts_with(|c: char| is_word_start(c) || c == '{') => {
                Some(ItemEnd::Brace)
            }
            _ => None,
        };
        match end {
            Some(end) if !after.starts_with(':') => {
                self.mode = Mode::Code(end);
                self.code()
            }
            _ => {
                self.mode = Mode::Spec(SPEC_START);
                self.spec(SPEC_START)
            }
        }
    }

    /// A token of a probe specification, or the one that ends the list of them.
    fn spec(&mut self, state: SpecState) -> TokenKind {
        match self.rest().as_bytes()[0] {
            b':' => {
                self.at += 1;
                self.mode = Mode::Spec(SpecState { provider_seen: true, ..state });
                TokenKind::Colon
            }
            b',' => {
                self.at += 1;
                self.mode = Mode::Spec(SPEC_START);
                TokenKind::Comma
            }
            b'/' if !self.slash_is_in_spec(state) => {
                self.mode = Mode::Code(ItemEnd::Brace);
                self.code()
            }
            b'{' => {
                self.mode = Mode::Code(ItemEnd::Brace);
                self.code()
            }
            b'}' | b';' => {
                self.item_over();
                self.code()
            }
            _ => self.spec_field(state),
        }
    }

    /// A slash belongs to a path only directly behind a colon or inside a field: blank space ends a specification.
    fn slash_is_in_spec(&self, state: SpecState) -> bool {
        state.takes_path && state.provider_seen && self.text[..self.at].ends_with(':')
    }

    fn spec_field(&mut self, state: SpecState) -> TokenKind {
        let start = self.at;
        while let Some(c) = self.peek() {
            match c {
                ':' | ',' | '{' | '}' | ';' => break,
                '/' if !(state.provider_seen && state.takes_path) => break,
                '"' => self.quoted('"', "string"),
                c if c.is_whitespace() => break,
                c => self.at += c.len_utf8(),
            }
        }
        if !state.provider_seen {
            let takes_path = PATH_PROVIDERS.contains(&spec_provider(&self.text[start..self.at]));
            self.mode = Mode::Spec(SpecState { takes_path, ..state });
        }
        TokenKind::SpecField
    }

    /// A token of the code.
    fn code(&mut self) -> TokenKind {
        let first = self.rest().chars().next().expect("the caller has seen that there is text");
        match first {
            '"' => {
                self.quoted('"', "string");
                TokenKind::String
            }
            '\'' => {
                self.quoted('\'', "character");
                TokenKind::Char
            }
            '$' => self.variable(),
            '@' => {
                self.at += 1;
                self.name_after_sigil("map");
                TokenKind::Map
            }
            '0'..='9' => {
                self.take_while(is_word_part);
                TokenKind::Integer
            }
            c if is_word_start(c) => {
                self.take_while(is_word_part);
                TokenKind::Word
            }
            _ => self.punctuation(),
        }
    }

    fn variable(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some('#') => {
                self.at += 1;
                TokenKind::PositionalCount
            }
            Some('0'..='9') => {
                self.take_while(|c| c.is_ascii_digit());
                if !self.rest().starts_with(is_word_start) {
                    return TokenKind::Positional;
                }
                self.at = start + 1;
                self.name_after_sigil("variable");
                TokenKind::Variable
            }
            Some(c) if is_word_start(c) => {
                self.name_after_sigil("variable");
                TokenKind::Variable
            }
            _ => {
                self.report(
                    Diagnostic::error(Span::new(start, self.at), "a `$` without a name")
                        .label("expected `$name`, `$1` or `$#`"),
                );
                TokenKind::Unknown
            }
        }
    }

    /// The name of a variable or a map, whose sigil has been taken.
    fn name_after_sigil(&mut self, what: &str) {
        let start = self.at;
        self.take_while(is_word_part);
        if self.text[start..].starts_with(|c: char| c.is_ascii_digit()) && self.at > start {
            self.report(Diagnostic::error(
                Span::new(start - 1, self.at),
                format!("the name of a {what} cannot begin with a digit"),
            ));
        }
    }

    fn punctuation(&mut self) -> TokenKind {
        for (spelling, kind) in PUNCTUATION {
            if self.rest().starts_with(spelling) {
                self.at += spelling.len();
                return kind;
            }
        }
        self.unknown()
    }

    /// A run of characters that cannot begin a token: one error, one token.
    fn unknown(&mut self) -> TokenKind {
        let start = self.at;
        self.take_while(|c| {
            (!c.is_ascii() || matches!(c, '#' | '`' | '\\') || c.is_ascii_control()) && !c.is_whitespace()
        });
        let text = &self.text[start..self.at];
        let what = if text.chars().count() == 1 { "character" } else { "characters" };
        let mut error =
            Diagnostic::error(Span::new(start, self.at), format!("unexpected {what} `{}`", text.escape_debug()));
        if text.contains(['“', '”', '„', '‘', '’']) {
            error = error.help("write strings between straight quotes: \"text\"");
        } else if text.contains(['–', '—', '−']) {
            error = error.help("a minus is written `-`");
        }
        self.report(error);
        TokenKind::Unknown
    }

    /// From an opening quote to behind the closing one, or to the end of the line.
    fn quoted(&mut self, quote: char, what: &str) {
        let start = self.at;
        self.at += 1;
        while let Some(c) = self.peek() {
            match c {
                '\n' => break,
                '\\' => {
                    self.at += 1;
                    if let Some(escaped) = self.peek().filter(|c| *c != '\n') {
                        self.at += escaped.len_utf8();
                    }
                }
                c if c == quote => {
                    self.at += 1;
                    return;
                }
                c => self.at += c.len_utf8(),
            }
        }
        self.report(
            Diagnostic::error(Span::new(start, self.at), format!("this {what} is never closed"))
                .label(format!("expected `{quote}` before the end of the line")),
        );
    }

    /// A `#` that stands first on its line.
    fn at_directive(&self) -> bool {
        self.rest().starts_with('#')
            && self.text[..self.at].chars().rev().take_while(|c| *c != '\n').all(char::is_whitespace)
    }

    fn directive(&mut self) -> TokenKind {
        let rest = self.rest();
        let mut length = 0;
        for line in rest.split_inclusive('\n') {
            length += line.len();
            if !line.trim_end_matches(['\n', '\r']).ends_with('\\') {
                break;
            }
        }
        self.at += rest[..length].trim_end().len();
        TokenKind::Directive
    }

    /// A comment that is never closed, with all that follows.
    fn open_comment(&mut self) -> TokenKind {
        self.report(
            Diagnostic::error(Span::new(self.at, self.at + 2), "this comment is never closed").label("no `*/` follows"),
        );
        self.at = self.end;
        TokenKind::Unknown
    }

    /// Blank space, comments, and what `#if` leaves out.
    fn skip_trivia(&mut self) {
        loop {
            let before = self.at;
            self.at += self.rest().len() - self.rest().trim_start().len();
            if let Some(end) = self.inactive.end_of_range_at(self.at) {
                self.at = end.min(self.end);
            }
            let rest = self.rest();
            if self.mode == Mode::Code(ItemEnd::Never) && (rest.starts_with("\\\n") || rest.starts_with("\\\r\n")) {
                self.at += 2; // a `#define` that goes on in the next line
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else { return };
                self.at += length + "/**/".len();
            }
            if self.at == before {
                return;
            }
        }
    }

    fn report(&mut self, error: Diagnostic) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn rest(&self) -> &'s str {
        &self.text[self.at..self.end]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    }

    /// The word at the current place; empty if there is none.
    fn word_ahead(&self) -> &'s str {
        let rest = self.rest();
        if !rest.starts_with(is_word_start) {
            return "";
        }
        &rest[..rest.find(|c| !is_word_part(c)).unwrap_or(rest.len())]
    }
}

/// The provider of a specification's first field: what follows `name=`.
fn spec_provider(field: &str) -> &str {
    field.split_once('=').map_or(field, |(_, provider)| provider)
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_word_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
