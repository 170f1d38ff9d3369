//! Records in the ring.
//!
//! The payload is written straight into the record. Between reserving and submitting nothing leaves the clause, so the
//! verifier finds no way on which the reference is lost; and numbers are computed before the record is asked for, so
//! that what they do (`@x++`) is done even when the ring is full.
//!
//! A record with long texts is made in scratch memory and copied into the ring when it is known how long they are: what a
//! reader has to go through is what was read, not what might have been.

use super::facts::text_failure;
use super::memory::{Place, rooms};
use super::{Lowering, Number, number, shape};
use tracer_common::record::{CONTROL_SIZE, JOINED_HEAD, JOINED_MAX, STAMP_SIZE};

use crate::compile::ir::{BinaryOp, Block, CompareOp, Helper, Inst, MapRef, Runtime, Value, Width};
use crate::compile::sema::typed::{Expr, ExprKind};
use crate::plan::{Record, RecordId, Shape};
use tracer_common::failure::Failure;
use tracer_common::loss::Loss;

/// An argument on its way into a record.
enum Argument<'a> {
    Number(Value, Number),
    /// Written already, to memory of ours.
    Memory(Place),
    /// Still to be evaluated, into the record.
    Later(&'a Expr),
}

/// The long texts of a record.
struct Behind {
    /// The start of the record.
    pointer: Value,
    /// How far it goes so far.
    end: Value,
}

impl Lowering<'_> {
    /// Sends a record with these arguments.
    pub(super) fn emit(&mut self, record: RecordId, arguments: &[Expr]) {
        let shapes: Vec<Shape> = arguments.iter().map(|argument| shape(&argument.ty).clone()).collect();
        let head = tracer_common::record::HEADER_SIZE as u32;
        // A multiple of 8 as in the ring itself, and as a key is in its map.
        let payload = Shape::Tuple(shapes.clone()).size().next_multiple_of(8);

        // Where an argument changes something that another may read, they are evaluated strictly in order.
        let in_order = arguments.iter().any(changes_something);
        let arguments: Vec<Argument> = arguments
            .iter()
            .map(|argument| match number(shape(&argument.ty)) {
                Some(number) => Argument::Number(self.value(argument), number),
                None if in_order => Argument::Memory(self.place(argument)),
                None => Argument::Later(argument),
            })
            .collect();
        let probe = self.probe();
        let kind = &self.script.plan.records[record.0 as usize];
        if let (Record::Join { .. }, [Argument::Number(array, _), Argument::Number(user, _)]) = (kind, &arguments[..]) {
            return self.emit_joined(record, *array, *user, probe);
        }
        if kind.is_short() && shapes.iter().any(|shape| shape.sent_behind() > 0) {
            return self.emit_short(record, arguments, &shapes, probe);
        }

        let size = self.b.constant((head + payload).into());
        let (write, done) = (self.b.new_block(), self.b.new_block());
        let pointer = self.reserve(size, control_spare(kind), write, done);
        let id = self.b.constant(record.0.into());
        self.b.store(pointer, 0, Width::B4, id);
        self.b.store(pointer, 4, Width::B4, probe);
        let place = Place { pointer, offset: head as i32 };
        for (argument, (shape, (offset, end))) in arguments.into_iter().zip(shapes.iter().zip(rooms(&shapes, payload)))
        {
            let (to, room) = (place.at(offset), end - offset);
            match argument {
                Argument::Number(value, number) => self.store(value, number, to, room),
                Argument::Memory(from) => {
                    self.copy(from, to, shape.size());
                    self.zero(to, shape.size(), room);
                }
                Argument::Later(expr) => self.write(expr, to, room),
            }
        }
        let flags = self.b.constant(0);
        self.b.helper(Helper::RingbufSubmit, &[pointer, flags]);
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    /// Sends the texts that an array points to.
    fn emit_joined(&mut self, record: RecordId, array: Value, user: Value, probe: Value) {
        let head = (tracer_common::record::HEADER_SIZE + JOINED_HEAD) as u32;
        let memory = self.allocate_scratch(head + JOINED_MAX);
        self.temporaries.push(memory);
        let whole = self.memory_place(memory);
        let id = self.b.constant(record.0.into());
        self.b.store(whole.pointer, 0, Width::B4, id);
        self.b.store(whole.pointer, 4, Width::B4, probe);
        let texts = self.address(whole.at(head));
        let is_user = self.b.as_constant(user) != Some(0);
        let result = self.b.runtime(Runtime::Join, &[texts, array, user]);
        let error = self.b.binary_with(BinaryOp::Shr, result, 32);
        let zero = self.b.constant(0);
        let error = self.b.binary(BinaryOp::Sub, zero, error);
        self.count_failed_read(error, text_failure(is_user));
        let bytes = self.b.extend(result, Width::B4, false);
        let most = self.b.constant(JOINED_MAX.into());
        let bytes = self.at_most(bytes, most);
        self.b.store(whole.pointer, whole.at(head - JOINED_HEAD as u32).offset, Width::B8, bytes);
        let size = self.b.binary_with(BinaryOp::Add, bytes, head.into());
        self.send_whole(whole, size, head + JOINED_MAX);
    }

    /// Sends a record with long texts: they stand behind the other arguments, which have their lengths in their places.
    fn emit_short(&mut self, record: RecordId, arguments: Vec<Argument<'_>>, shapes: &[Shape], probe: Value) {
        let head = tracer_common::record::HEADER_SIZE as u32;
        let sent: Vec<Shape> = shapes.iter().map(Shape::sent).collect();
        let payload = Shape::Tuple(sent.clone()).size().next_multiple_of(8);
        let most = head + payload + shapes.iter().map(Shape::sent_behind).sum::<u32>();
        let memory = self.allocate_scratch(most);
        self.temporaries.push(memory);
        let whole = self.memory_place(memory);
        let id = self.b.constant(record.0.into());
        self.b.store(whole.pointer, 0, Width::B4, id);
        self.b.store(whole.pointer, 4, Width::B4, probe);
        let mut behind = Behind { pointer: whole.pointer, end: self.b.constant((head + payload).into()) };
        let place = whole.at(head);
        for (argument, (shape, (offset, end))) in arguments.into_iter().zip(shapes.iter().zip(rooms(&sent, payload))) {
            let (to, room) = (place.at(offset), end - offset);
            match argument {
                Argument::Number(value, number) => self.store(value, number, to, room),
                Argument::Memory(from) => self.send(from, shape, to, room, &mut behind),
                Argument::Later(expr) => self.send_expr(expr, to, room, &mut behind),
            }
        }
        self.send_whole(whole, behind.end, most);
    }

    /// Copies a record that has been made in scratch memory into the ring; `most` is how long it could have been.
    fn send_whole(&mut self, whole: Place, size: Value, most: u32) {
        let ring = self.b.inst(Inst::MapReference(MapRef::Runtime("EVENTS")));
        let flags = self.b.constant(0);
        let pointer = self.address(whole);
        let result = self.b.helper(Helper::RingbufOutput, &[ring, pointer, size, flags]);
        let (full, done) = (self.b.new_cold_block(), self.b.new_block());
        self.b.branch_if(result, full, done);
        self.b.fill(full);
        let size = self.b.constant(most.into());
        self.b.runtime(Runtime::RingFull, &[size]);
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    /// Evaluates an argument into a record with long texts.
    fn send_expr(&mut self, expr: &Expr, to: Place, room: u32, behind: &mut Behind) {
        let shape = shape(&expr.ty);
        match &expr.kind {
            _ if shape.sent_behind() == 0 => self.write(expr, to, room),
            ExprKind::ReadStr { address, user, length } => {
                let address = self.value(address);
                let place = self.behind(behind);
                let length = self.read_text(address, *user, length.as_deref(), place, shape.size());
                let outer = std::mem::replace(&mut self.b.span, expr.span);
                self.sent_behind((length, text_failure(*user)), shape.size(), to, room, behind);
                self.b.span = outer;
            }
            ExprKind::Tuple(parts) => {
                let sent: Vec<Shape> = parts.iter().map(|part| super::shape(&part.ty).sent()).collect();
                for (part, (offset, end)) in parts.iter().zip(rooms(&sent, room)) {
                    self.send_expr(part, to.at(offset), end - offset, behind);
                }
            }
            _ => {
                let from = self.place(expr);
                self.send(from, shape, to, room, behind);
            }
        }
    }

    /// Copies an argument into a record with long texts.
    fn send(&mut self, from: Place, shape: &Shape, to: Place, room: u32, behind: &mut Behind) {
        match shape {
            _ if shape.sent_behind() == 0 => {
                self.copy(from, to, shape.size());
                self.zero(to, shape.size(), room);
            }
            Shape::Tuple(parts) => {
                let sent: Vec<Shape> = parts.iter().map(Shape::sent).collect();
                let own: Vec<(u32, &Shape)> = Shape::offsets(parts).collect();
                for ((own, part), (offset, end)) in own.into_iter().zip(rooms(&sent, room)) {
                    self.send(from.at(own), part, to.at(offset), end - offset, behind);
                }
            }
            _ => {
                let (from, place) = (self.address(from), self.behind(behind));
                let (pointer, size) = (self.address(place), self.b.constant(shape.size().into()));
                let length = self.b.helper(Helper::ProbeReadKernelStr, &[pointer, size, from]);
                self.sent_behind((length, text_failure(false)), shape.size(), to, room, behind);
            }
        }
    }

    /// Where the next long text goes.
    fn behind(&mut self, behind: &Behind) -> Place {
        let pointer = self.b.binary(BinaryOp::Add, behind.pointer, behind.end);
        Place { pointer, offset: 0 }
    }

    /// A text is there, of so many bytes, at most `size`, or, if that is an error, none: then that has failed.
    fn sent_behind(
        &mut self,
        (length, failure): (Value, Failure),
        size: u32,
        to: Place,
        room: u32,
        behind: &mut Behind,
    ) {
        let (there, failed, done) = (self.b.new_block(), self.b.new_cold_block(), self.b.new_block());
        let known = self.b.parameter(done);
        let size = self.b.constant(size.into());
        self.b.branch(CompareOp::ULe, length, size, there, failed);
        self.b.fill(failed);
        self.failed(failure, Some(length));
        self.lost(Loss::ReadFailed);
        let none = self.b.constant(0);
        self.b.jump(done, &[none]);
        self.b.fill(there);
        self.b.jump(done, &[length]);
        self.b.fill(done);
        self.store(known, Number { width: Width::B4, signed: false }, to, room);
        behind.end = self.b.binary(BinaryOp::Add, behind.end, known);
    }

    /// Goes on in `write` with room for a record, or, having counted the loss, in `done`.
    ///
    /// Each pointer is compared with zero once, here: see `ct_reserve_control`.
    fn reserve(&mut self, size: Value, control_spare: Option<i64>, write: Block, done: Block) -> Value {
        let pointer = self.b.variable();
        let full = self.b.new_cold_block();
        let reserved = self.reserve_event(size);
        self.b.write(pointer, reserved);
        self.b.branch_if(reserved, write, full);
        self.b.fill(full);
        if let Some(spare) = control_spare {
            let (stamp, lost) = (self.b.new_cold_block(), self.b.new_cold_block());
            let reserved = self.reserve_control(size, spare, lost);
            self.b.branch_if(reserved, stamp, lost);
            self.b.fill(stamp);
            self.b.runtime(Runtime::Stamp, &[reserved, size]);
            self.b.write(pointer, reserved);
            self.b.jump(write, &[]);
            self.b.fill(lost);
        }
        self.b.runtime(Runtime::RingFull, &[size]);
        self.b.jump(done, &[]);
        self.b.fill(write);
        self.b.read(pointer)
    }
}

impl Lowering<'_> {
    /// Room in the ring, or null: asked for where it is used. A call of the runtime's in between would cost each record some
    /// nanoseconds, and kernels before 6.13 let a callback give back only what was taken in its own frame
    /// (`release_reference_state` in kernel/bpf/verifier.c).
    fn reserve_event(&mut self, size: Value) -> Value {
        let ring = self.b.inst(Inst::MapReference(MapRef::Runtime("EVENTS")));
        let flags = self.b.constant(0);
        self.b.helper(Helper::RingbufReserve, &[ring, size, flags])
    }

    /// Room in the ring of records that must not be lost, or null, or on to `lost`; as `ct_reserve_control` does it.
    fn reserve_control(&mut self, size: Value, spare: i64, lost: Block) -> Value {
        if !self.in_callback() {
            let spare = self.b.constant(spare);
            return self.b.runtime(Runtime::ReserveControl, &[size, spare]);
        }
        /// BPF_RB_AVAIL_DATA in include/uapi/linux/bpf.h.
        const AVAILABLE: i64 = 0;
        let ring = self.b.inst(Inst::MapReference(MapRef::Runtime("CONTROL")));
        let what = self.b.constant(AVAILABLE);
        let used = self.b.helper(Helper::RingbufQuery, &[ring, what]);
        let most = self.b.constant(i64::from(CONTROL_SIZE) - spare);
        let room = self.b.new_cold_block();
        self.b.branch(CompareOp::UGt, used, most, lost, room);
        self.b.fill(room);
        let bytes = self.b.as_constant(size).expect("records have a constant size");
        let bytes = self.b.constant((bytes as u64).next_multiple_of(8) as i64 + STAMP_SIZE as i64);
        let flags = self.b.constant(0);
        self.b.helper(Helper::RingbufReserve, &[ring, bytes, flags])
    }
}

/// Bytes that a record which must not be lost leaves in the ring for those; `None` for records that may be lost.
///
/// One `exit` is enough, so it is never the others that take its room.
fn control_spare(record: &Record) -> Option<i64> {
    const FOR_EXIT: i64 = 4096;
    match record {
        Record::Printf { .. }
        | Record::Cat { .. }
        | Record::Message { .. }
        | Record::Time { .. }
        | Record::Join { .. }
        | Record::PrintValue { .. } => None,
        Record::PrintMap { .. }
        | Record::PrintEntry { .. }
        | Record::PrintTable { .. }
        | Record::Clear { .. }
        | Record::Zero { .. }
        | Record::System { .. } => Some(FOR_EXIT),
        Record::Exit => Some(0),
    }
}

fn changes_something(expr: &Expr) -> bool {
    expr.any(&mut |expr| match expr.kind {
        ExprKind::MapAdd { .. } | ExprKind::LocalAdd { .. } | ExprKind::Block(..) => true,
        ExprKind::Call(function, _) => function.has_effect(),
        _ => false,
    })
}
