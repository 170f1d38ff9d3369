//! What a script must have, and must not, outside of its probes.

use super::builtins;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;

/// An error for each thing that is wrong.
pub fn check(script: &ast::Script) -> Vec<Diagnostic> {
    let built_in = |function: &&ast::Function| {
        builtins::function(&function.name.text).is_some() || builtins::word(&function.name.text).is_some()
    };
    let mut all: Vec<Diagnostic> = (script.functions.iter().filter(built_in))
        .map(|function| {
            let error = Diagnostic::error(function.name.span, format!("`{}` is built in", function.name.text));
            error.help("give your function another name")
        })
        .collect();
    if script.probes.is_empty() && all.is_empty() {
        all.push(Diagnostic::error(Default::default(), "the script has no probes"));
    }
    all
}
