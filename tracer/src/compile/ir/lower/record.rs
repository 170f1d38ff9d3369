//! Records in the ring.
//!
//! The payload is written straight into the record. Between reserving and submitting nothing leaves the clause, so the
//! verifier finds no way on which the reference is lost; and numbers are computed before the record is asked for, so
//! that what they do (`@x++`) is done even when the ring is full.

use super::memory::{Place, rooms};
use super::{Lowering, Number, number, shape};
use tracer_common::record::{CONTROL_SIZE, STAMP_SIZE};

use crate::compile::ir::{Block, CompareOp, Helper, Inst, MapRef, Runtime, Value, Width};
use crate::compile::sema::typed::{Expr, ExprKind};
use crate::plan::{Record, RecordId, Shape};

/// An argument on its way into a record.
enum Argument<'a> {
    Number(Value, Number),
    /// Written already, to memory of ours.
    Memory(Place),
    /// Still to be evaluated, into the record.
    Later(&'a Expr),
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

        let size = self.b.constant((head + payload).into());
        let (write, done) = (self.b.new_block(), self.b.new_block());
        let pointer = self.reserve(size, control_spare(&self.script.plan.records[record.0 as usize]), write, done);
        let id = self.b.constant(record.0.into());
        self.b.store(pointer, 0, Width::B4, id);
        self.b.store(pointer, 4, Width::B4, probe);
        let place = Place { pointer, offset: head as i16 };
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

    /// Goes on in `write` with room for a record, or, having counted the loss, in `done`.
    ///
    /// Each pointer is compared with zero once, here: see `ct_reserve`.
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
    /// Room in the ring, or null.
    ///
    /// A callback must ask for it by itself: kernels before 6.13 let it give back only what was taken in its own frame
    /// (`release_reference_state` in kernel/bpf/verifier.c).
    fn reserve_event(&mut self, size: Value) -> Value {
        if !self.in_callback() {
            return self.b.runtime(Runtime::Reserve, &[size]);
        }
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
        | Record::Delete { .. }
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
