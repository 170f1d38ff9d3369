//! Tokens → tree, by recursive descent.
//!
//! One module for each part of the grammar: [`items`] (what stands outside of all blocks), [`specs`] (probe
//! specifications), [`definitions`] (C structs), [`types`], [`statements`], [`expressions`] (operators) and
//! [`primary`] (operands). This one holds what all of them use: the place in the tokens, the errors, the limits.
//!
//! How errors are handled. A function that does not find what it needs reports it, and returns what it has without
//! consuming the offending token; [`Parser::expect`] does so for one token. Loops over statements and items skip to
//! the next place where one can begin. Of a statement only the first error of syntax is reported. Every loop asserts
//! in debug builds that it has moved on ([`Progress`]).

mod definitions;
mod expressions;
mod habits;
mod items;
mod primary;
mod specs;
mod statements;
mod types;

use super::ast::{Name, Script};
use super::lexer::Lexer;
use super::token::{Token, TokenKind};
use super::{MAX_ERRORS, Parsed};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;

/// How deep blocks and expressions may stand in one another: each costs stack here and in every later stage.
const MAX_DEPTH: u32 = 128;

/// How many levels a tree may have, with chains such as `a + b + c`, which have one for every operator.
const MAX_HEIGHT: u32 = 512;

/// How often the rest of the script may be lexed again.
const MAX_RESTARTS: u32 = 8;

/// Parses all that `lexer` gives. `before` is what has been read of other files.
pub(super) fn parse_script(text: &str, mut lexer: Lexer<'_>, parameters: &[String], before: &Script) -> Parsed {
    let mut parser = Parser {
        text,
        tokens: lexer.tokens(),
        lexer,
        at: 0,
        statement_at: 0,
        parameters,
        before,
        script: Script::default(),
        errors: Vec::new(),
        warnings: Vec::new(),
        depth: 0,
        height: 0,
        recovering: false,
        stopped: false,
        restarted_at: None,
        restarts: 0,
    };
    parser.items();
    let mut errors = parser.lexer.into_errors();
    errors.append(&mut parser.errors);
    Parsed { script: parser.script, errors, warnings: parser.warnings }
}

/// The state of a parse.
struct Parser<'s> {
    text: &'s str,
    tokens: Vec<Token>,
    /// Kept to go over the rest again when a brace turns out to be missing.
    lexer: Lexer<'s>,
    /// The index of the next token.
    at: usize,
    /// Where the statement that is being parsed begins.
    statement_at: usize,
    parameters: &'s [String],
    /// What has been read of other files.
    before: &'s Script,
    script: Script,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// How many nested blocks and expressions are being parsed.
    depth: u32,
    /// How many levels the highest tree has that was parsed since [`Parser::measured`] began.
    height: u32,
    /// An error of syntax has been reported since the statement or item began.
    recovering: bool,
    /// The script has been given up: no further errors.
    stopped: bool,
    /// Where the lexer was last told that an item begins.
    restarted_at: Option<u32>,
    restarts: u32,
}

/// Where a loop's turn began.
struct Progress(usize);

impl<'s> Parser<'s> {
    /// The kind of the next token.
    fn kind(&self) -> TokenKind {
        self.kind_at(0)
    }

    /// The kind of the `n`th token after the next.
    fn kind_at(&self, n: usize) -> TokenKind {
        self.tokens.get(self.at + n).map_or(TokenKind::End, |token| token.kind)
    }

    /// Where the next token stands.
    fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    /// The text of the next token.
    fn text(&self) -> &'s str {
        self.text_at(0)
    }

    /// The text of the `n`th token after the next.
    fn text_at(&self, n: usize) -> &'s str {
        self.tokens.get(self.at + n).map_or("", |token| &self.text[token.span.range()])
    }

    /// Takes the next token. The end of the script is never passed.
    fn bump(&mut self) -> Token {
        let token = self.tokens[self.at];
        self.recovering |= token.kind == TokenKind::Unknown; // reported by the lexer
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    fn is(&self, kind: TokenKind) -> bool {
        self.kind() == kind
    }

    /// The next token is this very word.
    fn is_word(&self, word: &str) -> bool {
        self.word_at(0) == Some(word)
    }

    /// The `n`th token after the next, if it is a word.
    fn word_at(&self, n: usize) -> Option<&'s str> {
        (self.kind_at(n) == TokenKind::Word).then(|| self.text_at(n))
    }

    fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.is(kind);
        if found {
            self.bump();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.bump();
        }
        found
    }

    /// Takes a token of this kind, or reports that it should be here.
    fn expect(&mut self, kind: TokenKind, context: &str) -> bool {
        let found = self.eat(kind);
        if !found {
            self.expected(&kind.describe(), context);
        }
        found
    }

    /// Takes a word as a name, or reports that one should be here.
    fn expect_name(&mut self, what: &str, context: &str) -> Option<Name> {
        if self.is(TokenKind::Word) {
            return Some(self.take_name());
        }
        self.expected(what, context);
        None
    }

    /// The next token as a name, without its sigil.
    fn take_name(&mut self) -> Name {
        let text = self.text().trim_start_matches(['$', '@']).to_string();
        Name { text, span: self.bump().span }
    }

    /// Takes what closes a pair, or reports that it is missing and where the pair was opened.
    fn expect_closing(&mut self, kind: TokenKind, opened: Span) -> bool {
        let found = self.eat(kind);
        if !found {
            let error = self.expected_here(&kind.describe(), "").also(opened, "opened here");
            self.report(error);
        }
        found
    }

    /// Reports that the next token is not what it should be.
    fn expected(&mut self, what: &str, context: &str) {
        let error = self.expected_here(what, context);
        self.report(error);
    }

    fn expected_here(&self, what: &str, context: &str) -> Diagnostic {
        let found = match self.kind() {
            kind @ (TokenKind::End | TokenKind::String | TokenKind::Char | TokenKind::Directive) => kind.describe(),
            _ => format!("`{}`", self.text()),
        };
        let context = if context.is_empty() { String::new() } else { format!(" {context}") };
        Diagnostic::error(self.span(), format!("expected {what}{context}, found {found}"))
            .label(format!("expected {what}"))
    }

    /// The end of the token taken last: where something left out should have stood.
    fn after_last(&self) -> Span {
        let end = self.last_end();
        Span { start: end, end }
    }

    fn last_end(&self) -> u32 {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].span.end)
    }

    /// From `start` to the token taken last.
    fn since(&self, start: Span) -> Span {
        Span { start: start.start, end: self.last_end().max(start.start) }
    }

    /// Adds an error of syntax, and says nothing more until the next statement: what follows from the first error is
    /// not worth reading. Characters that are no token have been reported already.
    fn report(&mut self, error: Diagnostic) {
        if !self.recovering && !self.is(TokenKind::Unknown) {
            self.report_value(error);
        }
        self.recovering = true;
    }

    /// Adds an error that leaves no doubt about the structure, such as a number that is too large.
    fn report_value(&mut self, error: Diagnostic) {
        let is_new = self.errors.last().is_none_or(|last| last.span.start != error.span.start);
        if is_new && !self.stopped {
            self.errors.push(error);
            if self.errors.len() >= MAX_ERRORS {
                self.stop(Diagnostic::error(self.span(), "too many errors; the rest of the script was not read"));
            }
        }
    }

    /// Reports why the rest of the script is not read, and goes to its end.
    fn stop(&mut self, error: Diagnostic) {
        if !self.stopped {
            self.errors.push(error);
            self.stopped = true;
        }
        self.at = self.tokens.len() - 1;
    }

    fn progress(&self) -> Progress {
        Progress(self.at)
    }

    /// Panics in debug builds if nothing was consumed since `progress` was made; else skips a token then.
    fn must_have_advanced(&mut self, progress: Progress) {
        debug_assert!(
            self.at > progress.0 || self.is(TokenKind::End),
            "the parser does not advance at {:?} {:?}",
            self.span(),
            self.text()
        );
        if self.at == progress.0 {
            self.bump();
        }
    }

    /// Runs `parse` one level deeper. `None`: the script is nested too deeply, and has been given up, since what
    /// follows cannot be understood without its structure.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            self.stop(
                Diagnostic::error(self.span(), "this is nested too deeply")
                    .label(format!("blocks and expressions may stand {MAX_DEPTH} deep in one another")),
            );
            return None;
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        Some(result)
    }

    /// Runs `parse`, and gives the height of the highest tree it has built.
    fn measured<T>(&mut self, parse: impl FnOnce(&mut Self) -> T) -> (T, u32) {
        let outer = std::mem::replace(&mut self.height, 0);
        let result = parse(self);
        (result, std::mem::replace(&mut self.height, outer))
    }

    /// Notes a tree of this height.
    fn raise(&mut self, height: u32) {
        self.height = self.height.max(height);
    }

    /// Notes that the tree just built stands above all that was measured so far.
    fn level(&mut self) {
        self.height += 1;
        if self.height + self.depth > MAX_HEIGHT {
            self.stop(
                Diagnostic::error(self.span(), "this expression is too long")
                    .label(format!("it may have {MAX_HEIGHT} levels, and each operator of a chain is one")),
            );
        }
    }

    /// Parses a range of the text that holds code, with `parse`, as if it were all there is.
    fn with_code<T>(&mut self, range: Span, parse: impl FnOnce(&mut Self) -> T) -> T {
        let mut lexer = self.lexer.for_code(range);
        let outer = std::mem::replace(&mut self.tokens, lexer.tokens());
        let outer_at = std::mem::replace(&mut self.at, 0);
        let result = parse(self);
        self.tokens = outer;
        self.at = if self.stopped { self.tokens.len() - 1 } else { outer_at };
        self.errors.append(&mut lexer.into_errors());
        result
    }

    /// Lexes the rest again from the next token on, which begins an item: the lexer could not know, since a brace is
    /// missing before it.
    fn restart_item(&mut self) {
        let start = self.span().start;
        if self.restarted_at != Some(start) {
            self.restarts += 1;
            if self.restarts > MAX_RESTARTS {
                self.stop(Diagnostic::error(self.span(), "too many braces are missing before this"));
                return;
            }
            self.restarted_at = Some(start);
            self.tokens.truncate(self.at);
            self.lexer.restart(start as usize);
            self.tokens.append(&mut self.lexer.tokens());
        }
    }

    /// Whether the `n`th token after the next stands in the first column.
    fn in_first_column(&self, n: usize) -> bool {
        let Some(token) = self.tokens.get(self.at + n) else { return false };
        let start = token.span.range().start;
        start == 0 || self.text[..start].ends_with('\n')
    }

    /// Whether the `n`th token after the next is the first on its line.
    fn first_on_line(&self, n: usize) -> bool {
        let at = self.at + n;
        let Some(token) = self.tokens.get(at) else { return false };
        let before = at.checked_sub(1).map_or(0, |before| self.tokens[before].span.range().end);
        at == 0 || self.text[before..token.span.range().start].contains('\n')
    }
}
