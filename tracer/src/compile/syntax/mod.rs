//! Text → syntax tree.
//!
//! [`lexer`] makes tokens, [`parser`] a tree of [`ast`]; [`print`](mod@print) shows both. There is always a tree, however
//! wrong the text: what could not be parsed is [`ast::ExprKind::Error`] or missing, and has been reported.

pub mod ast;
pub mod print;
pub mod token;

mod conditionals;
mod lexer;
mod literals;
mod parser;

use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::{Source, Span};
use conditionals::find_inactive;
use lexer::Lexer;
use token::Token;

/// The largest script that is accepted, in bytes, with all that it imports.
pub const MAX_SOURCE: usize = 1 << 20;

/// After so many errors the rest of a script is not looked at.
const MAX_ERRORS: usize = 50;

/// A script's tree, and what was found on the way.
pub struct Parsed {
    /// As much of the script as was understood.
    pub script: ast::Script,
    /// Why the script must be refused, in source order; empty for a good one.
    pub errors: Vec<Diagnostic>,
    /// What the script should know but can live with.
    pub warnings: Vec<Diagnostic>,
}

/// Parses a script that is run without parameters. See [`parse_with_parameters`].
pub fn parse(source: &Source) -> Parsed {
    parse_with_parameters(source, &[])
}

/// Parses a script. `parameters` are the words after the script on the command line: `$1` in a probe specification is
/// replaced by the first of them, or by nothing if there is none. In expressions they stay
/// [`ast::ExprKind::Positional`].
///
/// Imported files come first, in their order: what they define can be used behind them.
pub fn parse_with_parameters(source: &Source, parameters: &[String]) -> Parsed {
    if let Some(error) = too_large(source) {
        return Parsed { script: ast::Script::default(), errors: vec![error], warnings: Vec::new() };
    }
    let mut all = Parsed { script: ast::Script::default(), errors: Vec::new(), warnings: Vec::new() };
    for file in source.imports.iter().map(|imported| imported.span).chain([source.own()]) {
        let mut parsed = parse_file(source, file, parameters, &all.script);
        if let (Some(entry), true) = (parsed.script.config.first(), file != source.own()) {
            let error = Diagnostic::error(entry.name.span, "a file that is imported cannot have a config block");
            parsed.errors.push(error.help("settings hold for the whole script: they stand in the one that is run"));
        }
        all.script.append(parsed.script);
        all.errors.extend(parsed.errors);
        all.warnings.extend(parsed.warnings);
    }
    all.errors.sort_by_key(|error| error.span.range().start);
    all
}

/// The imports that stand in a file of the script, which is a range of its text.
pub fn imports(source: &Source, file: Span) -> Vec<ast::Import> {
    parse_file(source, file, &[], &ast::Script::default()).script.imports
}

/// Parses one file. `before` is what has been read of others.
fn parse_file(source: &Source, file: Span, parameters: &[String], before: &ast::Script) -> Parsed {
    let (inactive, mut errors) = find_inactive(&source.text, file);
    let lexer = Lexer::new(&source.text, file, &inactive);
    let mut parsed = parser::parse_script(&source.text, lexer, parameters, before);
    parsed.errors.append(&mut errors);
    parsed
}

/// The tokens of a script, without those of what it imports, and what could not be lexed.
pub fn tokens(source: &Source) -> (Vec<Token>, Vec<Diagnostic>) {
    if let Some(error) = too_large(source) {
        return (Vec::new(), vec![error]);
    }
    let (inactive, mut errors) = find_inactive(&source.text, source.own());
    let mut lexer = Lexer::new(&source.text, source.own(), &inactive);
    let tokens = lexer.tokens();
    errors.append(&mut lexer.into_errors());
    (tokens, errors)
}

fn too_large(source: &Source) -> Option<Diagnostic> {
    (source.text.len() > MAX_SOURCE).then(|| {
        Diagnostic::error(Span::new(0, 0), format!("the script has {} bytes", source.text.len()))
            .help(format!("at most {MAX_SOURCE} are accepted"))
    })
}
