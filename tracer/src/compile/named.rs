//! What a script names in `cgroupid("path")`, `kaddr("symbol")` and their like, to be looked at before it is compiled.

use super::expand::walk::{Walk, walk_expr};
use super::syntax::ast::{Expr, ExprKind, Script};

/// The first arguments of these functions that are written out, in the order of the script; those in macros included.
pub fn first_arguments(script: &mut Script, functions: &[&str]) -> Vec<String> {
    let mut names = Names { functions, found: Vec::new() };
    for probe in &mut script.probes {
        probe.predicate.iter_mut().for_each(|predicate| names.expr(predicate));
        names.block(&mut probe.body);
    }
    script.macros.iter_mut().for_each(|definition| names.block(&mut definition.body));
    script.functions.iter_mut().for_each(|function| names.block(&mut function.body));
    names.found
}

struct Names<'a> {
    functions: &'a [&'a str],
    found: Vec<String>,
}

impl Walk for Names<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call { name, arguments } = &expr.kind
            && self.functions.contains(&name.text.as_str())
            && let [Expr { kind: ExprKind::String(first), .. }, ..] = &arguments[..]
        {
            self.found.push(first.clone());
        }
        walk_expr(self, expr);
    }
}
