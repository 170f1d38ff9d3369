//! `@x[key] = count()` and its like: a value, of this CPU or of all, found or made, and updated in place.
//!
//! The lookups are in the generated code, with the map a constant, so that the kernel inlines them.

use tracer_common::agg::{self, HistHead, Stats};
use tracer_common::bucket;
use tracer_common::loss::Loss;

use super::{Lowering, memory::Place};
use crate::compile::ir::build::Variable;
use crate::compile::ir::{BinaryOp, Block, CompareOp, Inst, Runtime, Value, Width};
use crate::compile::sema::typed::Expr;
use crate::plan::{Aggregation, Bound, Front, MapId, Storage};

/// Offsets of the fields of [`Stats`], which begins as every aggregation does.
mod field {
    use super::Stats;
    pub const COUNT: i16 = std::mem::offset_of!(Stats, count) as i16;
    pub const TOTAL: i16 = std::mem::offset_of!(Stats, total) as i16;
    pub const MIN: i16 = std::mem::offset_of!(Stats, min) as i16;
    pub const MAX: i16 = std::mem::offset_of!(Stats, max) as i16;
}

/// What the kernel says of a map that is full: include/uapi/asm-generic/errno-base.h.
const E2BIG: i64 = 7;

/// An evaluated key.
enum Key {
    /// The address of a hash's key.
    Hash(Value),
    /// An index into an array of so many entries.
    Array(Value, u32),
}

/// A value that is updated.
struct Update {
    /// Its address.
    value: Value,
    /// Whether each step must be one that nothing can come between.
    atomic: bool,
    /// Where to go on.
    done: Block,
}

/// Where to go with a key that a map does not take.
pub(super) struct Refusal {
    /// What the kernel says of it goes there.
    pub error: Variable,
    /// There it is counted.
    pub refused: Block,
}

impl Lowering<'_> {
    /// Updates an aggregation.
    pub(super) fn aggregate(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        aggregation: Aggregation,
        argument: Option<&Expr>,
        weight: Option<&Expr>,
    ) {
        let key = match (self.map(map).storage, key) {
            (Storage::PerCpuArray { first: 0, entries }, Some(key)) => Key::Array(self.value(key), entries),
            (Storage::PerCpuArray { first, entries }, Some(key)) => {
                let key = self.value(key);
                Key::Array(self.b.binary_with(BinaryOp::Sub, key, first.into()), entries)
            }
            (Storage::PerCpuArray { entries, .. }, None) => Key::Array(self.b.constant(0), entries),
            (_, key) => Key::Hash(self.key(map, key)),
        };
        let argument = argument.map(|argument| self.value(argument));
        let weight = weight.map(|weight| self.value(weight));

        if let (Aggregation::Series(series), &Key::Hash(key), Some(time)) = (aggregation, &key, weight) {
            let interval = self.b.constant(series.interval as i64);
            let number = self.b.binary(BinaryOp::UDiv, time, interval);
            self.b.store(key, self.map(map).key_size() as i32 - 8, Width::B8, number);
        }

        let done = self.b.new_block();
        let value = match key {
            Key::Hash(key) => self.hash_value(map, key, done),
            Key::Array(index, entries) => self.array_value(map, index, entries, done),
        };
        // Another program may come between: one that interrupts this, or one on another CPU.
        let atomic = self.program.preemptible || self.map(map).is_live();
        let update = Update { value, atomic, done };
        self.update_value(&update, aggregation, argument, weight);
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    /// The address of the value for a key, made if there is none; to `failed` where there is no room, which the runtime
    /// has counted.
    fn hash_value(&mut self, map: MapId, key: Value, failed: Block) -> Value {
        let (found, absent, refused) = (self.b.new_block(), self.b.new_cold_block(), self.b.new_cold_block());
        let (value, error) = (self.b.variable(), self.b.variable());
        if let Some(front) = Front::of(self.map(map)) {
            self.front_value(map, front, key, value, found, &Refusal { error, refused });
        }
        let pointer = self.lookup(map, key);
        self.b.write(value, pointer);
        self.b.branch_if(pointer, found, absent);

        self.b.fill(absent);
        let reference = self.b.map(map);
        let bound = Bound::of(self.map(map));
        if bound == Some(Bound::Listed) {
            self.admit(map, key, &Refusal { error, refused });
        }
        let result = if bound == Some(Bound::Counted) {
            let [number, limit] = self.bound(map);
            self.b.runtime(Runtime::AddKey, &[reference, key, number, limit])
        } else {
            self.b.runtime(Runtime::Insert, &[reference, key])
        };
        self.b.write(error, result);
        let pointer = self.lookup(map, key);
        self.b.write(value, pointer);
        self.b.branch_if(pointer, found, refused);
        self.b.fill(refused);
        let error = self.b.read(error);
        self.failed_update(map, error);
        self.b.jump(failed, &[]);
        self.b.fill(found);
        self.b.read(value)
    }

    /// Goes on where the key that `key` points to is one of those that the map may have.
    pub(super) fn admit(&mut self, map: MapId, key: Value, refusal: &Refusal) {
        let list = self.b.keys(map);
        let [number, limit] = self.bound(map);
        let result = self.b.runtime(Runtime::Admit, &[list, key, number, limit]);
        self.b.write(refusal.error, result);
        let admitted = self.b.new_cold_block();
        self.b.branch_if(result, refusal.refused, admitted);
        self.b.fill(admitted);
    }

    /// The number of a map, and how many keys it may have.
    fn bound(&mut self, map: MapId) -> [Value; 2] {
        let limit = self.map(map).max_keys;
        [map.0, limit].map(|number| self.b.constant(number.into()))
    }

    /// The address of an array's value for an index; to `failed` where the index is too large, which is counted.
    fn array_value(&mut self, map: MapId, index: Value, entries: u32, failed: Block) -> Value {
        let limit = self.b.constant(entries.into());
        let (inside, outside) = (self.b.new_block(), self.b.new_cold_block());
        self.b.branch(CompareOp::ULt, index, limit, inside, outside);
        self.b.fill(outside);
        let error = self.b.constant(-E2BIG);
        self.failed_update(map, error);
        self.lost(Loss::MapFull);
        self.b.jump(failed, &[]);

        self.b.fill(inside);
        let generation = self.b.generation(map);
        let half = self.b.binary_with(BinaryOp::And, generation, 1);
        let start = self.b.binary(BinaryOp::Mul, half, limit);
        let index = self.b.binary(BinaryOp::Add, index, start);
        let key = self.temporary(4);
        self.b.store(key.pointer, key.offset, Width::B4, index);
        let pointer = self.lookup(map, key.pointer);
        // The verifier wants to see it tested, though the index is in bounds.
        let found = self.b.new_block();
        self.b.branch_if(pointer, found, failed);
        self.b.fill(found);
        pointer
    }

    /// What an aggregation has come to so far: its number, 0 of nothing.
    pub(super) fn total(&mut self, place: Place, aggregation: Aggregation) -> Value {
        let field = |l: &mut Self, offset: i16| l.b.load(place.pointer, place.offset + i32::from(offset), Width::B8);
        let count = field(self, field::COUNT);
        match aggregation {
            Aggregation::Count => count,
            Aggregation::Sum { .. } => field(self, field::TOTAL),
            Aggregation::Avg { signed } => {
                let total = field(self, field::TOTAL);
                // BPF gives 0 where something is divided by 0.
                if signed { self.signed_division(total, count) } else { self.b.binary(BinaryOp::UDiv, total, count) }
            }
            Aggregation::Min { signed } => {
                let rank = field(self, field::MIN);
                self.number_of_rank(rank, count, agg::rank_mask(signed, true))
            }
            Aggregation::Max { signed } => {
                let rank = field(self, field::MAX);
                self.number_of_rank(rank, count, agg::rank_mask(signed, false))
            }
            Aggregation::Stats { .. }
            | Aggregation::Hist { .. }
            | Aggregation::Linear { .. }
            | Aggregation::Hdr
            | Aggregation::Series(_) => unreachable!("analysis lets only numbers be read"),
        }
    }

    /// The number that has this rank; 0 where nothing has been counted.
    fn number_of_rank(&mut self, rank: Value, count: Value, mask: u64) -> Value {
        let (some, done) = (self.b.new_block(), self.b.new_block());
        let number = self.b.variable();
        self.b.write(number, count);
        self.b.branch_if(count, some, done);
        self.b.fill(some);
        let held = self.b.binary_with(BinaryOp::Xor, rank, mask as i64);
        self.b.write(number, held);
        self.b.jump(done, &[]);
        self.b.fill(done);
        self.b.read(number)
    }

    /// Updates a value: the fields that the aggregation reports, as `tracer_common::agg` lays them out.
    fn update_value(
        &mut self,
        update: &Update,
        aggregation: Aggregation,
        argument: Option<Value>,
        weight: Option<Value>,
    ) {
        if let Aggregation::Series(series) = aggregation {
            return match (series.figures(), argument, weight) {
                (Some(figures), ..) => self.update_value(update, figures, argument, None),
                (None, Some(number), Some(time)) => {
                    self.b.store(update.value, field::TOTAL, Width::B8, number);
                    self.b.store(update.value, field::MAX, Width::B8, time);
                    let one = self.b.constant(1);
                    self.increase(update, field::COUNT, one);
                }
                _ => unreachable!("analysis gives a series a number and a time"),
            };
        }
        let weight = weight.unwrap_or_else(|| self.b.constant(1));
        let argument = || argument.expect("analysis gives every aggregation but count() an argument");
        match aggregation {
            Aggregation::Count => self.increase(update, field::COUNT, weight),
            Aggregation::Sum { .. } | Aggregation::Avg { .. } | Aggregation::Stats { .. } => {
                self.increase(update, field::TOTAL, argument());
                self.increase(update, field::COUNT, weight);
            }
            Aggregation::Min { signed } => {
                self.raise(update, field::MIN, argument(), agg::rank_mask(signed, true));
                self.increase(update, field::COUNT, weight);
            }
            Aggregation::Max { signed } => {
                self.raise(update, field::MAX, argument(), agg::rank_mask(signed, false));
                self.increase(update, field::COUNT, weight);
            }
            Aggregation::Hist { bits } => {
                let bits_value = self.b.constant(bits.into());
                let index = self.b.runtime(Runtime::Log2Index, &[argument(), bits_value]);
                self.increase_bucket(update, index, bucket::log2_buckets(bits), weight);
            }
            Aggregation::Linear { min, max, step } => {
                let bounds = [min, max, step].map(|bound| self.b.constant(bound));
                let index = self.b.runtime(Runtime::LinearIndex, &[argument(), bounds[0], bounds[1], bounds[2]]);
                self.increase_bucket(update, index, bucket::linear_buckets(min, max, step), weight);
            }
            Aggregation::Series(_) => unreachable!("done above"),
            Aggregation::Hdr => {
                let function = if update.atomic { Runtime::HdrUpdateAtomic } else { Runtime::HdrUpdate };
                self.b.runtime(function, &[update.value, argument()]);
            }
        }
    }

    /// Adds to a field, in one step where another program may come between.
    fn increase(&mut self, update: &Update, offset: i16, by: Value) {
        let value = update.value;
        if update.atomic {
            self.b.inst(Inst::AtomicAdd { pointer: value, offset, width: Width::B8, value: by });
            return;
        }
        let before = self.b.load(value, offset, Width::B8);
        let after = self.b.binary(BinaryOp::Add, before, by);
        self.b.store(value, offset, Width::B8, after);
    }

    /// Puts the rank of a number into a field if it is larger than what is there.
    fn raise(&mut self, update: &Update, offset: i16, number: Value, mask: u64) {
        let rank = self.b.binary_with(BinaryOp::Xor, number, mask as i64);
        if update.atomic {
            let field = self.b.binary_with(BinaryOp::Add, update.value, offset.into());
            self.b.runtime(Runtime::Raise, &[field, rank]);
            return;
        }
        let (replace, done) = (self.b.new_block(), self.b.new_block());
        let held = self.b.load(update.value, offset, Width::B8);
        self.b.branch(CompareOp::UGt, rank, held, replace, done);
        self.b.fill(replace);
        self.b.store(update.value, offset, Width::B8, rank);
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    /// Adds to a histogram's bucket and to its count.
    fn increase_bucket(&mut self, update: &Update, index: Value, buckets: usize, weight: Value) {
        // Always so, but the verifier does not know what the runtime's function gives.
        let (inside, limit) = (self.b.new_block(), self.b.constant(buckets as i64));
        self.b.branch(CompareOp::ULt, index, limit, inside, update.done);
        self.b.fill(inside);
        self.increase(update, field::COUNT, weight);
        let offset = self.b.binary_with(BinaryOp::Shl, index, 3);
        let bucket = Update { value: self.b.binary(BinaryOp::Add, update.value, offset), ..*update };
        self.increase(&bucket, size_of::<HistHead>() as i16, weight);
    }
}
