//! Tokens: what the lexer hands to the parser. A token is a kind and a span; its text stays in the source.

use crate::compile::source::Span;

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands; never empty but for the end of the script.
    pub span: Span,
}

/// The kinds of tokens. Keywords are words: nearly all of them may also name a field, a macro or a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `pid`, `if`, `struct`, …
    Word,
    /// `$x`
    Variable,
    /// `$1`
    Positional,
    /// `$#`
    PositionalCount,
    /// `@x`, `@`
    Map,
    /// `42`, `0x2a`, `1e6`, `5ms`: a digit and all letters, digits and underscores after it.
    Integer,
    /// `"text"`, quotes included; one without its closing quote ends with the line and has been reported.
    String,
    /// `'a'`, quotes included; the same holds.
    Char,
    /// What stands between the colons of a probe specification, quotes included: `sys_enter_*`, `"/a b"`.
    SpecField,
    /// `#include <x.h>`, `#!/usr/bin/env …`: to the end of the line, and on where a `\` ends the line.
    Directive,
    /// `{`
    LBrace,
    /// `}`
    RBrace,
    /// `(`
    LParen,
    /// `)`
    RParen,
    /// `[`
    LBracket,
    /// `]`
    RBracket,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `:`
    Colon,
    /// `?`
    Question,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// `->`
    Arrow,
    /// `=`
    Assign,
    /// `+=`
    PlusAssign,
    /// `-=`
    MinusAssign,
    /// `*=`
    StarAssign,
    /// `/=`
    SlashAssign,
    /// `%=`
    PercentAssign,
    /// `&=`
    AndAssign,
    /// `|=`
    OrAssign,
    /// `^=`
    CaretAssign,
    /// `<<=`
    ShlAssign,
    /// `>>=`
    ShrAssign,
    /// `==`
    EqualEqual,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `&&`
    AndAnd,
    /// `||`
    OrOr,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Caret,
    /// `+`
    Plus,
    /// `++`
    PlusPlus,
    /// `-`
    Minus,
    /// `--`
    MinusMinus,
    /// `*`
    Star,
    /// `/`
    Slash,
    /// `%`
    Percent,
    /// `!`
    Bang,
    /// `~`
    Tilde,
    /// Characters that belong to no token; they have been reported.
    Unknown,
    /// The end of the script.
    End,
}

/// Operators and punctuation, the longer before their own beginnings: the first that fits is the token.
pub(super) const PUNCTUATION: [(&str, TokenKind); 46] = {
    use TokenKind::*;
    [
        ("<<=", ShlAssign),
        (">>=", ShrAssign),
        ("..", DotDot),
        ("->", Arrow),
        ("+=", PlusAssign),
        ("-=", MinusAssign),
        ("*=", StarAssign),
        ("/=", SlashAssign),
        ("%=", PercentAssign),
        ("&=", AndAssign),
        ("|=", OrAssign),
        ("^=", CaretAssign),
        ("==", EqualEqual),
        ("!=", NotEqual),
        ("<=", LessEqual),
        (">=", GreaterEqual),
        ("<<", Shl),
        (">>", Shr),
        ("&&", AndAnd),
        ("||", OrOr),
        ("++", PlusPlus),
        ("--", MinusMinus),
        ("{", LBrace),
        ("}", RBrace),
        ("(", LParen),
        (")", RParen),
        ("[", LBracket),
        ("]", RBracket),
        (",", Comma),
        (";", Semicolon),
        (":", Colon),
        ("?", Question),
        (".", Dot),
        ("=", Assign),
        ("<", Less),
        (">", Greater),
        ("&", And),
        ("|", Or),
        ("^", Caret),
        ("+", Plus),
        ("-", Minus),
        ("*", Star),
        ("/", Slash),
        ("%", Percent),
        ("!", Bang),
        ("~", Tilde),
    ]
};

impl TokenKind {
    /// One word for `--emit tokens`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Variable => "variable",
            Self::Positional | Self::PositionalCount => "parameter",
            Self::Map => "map",
            Self::Integer => "integer",
            Self::String => "string",
            Self::Char => "character",
            Self::SpecField => "spec",
            Self::Directive => "directive",
            Self::Unknown => "unknown",
            Self::End => "end",
            _ => "punctuation",
        }
    }

    /// Its spelling in backquotes, or what it is in words: for "expected …".
    pub fn describe(self) -> String {
        let words = match self {
            Self::Word => "a name",
            Self::Variable => "a variable",
            Self::Positional => "a positional parameter",
            Self::PositionalCount => "`$#`",
            Self::Map => "a map",
            Self::Integer => "a number",
            Self::String => "a string",
            Self::Char => "a character",
            Self::SpecField => "a part of a probe",
            Self::Directive => "a preprocessor line",
            Self::Unknown => "an unknown character",
            Self::End => "the end of the script",
            _ => {
                let spelling = PUNCTUATION.iter().find(|(_, kind)| *kind == self).map_or("", |(text, _)| text);
                return format!("`{spelling}`");
            }
        };
        words.to_string()
    }
}
