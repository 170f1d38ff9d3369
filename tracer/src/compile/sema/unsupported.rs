//! Parts of a script, outside of probes, that are refused so far.

use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;

/// An error for each of them.
pub fn check(script: &ast::Script) -> Vec<Diagnostic> {
    let refused = |span, what: &str| Diagnostic::error(span, format!("{what} are not supported yet"));
    let imports = script.imports.iter().map(|import| refused(import.span, "imports"));
    let functions = script.functions.iter().map(|function| refused(function.name.span, "functions"));
    let mut all: Vec<Diagnostic> = imports.chain(functions).collect();
    if script.probes.is_empty() && all.is_empty() {
        all.push(Diagnostic::error(Default::default(), "the script has no probes"));
    }
    all
}
