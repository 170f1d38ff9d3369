//! Whether an event is the scope's, and what the runtime library knows of tasks and other things in the kernel.

use super::Lowering;
use super::facts::Fact;
use crate::compile::ir::{BinaryOp, CompareOp, Helper, Runtime, Value, Width};
use crate::compile::sema::typed::{Context, Expr, ExprKind, Question, Subject};

impl Lowering<'_> {
    /// Ends the program for events of others.
    pub(super) fn scope_check(&mut self) {
        if let Context::Iterator { .. } = self.program.context {
            self.only_if_there_is_one();
        }
        self.only_if_in_scope();
        if let Context::Iterator { output } = self.program.context {
            self.tell_the_reader(output);
        }
    }

    fn only_if_in_scope(&mut self) {
        if self.target.sees_everybody() {
            return;
        }
        let in_scope = match self.program.subject {
            Subject::Anybody => return,
            Subject::Current => self.current_in_scope(),
            Subject::Task(word) => self.word_in_scope(word),
            // Both are asked, for the clauses ask again for either.
            Subject::Either(word) => {
                let (current, task) = (self.current_in_scope(), self.word_in_scope(word));
                self.b.binary(BinaryOp::Or, current, task)
            }
            Subject::Socket(word) => {
                let socket = self.context_word(word);
                self.b.runtime(Runtime::OwnsSocket, &[socket])
            }
            Subject::Packet(word) => {
                let packet = self.context_word(word);
                self.b.runtime(Runtime::OwnsPacket, &[packet])
            }
            Subject::Request { word, bio, or_current } => {
                let mut request = self.context_word(word);
                if let Some(offset) = bio {
                    let address = self.b.binary_with(BinaryOp::Add, request, offset.into());
                    request = self.read_number(address, false, Width::B8);
                    self.release_temporaries(0);
                }
                let owned = self.b.runtime(Runtime::OwnsRequest, &[request]);
                match or_current {
                    true => {
                        let current = self.current_in_scope();
                        self.b.binary(BinaryOp::Or, current, owned)
                    }
                    false => owned,
                }
            }
        };
        self.go_on_if(in_scope);
    }

    /// Ends the program where a value is zero.
    fn go_on_if(&mut self, value: Value) {
        let zero = self.b.constant(0);
        self.go_on_where(CompareOp::Ne, value, zero);
    }

    /// Ends the program where two values do not compare so.
    pub(super) fn go_on_where(&mut self, op: CompareOp, a: Value, b: Value) {
        let (inside, outside) = (self.b.new_block(), self.b.new_block());
        self.b.branch(op, a, b, inside, outside);
        self.b.fill(outside);
        self.b.ret();
        self.b.fill(inside);
    }

    /// Ends an iterator's program where there is no more to go over: the kernel calls it then, too, as in bpftrace without
    /// effect.
    fn only_if_there_is_one(&mut self) {
        let one = self.context_word(1);
        self.release_temporaries(0);
        self.go_on_if(one);
    }

    /// Writes a byte to whoever reads an iterator: the kernel goes on until it has as many as are asked for, so that
    /// the reader can take records out of the ring meanwhile.
    fn tell_the_reader(&mut self, output: u32) {
        let context = self.b.context();
        let meta = self.b.load(context, 0, Width::B8);
        let file = self.b.load(meta, output as i32, Width::B8);
        let byte = self.temporary(1);
        let (nothing, size) = (self.b.constant(0), self.b.constant(1));
        self.b.store(byte.pointer, byte.offset, Width::B1, nothing);
        let pointer = self.address(byte);
        self.b.helper(Helper::SeqWrite, &[file, pointer, size]);
        self.release_temporaries(0);
    }

    /// To the clause's end where the current task is none of the scope's.
    pub(super) fn only_if_current_is_in_scope(&mut self) {
        // In an iterator's program the current task is ctrace, as in those of begin and end.
        let ours = matches!(self.program.context, Context::Iterator { .. });
        if ours || self.target.sees_everybody() || matches!(self.program.subject, Subject::Anybody | Subject::Current) {
            return;
        }
        let inside = self.b.new_block();
        let in_scope = self.current_in_scope();
        self.b.branch_if(in_scope, inside, self.end);
        self.b.fill(inside);
    }

    /// A word of the context.
    pub(super) fn context_word(&mut self, n: u8) -> Value {
        let context = self.b.context();
        let offset = 8 * i16::from(n);
        // Loaded, a word may be a typed pointer, with which the verifier lets hardly anything be done. Copied, all are
        // numbers.
        if matches!(self.program.context, Context::TypedWords | Context::Iterator { .. }) {
            let address = self.b.binary_with(BinaryOp::Add, context, offset.into());
            return self.read_number(address, false, Width::B8);
        }
        self.b.load(context, offset, Width::B8)
    }

    /// The answer to a question about what an expression is the address of, or is.
    pub(super) fn ask(&mut self, question: Question, of: &Expr) -> Value {
        let function = match (question, &of.kind) {
            (Question::InScope, _) if self.target.sees_everybody() => return self.b.constant(1),
            (Question::InScope, ExprKind::ContextWord(word)) => return self.word_in_scope(*word),
            (Question::InScope, _) => Runtime::InScopeOf,
            (Question::TaskId | Question::ProcessId, _) => Runtime::TaskIds,
            (Question::PidNumber, _) => Runtime::PidNumber,
            (Question::RequestLetters, _) => Runtime::RequestLetters,
        };
        let argument = self.value(of);
        let answer = self.b.runtime(function, &[argument]);
        match question {
            Question::TaskId => self.b.extend(answer, Width::B4, false),
            Question::ProcessId => self.b.binary_with(BinaryOp::Shr, answer, 32),
            Question::InScope | Question::PidNumber | Question::RequestLetters => answer,
        }
    }

    fn current_in_scope(&mut self) -> Value {
        self.fact(Fact::CurrentInScope, |l| {
            let task = if l.target.scope.reads_task() { l.task() } else { l.b.constant(0) };
            l.b.runtime(Runtime::InScope, &[task])
        })
    }

    fn word_in_scope(&mut self, word: u8) -> Value {
        self.fact(Fact::WordInScope(word), |l| {
            let task = l.context_word(word);
            l.b.runtime(Runtime::InScopeOf, &[task])
        })
    }
}
