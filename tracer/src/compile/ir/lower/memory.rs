//! Values in memory: strings, tuples, keys; and the numbers inside them.
//!
//! Everything is written to a place that the consumer gives, in full, padding included. All places lie in memory whose
//! start is 8-byte aligned, and accesses are as wide as the offset allows: the verifier wants those of the stack aligned.

use super::{Lowering, Number, facts, number, shape};
use crate::compile::ir::fold;
use crate::compile::ir::{BinaryOp, Block, CompareOp, Helper, Runtime, Value, Width};
use crate::compile::sema::typed::{Builtin, Expr, ExprKind};
use crate::plan::Shape;
use tracer_common::failure::Failure;

/// Somewhere in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The start of a slot, a map's value or a record.
    pub pointer: Value,
    /// Bytes from there.
    pub offset: i32,
}

impl Place {
    /// The place so many bytes on.
    pub fn at(self, bytes: u32) -> Place {
        Place { pointer: self.pointer, offset: self.offset + bytes as i32 }
    }

    /// The widest access at `position`, not longer than what is left up to `end`.
    fn width(self, position: u32, end: u32) -> Width {
        let offset = self.offset as u32 + position;
        [Width::B8, Width::B4, Width::B2]
            .into_iter()
            .find(|width| offset.is_multiple_of(width.bytes()) && position + width.bytes() <= end)
            .unwrap_or(Width::B1)
    }
}

/// What is longer is zeroed and copied by a helper, in bytes: a call takes as long as some sixteen instructions.
const UNROLLED: u32 = 128;

impl Lowering<'_> {
    /// Memory until the end of the statement.
    pub(super) fn temporary(&mut self, size: u32) -> Place {
        let memory = self.allocate(size);
        self.temporaries.push(memory);
        self.memory_place(memory)
    }

    /// The address of a place, for helpers.
    pub(super) fn address(&mut self, place: Place) -> Value {
        self.b.binary_with(BinaryOp::Add, place.pointer, place.offset.into())
    }

    /// Writes zeros from `from` to `to`.
    pub(super) fn zero(&mut self, place: Place, from: u32, to: u32) {
        if to.saturating_sub(from) > UNROLLED {
            // Where nothing can be read, the helper fills with zeros; nothing can be read at address 0, and it sees that at once.
            let (pointer, size) = (self.address(place.at(from)), self.b.constant((to - from).into()));
            let nowhere = self.b.constant(0);
            self.b.helper(Helper::ProbeReadKernel, &[pointer, size, nowhere]);
            return;
        }
        let mut position = from;
        while position < to {
            let width = place.width(position, to);
            let zero = self.b.constant(0);
            self.b.store(place.pointer, place.at(position).offset, width, zero);
            position += width.bytes();
        }
    }

    /// Copies so many bytes.
    pub(super) fn copy(&mut self, from: Place, to: Place, size: u32) {
        if size > UNROLLED {
            let (from, to, size) = (self.address(from), self.address(to), self.b.constant(size.into()));
            // What is ours can be read.
            self.b.helper(Helper::ProbeReadKernel, &[to, size, from]);
            return;
        }
        let mut position = 0;
        while position < size {
            let width = from.width(position, size).min(to.width(position, size));
            let word = self.b.load(from.pointer, from.at(position).offset, width);
            self.b.store(to.pointer, to.at(position).offset, width, word);
            position += width.bytes();
        }
    }

    /// Evaluates an expression into memory, and fills with zeros what is left of `room` bytes behind it.
    pub(super) fn write(&mut self, expr: &Expr, to: Place, room: u32) {
        let outer = std::mem::replace(&mut self.b.span, expr.span);
        self.write_here(expr, to, room);
        self.b.span = outer;
    }

    fn write_here(&mut self, expr: &Expr, to: Place, room: u32) {
        let shape = shape(&expr.ty);
        if let Some(number) = number(shape) {
            let value = self.value(expr);
            return self.store(value, number, to, room);
        }
        match &expr.kind {
            ExprKind::Str(text) => self.write_text(text, to, room),
            ExprKind::Tuple(parts) => self.write_parts(parts, shape, to, room),
            ExprKind::Read { address, user } => {
                let address = self.value(address);
                let (pointer, size) = (self.address(to), self.b.constant(shape.size().into()));
                let helper = if *user { Helper::ProbeReadUser } else { Helper::ProbeReadKernel };
                // It fills the memory with zeros where it fails.
                let result = self.b.helper(helper, &[pointer, size, address]);
                self.count_failed_read(result, facts::read_failure(*user));
                self.zero(to, shape.size(), room);
            }
            ExprKind::OrElse(first, otherwise) => {
                self.write(first, to, room);
                let (empty, done) = (self.b.new_block(), self.b.new_block());
                let head = self.b.load(to.pointer, to.offset, Width::B1);
                self.b.branch_if(head, done, empty);
                self.b.fill(empty);
                self.write(otherwise, to, room);
                self.b.jump(done, &[]);
                self.b.fill(done);
            }
            ExprKind::Block(block, value) => {
                self.before_value(block);
                self.write(value, to, room);
            }
            ExprKind::ReadStr { address, user, length } => {
                let address = self.value(address);
                self.zero(to, 0, room);
                let result = self.read_text(address, *user, length.as_deref(), to, shape.size());
                self.count_failed_read(result, facts::text_failure(*user));
            }
            ExprKind::Call(function, arguments) => self.write_call(*function, arguments, shape, to, room),
            ExprKind::Stack { user, depth } => {
                self.write_stack(*user, *depth, to);
                self.zero(to, shape.size(), room);
            }
            ExprKind::Address(address) => {
                let address = self.value(address);
                let pointer = self.address(to);
                self.b.runtime(Runtime::Address, &[pointer, address]);
                self.zero(to, shape.size(), room);
            }
            ExprKind::Builtin(Builtin::Comm) if self.comm_uses == 1 => {
                self.read_comm(to);
                self.zero(to, shape.size(), room);
            }
            ExprKind::MapGet { map, key } => {
                self.write_map_value(*map, key.as_deref(), to);
                self.zero(to, shape.size(), room);
            }
            ExprKind::Convert(inner) => match (super::shape(&inner.ty), shape) {
                (Shape::Str { .. }, Shape::Str { .. }) => self.write(inner, to, room),
                (from, _) if let Some(number) = number(from) => {
                    let value = self.value(inner);
                    self.store(value, number, to, room);
                }
                (from_shape, _) => {
                    let from = self.place(inner);
                    self.copy_converted(from, from_shape, to, shape, room);
                }
            },
            ExprKind::Ternary(condition, then, otherwise) => {
                let (yes, no, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
                self.condition(condition, yes, no);
                for (block, value) in [(yes, then), (no, otherwise)] {
                    self.b.fill(block);
                    if self.b.reachable() {
                        self.write(value, to, room);
                        self.b.jump(done, &[]);
                    }
                }
                self.b.fill(done);
            }
            ExprKind::Local(_) | ExprKind::Element(..) | ExprKind::Builtin(_) => {
                let from = self.place(expr);
                self.copy(from, to, shape.size());
                self.zero(to, shape.size(), room);
            }
            _ => unreachable!("analysis gives {:?} the type of a number", expr.kind),
        }
    }

    /// Stores a number, and zeros behind it up to `room` bytes. One store does for both where the value has zeros there.
    pub(super) fn store(&mut self, value: Value, number: Number, to: Place, room: u32) {
        let wide = to.width(0, room).max(number.width);
        let (value, width) = match self.b.as_constant(value) {
            Some(constant) => (self.b.constant(fold::extend(constant, number.width, false)), wide),
            None if !number.signed => (value, wide),
            None => (value, number.width),
        };
        self.store_at(to, width, value);
        self.zero(to, width.bytes(), room);
    }

    /// The low bytes of a value, in two halves where the place is not aligned for one access: as for [`Self::load`].
    fn store_at(&mut self, to: Place, width: Width, value: Value) {
        if (to.offset as u32).is_multiple_of(width.bytes()) {
            return self.b.store(to.pointer, to.offset, width, value);
        }
        let half = width.bytes() / 2;
        self.store_at(to, Width::of(half), value);
        let high = self.b.binary_with(BinaryOp::Shr, value, (8 * half).into());
        self.store_at(to.at(half), Width::of(half), high);
    }

    /// Where the value of an expression is: where it is kept, or a temporary that it is written to.
    pub(super) fn place(&mut self, expr: &Expr) -> Place {
        match &expr.kind {
            ExprKind::Local(local) => self.local_place(*local),
            ExprKind::Element(tuple, index) => {
                let offset = offset_of(shape(&tuple.ty), *index);
                self.place(tuple).at(offset)
            }
            ExprKind::Builtin(Builtin::Comm) => self.comm(),
            _ => {
                let size = shape(&expr.ty).size();
                let place = self.temporary(size);
                self.write(expr, place, size);
                place
            }
        }
    }

    /// Bytes from memory, in two halves where the verifier would not let one access take them: members of packed
    /// structures, and arrays that are numbers, may lie anywhere.
    pub(super) fn load(&mut self, place: Place, width: Width) -> Value {
        if (place.offset as u32).is_multiple_of(width.bytes()) {
            return self.b.load(place.pointer, place.offset, width);
        }
        let half = width.bytes() / 2;
        let low = self.load(place, Width::of(half));
        let high = self.load(place.at(half), Width::of(half));
        let high = self.b.binary_with(BinaryOp::Shl, high, (8 * half).into());
        self.b.binary(BinaryOp::Or, low, high)
    }

    /// A number in a tuple, record or array.
    pub(super) fn element(&mut self, expr: &Expr) -> Value {
        let place = self.place(expr);
        facts::load(self, place, shape(&expr.ty))
    }

    /// The number at an index of an array or text; 0 if there is none.
    pub(super) fn indexed(&mut self, base: &Expr, index: &Expr, element: Number) -> Value {
        let place = self.place(base);
        let index = self.value(index);
        let length = self.b.constant((shape(&base.ty).size() / element.width.bytes()).into());
        let (inside, outside, done) = (self.b.new_block(), self.b.new_cold_block(), self.b.new_block());
        let result = self.b.parameter(done);
        self.b.branch(CompareOp::ULt, index, length, inside, outside);
        self.b.fill(inside);
        let offset = self.b.binary_with(BinaryOp::Mul, index, element.width.bytes().into());
        let pointer = self.b.binary(BinaryOp::Add, place.pointer, offset);
        let value = self.b.load(pointer, place.offset, element.width);
        let value = self.b.extend(value, element.width, element.signed);
        self.b.jump(done, &[value]);
        self.b.fill(outside);
        self.failed(Failure::NoElement, None);
        let zero = self.b.constant(0);
        self.b.jump(done, &[zero]);
        self.b.fill(done);
        result
    }

    fn write_text(&mut self, text: &str, to: Place, size: u32) {
        let end = (text.len() as u32).next_multiple_of(8).min(size);
        self.zero(to, end, size);
        let mut position = 0;
        while position < end {
            let width = to.width(position, end);
            let word = self.b.constant(word(text.as_bytes(), position, width));
            self.b.store(to.pointer, to.at(position).offset, width, word);
            position += width.bytes();
        }
    }

    /// The parts of a tuple, a record of the language, an array.
    fn write_parts(&mut self, parts: &[Expr], whole: &Shape, to: Place, room: u32) {
        for (index, part) in (0..).zip(parts) {
            let offset = offset_of(whole, index);
            let end = if index as usize + 1 < parts.len() { offset_of(whole, index + 1) } else { room };
            self.write(part, to.at(offset), end - offset);
        }
    }

    /// Copies a text or a tuple to a place for longer texts and wider numbers.
    fn copy_converted(&mut self, from: Place, from_shape: &Shape, to: Place, to_shape: &Shape, room: u32) {
        if let Some(number) = number(to_shape) {
            let value = facts::load(self, from, from_shape);
            return self.store(value, number, to, room);
        }
        match (from_shape, to_shape) {
            (Shape::Tuple(from_parts), Shape::Tuple(to_parts)) => {
                let from_parts = Shape::offsets(from_parts);
                for (((from_offset, from_part), to_part), (offset, end)) in
                    from_parts.zip(to_parts).zip(rooms(to_parts, room))
                {
                    self.copy_converted(from.at(from_offset), from_part, to.at(offset), to_part, end - offset);
                }
            }
            _ => {
                let size = from_shape.size().min(to_shape.size());
                self.copy(from, to, size);
                self.zero(to, size, room);
            }
        }
    }

    /// `str(address, length)`. The helper writes the text and its NUL. The result is how many bytes that are, or an error.
    pub(super) fn read_text(
        &mut self,
        address: Value,
        user: bool,
        length: Option<&Expr>,
        to: Place,
        size: u32,
    ) -> Value {
        let whole = self.b.constant(size.into());
        let limit = match length {
            None => whole,
            Some(length) => {
                let length = self.value(length);
                self.at_most(length, whole)
            }
        };
        let pointer = self.address(to);
        let helper = if user { Helper::ProbeReadUserStr } else { Helper::ProbeReadKernelStr };
        self.b.helper(helper, &[pointer, limit, address])
    }

    /// The smaller of two unsigned numbers.
    pub(super) fn at_most(&mut self, value: Value, limit: Value) -> Value {
        if let (Some(value), Some(limit)) = (self.b.as_constant(value), self.b.as_constant(limit)) {
            return self.b.constant((value as u64).min(limit as u64) as i64);
        }
        let (within, beyond, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        let result = self.b.parameter(done);
        self.b.branch(CompareOp::ULe, value, limit, within, beyond);
        self.b.fill(within);
        self.b.jump(done, &[value]);
        self.b.fill(beyond);
        self.b.jump(done, &[limit]);
        self.b.fill(done);
        result
    }

    /// Branches on whether two texts are equal in the first `length` bytes or to their ends.
    ///
    /// Texts are zero behind their ends, so comparing as many bytes as both have compares them whole; a literal can be
    /// compared in whole words, for the zeros behind it are known.
    pub(super) fn branch_text_equal(
        &mut self,
        (a, b, length): (&Expr, &Expr, Option<u32>),
        equal: Block,
        different: Block,
    ) {
        let size = |text: &Text<'_>, expr: &Expr| match text {
            Text::Literal(bytes) => bytes.len() as u32 + 1,
            Text::Memory(_) => shape(&expr.ty).size(),
        };
        let (a_expr, b_expr) = (a, b);
        let (a, b) = (self.text(a), self.text(b));
        let (a_size, b_size) = (size(&a, a_expr), size(&b, b_expr));
        let both = a_size.min(b_size);
        let mut end = length.map_or(both, |length| length.min(both));
        if length.is_none_or(|length| length >= both) {
            end = match (&a, &b) {
                (Text::Literal(_), Text::Memory(_)) => end.next_multiple_of(8).min(b_size),
                (Text::Memory(_), Text::Literal(_)) => end.next_multiple_of(8).min(a_size),
                _ => end,
            };
        }
        let mut position = 0;
        if let (Text::Memory(a), Text::Memory(b), true) = (&a, &b, end > UNROLLED) {
            let (a, b, words) = (self.address(*a), self.address(*b), self.b.constant((end / 8).into()));
            let differ = self.b.runtime(Runtime::Differ, &[a, b, words]);
            position = end / 8 * 8;
            let same = self.b.new_block();
            self.b.branch_if(differ, different, same);
            self.b.fill(same);
        }
        while position < end {
            let width = a.width(position, end).min(b.width(position, end));
            let (x, y) = (self.text_word(&a, position, width), self.text_word(&b, position, width));
            position += width.bytes();
            let next = if position < end { self.b.new_block() } else { equal };
            self.b.branch(CompareOp::Eq, x, y, next, different);
            if next != equal {
                self.b.fill(next);
            }
        }
        if self.b.reachable() {
            self.b.jump(equal, &[]);
        }
    }

    fn text<'a>(&mut self, expr: &'a Expr) -> Text<'a> {
        match &expr.kind {
            ExprKind::Str(text) => Text::Literal(text.as_bytes()),
            // What is behind a converted text's own end is zero, and need not be looked at.
            ExprKind::Convert(inner) if matches!(inner.kind, ExprKind::Str(_)) => self.text(inner),
            _ => Text::Memory(self.place(expr)),
        }
    }

    fn text_word(&mut self, text: &Text<'_>, position: u32, width: Width) -> Value {
        match *text {
            Text::Literal(bytes) => self.b.constant(word(bytes, position, width)),
            Text::Memory(place) => self.b.load(place.pointer, place.at(position).offset, width),
        }
    }
}

/// Where a part of a tuple, a member of a record or an element of an array begins.
fn offset_of(whole: &Shape, index: u32) -> u32 {
    match whole {
        Shape::Tuple(parts) => {
            let part = Shape::offsets(parts).nth(index as usize);
            part.expect("analysis checks the index").0
        }
        Shape::Record { members, .. } => members[index as usize].offset,
        Shape::Array { element, .. } => element.size() * index,
        // As `tracer_common::stack::StackId` has it.
        Shape::Stack(_) => 8 * index,
        _ => unreachable!("it has no parts"),
    }
}

/// For each part of a tuple where it begins, and where the next one does; the last one has all that is left of `room`.
pub(super) fn rooms(parts: &[Shape], room: u32) -> Vec<(u32, u32)> {
    let starts: Vec<u32> = Shape::offsets(parts).map(|(offset, _)| offset).collect();
    let ends = starts.iter().copied().skip(1).chain([room]);
    starts.iter().copied().zip(ends).collect()
}

/// A text to be compared.
enum Text<'a> {
    Literal(&'a [u8]),
    Memory(Place),
}

impl Text<'_> {
    fn width(&self, position: u32, end: u32) -> Width {
        let anywhere = Place { pointer: Value(0), offset: 0 };
        match self {
            Self::Literal(_) => anywhere.width(position, end),
            Self::Memory(place) => place.width(position, end),
        }
    }
}

/// The bytes of a text at `position` as a number, zeros behind its end.
fn word(text: &[u8], position: u32, width: Width) -> i64 {
    let mut bytes = [0; 8];
    for (index, byte) in bytes.iter_mut().take(width.bytes() as usize).enumerate() {
        *byte = text.get(position as usize + index).copied().unwrap_or(0);
    }
    i64::from_le_bytes(bytes)
}
