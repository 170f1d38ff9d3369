//! Tokens and trees as text, for `--emit tokens`, `--emit ast` and tests.

mod tree;

use super::ast::Script;
use super::token::Token;
use crate::compile::source::Source;
use std::fmt::Write;

/// One line for each token: its bytes, its kind, its text. Ends with a newline.
pub fn tokens(tokens: &[Token], source: &Source) -> String {
    let mut text = String::new();
    for token in tokens {
        let spelling = &source.text[token.span.range()];
        writeln!(text, "{:?} {} {spelling:?}", token.span, token.kind.name()).expect("a string takes all text");
    }
    text
}

/// The tree, one item after the other, as nested lists: `(probe (spec "BEGIN") (call exit))`. With `spans`, every list
/// and every word of it is followed by `@` and its bytes. Ends with a newline, unless the script is empty.
pub fn ast(script: &Script, spans: bool) -> String {
    let mut text = String::new();
    for item in tree::script(script) {
        item.write(&mut text, spans);
        text.push('\n');
    }
    text
}
