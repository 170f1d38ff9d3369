//! Statements as other languages have them: what is meant, and how it is written here.

use super::super::token::TokenKind;
use super::Parser;
use super::statements::BlockUse;
use crate::compile::diagnostics::Diagnostic;

/// Words that statements of other languages begin with, and what to write instead.
const FOREIGN: [(&str, &str); 4] = [
    ("switch", "write if (…) { … } else if (…) { … }"),
    ("do", "write while (condition) { … }, which tests before each turn"),
    ("goto", "loops are written with `for` and `while`"),
    ("foreach", "write for ($x : @map) { … } or for ($i : 0..10) { … }"),
];

/// Words that declarations of other languages begin with.
const DECLARATIONS: [&str; 22] = [
    "int", "char", "short", "long", "unsigned", "signed", "bool", "void", "const", "static", "auto", "var", "local",
    "my", "int8", "int16", "int32", "int64", "uint32", "uint64", "string", "self",
];

impl Parser<'_> {
    /// Reports a statement that is one of another language, and goes behind it.
    pub(super) fn is_of_other_language(&mut self) -> bool {
        let start = self.span();
        if let TokenKind::Variable | TokenKind::Map = self.kind()
            && (self.kind_at(1), self.kind_at(2)) == (TokenKind::Colon, TokenKind::Assign)
        {
            self.bump();
            let error = Diagnostic::error(self.span(), "`:=` is not part of the language");
            self.report(error.help("`=` assigns, also for the first time"));
            self.skip_statement();
            return true;
        }
        let Some(word) = self.word_at(0).map(str::to_owned) else { return false };
        if let Some((_, instead)) = FOREIGN.iter().find(|(known, _)| *known == word)
            && !self.is_call()
        {
            let error = Diagnostic::error(start, format!("`{word}` is not part of the language"));
            self.report(error.help(*instead));
            self.bump();
            self.skip_to_body();
            if self.is(TokenKind::LBrace) {
                self.block(BlockUse::Action); // for the errors in it
            }
            return true;
        }
        let names = |parser: &Self, n| {
            matches!(parser.kind_at(n), TokenKind::Word | TokenKind::Variable | TokenKind::Map)
                && !parser.first_on_line(n)
        };
        // `unsigned long x`, `char *p`
        let mut name = 1;
        while name < 4 && (self.kind_at(name) == TokenKind::Star || names(self, name) && names(self, name + 1)) {
            name += 1;
        }
        if !DECLARATIONS.contains(&word.as_str()) || !names(self, name) {
            return false;
        }
        let named = self.tokens[self.at + name].span;
        let named = self.text[named.range()].trim_start_matches(['$', '@']).to_owned();
        let error = Diagnostic::error(start, "variables are not declared by a type before their name");
        self.report(error.help(format!("write `${named} = …`, or `let ${named} : int64;`")));
        self.skip_statement();
        true
    }

    /// A word, then arguments, then no block: a call of something that happens to be called so.
    fn is_call(&self) -> bool {
        let no_block = |behind| self.kind_at(behind) != TokenKind::LBrace;
        self.kind_at(1) == TokenKind::LParen && self.after_parenthesis(1).is_none_or(no_block)
    }
}
