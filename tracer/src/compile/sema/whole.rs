//! What a script must have, and must not, outside of its probes.

use super::builtins;
use crate::compile::diagnostics::{Diagnostic, did_you_mean};
use crate::compile::expand::walk::{Walk, walk_expr};
use crate::compile::source::Span;
use crate::compile::syntax::ast::{self, Expr, ExprKind};
use crate::compile::target::Target;

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
    for (at, definition) in script.definitions.iter().enumerate() {
        // Those without a tag have names of their own.
        let before = script.definitions[..at].iter().find(|before| before.name.text == definition.name.text);
        if let Some(before) = before.filter(|_| !definition.name.text.is_empty()) {
            let error =
                Diagnostic::error(definition.name.span, format!("`{}` is defined already", definition.name.text));
            all.push(error.also(before.name.span, "here"));
        }
    }
    if script.probes.is_empty() && all.is_empty() {
        all.push(Diagnostic::error(Default::default(), "the script has no probes"));
    }
    all
}

/// An error for each option that is given to the script, and that it does not ask for.
pub fn unasked(script: &ast::Script, target: &Target) -> Vec<Diagnostic> {
    if target.named.is_empty() {
        return Vec::new();
    }
    let mut asked = Asked(Vec::new());
    for mut probe in script.probes.clone() {
        probe.predicate.iter_mut().for_each(|predicate| asked.expr(predicate));
        asked.block(&mut probe.body);
    }
    let asked = asked.0;
    let unknown = target.named.iter().filter(|(name, _)| !asked.contains(name));
    unknown
        .map(|(name, _)| {
            let error = Diagnostic::error(Span::NOWHERE, format!("the script has no option `--{name}`"));
            match did_you_mean(name, asked.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `--{near}`?")),
                None if asked.is_empty() => error,
                None => {
                    let all: Vec<_> = asked.iter().map(|name| format!("`--{name}`")).collect();
                    error.help(format!("it asks for {}", all.join(", ")))
                }
            }
        })
        .collect()
}

/// The options that a script asks for, each once.
struct Asked(Vec<String>);

impl Walk for Asked {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call { name, arguments } = &expr.kind
            && name.text == "getopt"
            && let Some(Expr { kind: ExprKind::String(option), .. }) = arguments.first()
            && !self.0.contains(option)
        {
            self.0.push(option.clone());
        }
        walk_expr(self, expr);
    }
}
