//! Calls of functions (see [`Function`]): one arm each.
//!
//! Those that walk over bytes are the runtime's: they are given the address of the bytes and, as a constant, how many there
//! are, so that the verifier sees where each walk ends.

use super::facts::{read_failure, text_failure};
use super::{Lowering, Number, memory::Place, number, shape};
use crate::compile::ir::{BinaryOp, Helper, Runtime, Value, Width};
use crate::compile::sema::functions::Clock;
use crate::compile::sema::typed::{self, Expr, ExprKind, Function};
use crate::plan::Shape;

impl Lowering<'_> {
    /// The result of a function that gives a number.
    pub(super) fn call_value(&mut self, function: Function, arguments: &[Expr], result: Number) -> Value {
        match (function, arguments) {
            (Function::SwapBytes, [number]) => {
                let number = self.value(number);
                // What a narrow number was extended with is in the low bytes now.
                let swapped = self.b.runtime(Runtime::SwapBytes, &[number]);
                let unused = 64 - 8 * i64::from(result.width.bytes());
                if unused == 0 { swapped } else { self.b.binary_with(BinaryOp::Shr, swapped, unused) }
            }
            (Function::Clock(clock), []) => match clock {
                Clock::Monotonic => self.b.helper(Helper::KtimeGetNs, &[]),
                Clock::Tai => self.b.helper(Helper::KtimeGetTaiNs, &[]),
                Clock::ComputedTai => {
                    let since_boot = self.b.helper(Helper::KtimeGetBootNs, &[]);
                    self.b.binary_with(BinaryOp::Add, since_boot, self.target.tai_offset)
                }
            },
            (Function::SocketCookie, [socket]) => {
                let socket = self.typed_address(socket);
                self.b.helper(Helper::GetSocketCookie, &[socket])
            }
            (Function::InitialId { thread }, []) => {
                let ids = self.b.helper(Helper::GetCurrentPidTgid, &[]);
                if thread { self.narrow(ids, result) } else { self.b.binary_with(BinaryOp::Shr, ids, 32) }
            }
            (Function::Jiffies, []) => self.b.helper(Helper::Jiffies64, &[]),
            (Function::NumaNode, []) => {
                let node = self.b.helper(Helper::GetNumaNodeId, &[]);
                self.narrow(node, result)
            }
            (Function::ParentPid, []) => {
                let pid = self.b.runtime(Runtime::ParentPid, &[]);
                self.narrow(pid, result)
            }
            (Function::Entries(map), []) => self.entries(map),
            (Function::TextLength, [text]) => {
                let (text, size) = self.bytes(text);
                self.b.runtime(Runtime::TextLength, &[text, size])
            }
            (Function::FindText, [text, wanted]) => {
                let (text, size) = self.bytes(text);
                let (wanted, wanted_size) = self.bytes(wanted);
                self.b.runtime(Runtime::FindText, &[text, size, wanted, wanted_size])
            }
            (Function::CompareBytes, [a, b, count]) => {
                let least = shape(&a.ty).size().min(shape(&b.ty).size());
                let ((a, _), (b, _)) = (self.bytes(a), self.bytes(b));
                let (size, count) = (self.b.constant(least.into()), self.value(count));
                self.b.runtime(Runtime::CompareBytes, &[a, b, size, count])
            }
            (Function::Signal { thread }, [signal]) => {
                let signal = self.value(signal);
                let helper = if thread { Helper::SendSignalThread } else { Helper::SendSignal };
                self.b.helper(helper, &[signal])
            }
            _ => unreachable!("analysis gives {} other arguments, or no number", function.name()),
        }
    }

    /// Writes the result of a function that gives something else.
    pub(super) fn write_call(&mut self, function: Function, arguments: &[Expr], result: &Shape, to: Place, room: u32) {
        match (function, arguments, result) {
            (Function::ReadBytes { user }, [address, length], &Shape::Buffer { size }) => {
                let address = self.value(address);
                let length = self.value(length);
                let length = self.buffer_head(length, size, to, room);
                let helper = if user { Helper::ProbeReadUser } else { Helper::ProbeReadKernel };
                let pointer = self.address(to.at(4));
                let result = self.b.helper(helper, &[pointer, length, address]);
                self.count_failed_read(result, read_failure(user));
            }
            (Function::TakeBytes, [bytes, length], &Shape::Buffer { size }) => {
                let available = shape(&bytes.ty).size();
                let from = self.place(bytes);
                let length = self.value(length);
                let length = self.buffer_head(length, size, to, room);
                match self.b.as_constant(length) {
                    Some(length) => self.copy(from, to.at(4), available.min(length as u32)),
                    None => {
                        let available = self.b.constant(available.into());
                        let length = self.at_most(length, available);
                        let (pointer, from) = (self.address(to.at(4)), self.address(from));
                        // What is copied is ours, so this does not fail.
                        self.b.helper(Helper::ProbeReadKernel, &[pointer, length, from]);
                    }
                }
            }
            (Function::ReadPath, [path], &Shape::Str { size }) => {
                let path = self.typed_address(path);
                // The helper leaves parts of the name behind its end.
                let name = self.temporary(size);
                let (pointer, bytes) = (self.address(name), self.b.constant(size.into()));
                self.zero(name, 0, size);
                let result = self.b.helper(Helper::DPath, &[path, pointer, bytes]);
                self.count_failed_read(result, text_failure(false));
                self.zero(to, 0, room);
                let (pointer, from) = (self.address(to), self.address(name));
                // What is ours can be read.
                self.b.helper(Helper::ProbeReadKernelStr, &[pointer, bytes, from]);
            }
            (Function::TakeText, [text], &Shape::Str { size }) => {
                let from = self.place(text);
                let bytes = size.saturating_sub(2).min(shape(&text.ty).size());
                self.copy(from, to, bytes);
                self.zero(to, bytes, room);
            }
            (Function::ConcatText, [a, b], &Shape::Str { size }) => self.concat_text(a, b, size, to, room),
            (Function::Inet, [family, address], Shape::Inet) => {
                let family = self.value(family);
                self.b.store(to.pointer, to.offset, Width::B8, family);
                self.write(address, to.at(8), room - 8);
            }
            _ => unreachable!("analysis gives {} other arguments, or a number", function.name()),
        }
    }

    /// An address that the verifier knows the type of: a word of the context, read from there itself, or so many bytes behind it.
    fn typed_address(&mut self, address: &Expr) -> Value {
        match &address.kind {
            ExprKind::ContextWord(word) => {
                let context = self.b.context();
                let address = self.b.load(context, 8 * i32::from(*word), Width::B8);
                if let typed::Context::Iterator { .. } = self.program.context {
                    // Where there is something to go over it is not 0, which the verifier does not know.
                    let there = self.b.new_block();
                    self.b.branch_if(address, there, self.end);
                    self.b.fill(there);
                }
                address
            }
            ExprKind::Convert(inner) => self.typed_address(inner),
            ExprKind::Binary(typed::BinaryOp::Add, base, offset) => {
                let (base, offset) = (self.typed_address(base), self.value(offset));
                self.b.binary(BinaryOp::Add, base, offset)
            }
            _ => unreachable!("analysis refuses other addresses here"),
        }
    }

    /// Writes a text and another one behind it. What lies behind the end of each is zeros.
    fn concat_text(&mut self, a: &Expr, b: &Expr, size: u32, to: Place, room: u32) {
        let (a_size, b_size) = (shape(&a.ty).size(), shape(&b.ty).size());
        let whole = a_size + b_size;
        // Where both might not fit, they are cut when they stand together.
        let fits = whole - 1 <= size;
        let together = if fits { to } else { self.temporary(whole) };
        self.write(a, together, if fits { room } else { whole });
        let (b_place, b_size) = (self.place(b), self.b.constant(b_size.into()));
        let (start, a_size) = (self.address(together), self.b.constant(a_size.into()));
        let length = self.b.runtime(Runtime::TextLength, &[start, a_size]);
        let last = self.b.constant(shape(&a.ty).size() as i64 - 1);
        let length = self.at_most(length, last);
        let end = self.b.binary(BinaryOp::Add, start, length);
        let from = self.address(b_place);
        // What is ours can be read.
        self.b.helper(Helper::ProbeReadKernel, &[end, b_size, from]);
        if !fits {
            self.copy(together, to, size - 1);
            self.zero(to, size - 1, room);
        }
    }

    /// Begins a buffer: how many bytes it has, no more than it holds, and zeros.
    fn buffer_head(&mut self, length: Value, size: u32, to: Place, room: u32) -> Value {
        let most = self.b.constant(size.into());
        let length = self.at_most(length, most);
        self.zero(to, 0, room);
        self.b.store(to.pointer, to.offset, Width::B4, length);
        length
    }

    /// The address of a value in memory, and how many bytes it has.
    fn bytes(&mut self, expr: &Expr) -> (Value, Value) {
        let size = shape(&expr.ty).size();
        let place = match number(shape(&expr.ty)) {
            Some(_) => {
                let place = self.temporary(size);
                self.write(expr, place, size);
                place
            }
            None => self.place(expr),
        };
        (self.address(place), self.b.constant(size.into()))
    }
}
