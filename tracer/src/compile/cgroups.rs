//! The cgroups that a script names in `cgroupid("path")`, to be looked at before it is compiled.

use super::expand::walk::{Walk, walk_block, walk_expr, walk_stmt};
use super::syntax::ast::{Block, Expr, ExprKind, Script, Stmt};

/// Their paths, in the order of the script; those in macros included.
pub fn named(mut script: Script) -> Vec<String> {
    let mut paths = Paths(Vec::new());
    for probe in &mut script.probes {
        probe.predicate.iter_mut().for_each(|predicate| paths.expr(predicate));
        paths.block(&mut probe.body);
    }
    script.macros.iter_mut().for_each(|definition| paths.block(&mut definition.body));
    script.functions.iter_mut().for_each(|function| paths.block(&mut function.body));
    paths.0
}

struct Paths(Vec<String>);

impl Walk for Paths {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call { name, arguments } = &expr.kind
            && name.text == "cgroupid"
            && let [Expr { kind: ExprKind::String(path), .. }] = &arguments[..]
        {
            self.0.push(path.clone());
        }
        walk_expr(self, expr);
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        walk_stmt(self, stmt);
    }

    fn block(&mut self, block: &mut Block) {
        walk_block(self, block);
    }
}
