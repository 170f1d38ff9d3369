//! Statements.

use super::{Local, Lowering, number, scratch::Memory, shape};
use crate::compile::sema::typed::{Builtin, Clause, Expr, ExprKind, LocalId, Stmt, StmtKind};

impl Lowering<'_> {
    /// Statements in a row, as far as they can be reached.
    pub(super) fn block(&mut self, statements: &[Stmt]) {
        for statement in statements {
            if !self.b.reachable() {
                return;
            }
            let temporaries = self.temporaries.len();
            self.b.span = statement.span;
            self.statement(&statement.kind);
            self.release_temporaries(temporaries);
        }
    }

    fn statement(&mut self, statement: &StmtKind) {
        match statement {
            StmtKind::Expr(expr) => self.effect(expr),
            StmtKind::SetLocal(local, value) => self.set_local(*local, value),
            StmtKind::SetMap { map, key, value } => self.set_map(*map, key.as_ref(), value),
            StmtKind::Aggregate { map, key, aggregation, argument, weight } => {
                self.aggregate(*map, key.as_ref(), *aggregation, argument.as_ref(), weight.as_ref());
            }
            StmtKind::Delete { map, key } => self.delete(*map, key.as_ref()),
            StmtKind::Emit { record, arguments } => self.emit(*record, arguments),
            StmtKind::If { condition, then, otherwise } => {
                let (yes, no, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
                self.condition(condition, yes, no);
                for (block, statements) in [(yes, then), (no, otherwise)] {
                    self.b.fill(block);
                    self.block(statements);
                    if self.b.reachable() {
                        self.b.jump(done, &[]);
                    }
                }
                self.b.fill(done);
            }
            StmtKind::Block(statements) => self.block(statements),
            StmtKind::Loop { condition, body, step } => self.take_turns(condition, body, step),
            StmtKind::ForEach { map, entry, body } => self.for_each(*map, *entry, body),
            StmtKind::Break => self.leave_loop(),
            StmtKind::Continue => self.next_turn(),
            StmtKind::Return => self.b.jump(self.end, &[]),
        }
    }

    /// The statements of a block that stands as a value. Whoever wants the value must be able to go on, so a block that might
    /// leave is passed over if a zero is not zero: nothing but that is known of it before the program runs.
    pub(super) fn before_value(&mut self, block: &[Stmt]) {
        let leaves = |stmt: &Stmt| matches!(stmt.kind, StmtKind::Return | StmtKind::Break | StmtKind::Continue);
        if !block.iter().any(|stmt| stmt.any(&mut |stmt| leaves(stmt))) {
            return self.block(block);
        }
        let (inside, behind) = (self.b.new_block(), self.b.new_block());
        let zero = self.b.unknown_zero();
        self.b.branch_if(zero, behind, inside);
        self.b.fill(inside);
        self.block(block);
        if self.b.reachable() {
            self.b.jump(behind, &[]);
        }
        self.b.fill(behind);
    }

    /// Evaluates for effect only.
    fn effect(&mut self, expr: &Expr) {
        match number(shape(&expr.ty)) {
            Some(_) => {
                self.value(expr);
            }
            None => {
                self.place(expr);
            }
        }
    }

    fn set_local(&mut self, local: LocalId, value: &Expr) {
        if number(shape(&value.ty)).is_some() {
            let value = self.value(value);
            return self.write_local(local, value);
        }
        let to = self.local_place(local);
        let size = shape(&value.ty).size();
        if mentions(value, local) {
            // A part may be read after it has been overwritten.
            let copy = self.temporary(size);
            self.write(value, copy, size);
            self.copy(copy, to, size);
        } else {
            self.write(value, to, size);
        }
    }

    /// Variables start as zero. Those in scratch memory are left for [`Self::zero_scratch_locals`] until there is some.
    pub(super) fn zero_locals(&mut self, clause: &Clause, scratch: bool) {
        for (index, local) in clause.locals.iter().enumerate() {
            let id = LocalId(index as u32);
            match self.locals[index] {
                Local::Number(_) => {
                    let zero = self.b.constant(0);
                    self.write_local(id, zero);
                }
                Local::Shared(_) => {
                    let place = self.local_place(id);
                    self.zero(place, 0, shape(&local.ty).size().next_multiple_of(8));
                }
                Local::Memory(Memory::Scratch(_)) if !scratch => {}
                Local::Memory(memory) => self.zero_memory_local(clause, id, memory),
            }
        }
    }

    /// The rest of the variables.
    pub(super) fn zero_scratch_locals(&mut self, clause: &Clause) {
        for index in 0..clause.locals.len() {
            if let Local::Memory(memory @ Memory::Scratch(_)) = self.locals[index] {
                self.zero_memory_local(clause, LocalId(index as u32), memory);
            }
        }
    }

    /// One that the body begins with assigning to need not be written twice.
    fn zero_memory_local(&mut self, clause: &Clause, id: LocalId, memory: Memory) {
        let assigned_first = clause.predicate.as_ref().is_none_or(|predicate| !mentions(predicate, id))
            && clause.body.iter().find(|statement| names(statement, id)).is_none_or(
                |first| matches!(&first.kind, StmtKind::SetLocal(set, value) if *set == id && !mentions(value, id)),
            );
        if !assigned_first {
            let place = self.memory_place(memory);
            self.zero(place, 0, shape(&clause.locals[id.0 as usize].ty).size());
        }
    }
}

/// Whether a variable is read or written in a statement.
pub(super) fn names(statement: &Stmt, local: LocalId) -> bool {
    statement
        .any(&mut |inner| assigns(inner, local) || inner.kind.exprs().into_iter().any(|expr| mentions(expr, local)))
}

fn assigns(statement: &Stmt, local: LocalId) -> bool {
    match statement.kind {
        StmtKind::SetLocal(set, _) | StmtKind::ForEach { entry: set, .. } => set == local,
        _ => false,
    }
}

fn mentions(expr: &Expr, local: LocalId) -> bool {
    let assigned = expr.any_stmt(&mut |statement| assigns(statement, local));
    assigned
        || expr.any(&mut |expr| match expr.kind {
            ExprKind::Local(id) | ExprKind::LocalAdd { local: id, .. } => id == local,
            _ => false,
        })
}

/// How often a clause names a built-in.
pub(super) fn uses(clause: &Clause, builtin: Builtin) -> usize {
    fn in_block(block: &[Stmt], count: &mut impl FnMut(&Expr) -> bool) {
        for statement in block {
            statement.kind.exprs().into_iter().for_each(|expr| {
                expr.any(count);
            });
            statement.kind.blocks().into_iter().for_each(|block| in_block(block, count));
        }
    }
    let mut uses = 0;
    let mut count = |expr: &Expr| {
        uses += usize::from(matches!(expr.kind, ExprKind::Builtin(named) if named == builtin));
        // Not to stop at the first one.
        false
    };
    if let Some(predicate) = &clause.predicate {
        predicate.any(&mut count);
    }
    in_block(&clause.body, &mut count);
    uses
}
