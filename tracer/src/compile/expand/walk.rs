//! Visits everything in a tree, to change it.

use crate::compile::syntax::ast::{
    Block, Expr, ExprKind, Iterable, Name, Stmt, StmtKind, TypeName, TypeNameKind, TypeOrExpr,
};

/// What is done at each node; it walks on by itself.
pub trait Walk {
    /// At an expression.
    fn expr(&mut self, expr: &mut Expr) {
        walk_expr(self, expr);
    }
    /// At a statement.
    fn stmt(&mut self, stmt: &mut Stmt) {
        walk_stmt(self, stmt);
    }
    /// At a block.
    fn block(&mut self, block: &mut Block) {
        walk_block(self, block);
    }
    /// At a variable's name in `let` and `for`.
    fn variable_name(&mut self, _name: &mut Name) {}
    /// At a map's name in `for`.
    fn map_name(&mut self, _name: &mut Name) {}
    /// At a type, and at each that it is made of, before what is in it.
    fn type_name(&mut self, _ty: &mut TypeName) {}
}

/// The parts of a block, in order.
pub fn walk_block(walk: &mut (impl Walk + ?Sized), block: &mut Block) {
    block.statements.iter_mut().for_each(|stmt| walk.stmt(stmt));
    block.value.iter_mut().for_each(|value| walk.expr(value));
}

/// The parts of a statement, in order.
pub fn walk_stmt(walk: &mut (impl Walk + ?Sized), stmt: &mut Stmt) {
    match &mut stmt.kind {
        StmtKind::Expr(expr) | StmtKind::Discard(expr) => walk.expr(expr),
        StmtKind::Let { name, ty, value } => {
            walk.variable_name(name);
            ty.iter_mut().for_each(|ty| walk_type(walk, ty));
            value.iter_mut().for_each(|value| walk.expr(value));
        }
        StmtKind::Return(value) => value.iter_mut().for_each(|value| walk.expr(value)),
        StmtKind::Assign { target, value, .. } => {
            walk.expr(target);
            walk.expr(value);
        }
        StmtKind::If { condition, then, otherwise } => {
            walk.expr(condition);
            walk.block(then);
            otherwise.iter_mut().for_each(|block| walk.block(block));
        }
        StmtKind::While { condition, body } | StmtKind::Unroll { count: condition, body } => {
            walk.expr(condition);
            walk.block(body);
        }
        StmtKind::For { variable, iterable, body } => {
            match iterable {
                Iterable::Map(name) => walk.map_name(name),
                Iterable::Range(from, to) => {
                    walk.expr(from);
                    walk.expr(to);
                }
            }
            walk.variable_name(variable);
            walk.block(body);
        }
        StmtKind::Block(block) => walk.block(block),
        StmtKind::Import(_) | StmtKind::Break | StmtKind::Continue => {}
    }
}

/// The parts of an expression, in order.
pub fn walk_expr(walk: &mut (impl Walk + ?Sized), expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::Map { key, .. } => key.iter_mut().for_each(|key| walk.expr(key)),
        ExprKind::Call { arguments, .. } => arguments.iter_mut().for_each(|argument| walk.expr(argument)),
        ExprKind::TypeQuery { of: TypeOrExpr::Expr(of), .. } => walk.expr(of),
        ExprKind::TypeQuery { of: TypeOrExpr::Type(ty), .. } => walk_type(walk, ty),
        ExprKind::Unary { operand, .. } | ExprKind::Comptime(operand) => walk.expr(operand),
        ExprKind::Type(ty) => walk_type(walk, ty),
        ExprKind::Cast { ty, operand } => {
            walk_type(walk, ty);
            walk.expr(operand);
        }
        ExprKind::Binary { left, right, .. } => {
            walk.expr(left);
            walk.expr(right);
        }
        ExprKind::Ternary { condition, then, otherwise } => {
            walk.expr(condition);
            then.iter_mut().for_each(|then| walk.expr(then));
            walk.expr(otherwise);
        }
        ExprKind::Field { base, .. } | ExprKind::Arrow { base, .. } => walk.expr(base),
        ExprKind::Index { base, index } => {
            walk.expr(base);
            walk.expr(index);
        }
        ExprKind::Tuple(parts) => parts.iter_mut().for_each(|part| walk.expr(part)),
        ExprKind::Record(parts) => parts.iter_mut().for_each(|(_, part)| walk.expr(part)),
        ExprKind::Block(block) => walk.block(block),
        ExprKind::If { condition, then, otherwise } => {
            walk.expr(condition);
            walk.block(then);
            walk.block(otherwise);
        }
        ExprKind::Integer { .. }
        | ExprKind::String(_)
        | ExprKind::Bool(_)
        | ExprKind::Identifier(_)
        | ExprKind::Variable(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Error => {}
    }
}

/// The expressions inside a type.
fn walk_type(walk: &mut (impl Walk + ?Sized), ty: &mut TypeName) {
    walk.type_name(ty);
    match &mut ty.kind {
        TypeNameKind::TypeOf(key) => walk.expr(&mut key.0),
        TypeNameKind::Pointer(of) | TypeNameKind::Array(of, _) => walk_type(walk, of),
        TypeNameKind::Tuple(parts) => parts.iter_mut().for_each(|part| walk_type(walk, part)),
        TypeNameKind::Named(_)
        | TypeNameKind::Struct(_)
        | TypeNameKind::Union(_)
        | TypeNameKind::Enum(_)
        | TypeNameKind::Sized(..) => {}
    }
}
