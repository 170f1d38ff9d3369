//! Maps that programs look into: hashes shared by all CPUs, of plain values and of aggregations, and storage of tasks.
//!
//! A map keyed by `tid` whose keys nobody lists is kept in the task's own storage, which takes a third of a hash's time.
//! Entries there last as long as the task; deleting one writes zeros, which is what reading a missing key gives, for to
//! free the storage costs a lock and a grace period. Only `has_key` could tell, so analysis keeps maps that are asked
//! for their keys in hashes.

use tracer_common::failure::Failure;
use tracer_common::loss::Loss;

use super::{Lowering, Number, facts, memory::Place, number};
use crate::compile::ir::build::Variable;
use crate::compile::ir::{BinaryOp, Block, CompareOp, Helper, Inst, Runtime, Value, Width};
use crate::compile::sema::typed::{Builtin, Expr};
use crate::plan::{self, Bound, MapId, Shape, Storage};

/// Flags of `bpf_map_update_elem` and of `bpf_task_storage_get`: include/uapi/linux/bpf.h.
mod flags {
    pub const ANY: i64 = 0;
    pub const NOEXIST: i64 = 1;
    pub const STORAGE_CREATE: i64 = 1;
}

impl Lowering<'_> {
    /// Writes a key as the map wants it, and gives its address.
    pub(super) fn key(&mut self, map: MapId, key: Option<&Expr>) -> Value {
        let (size, storage) = {
            let map = self.map(map);
            (map.key_size(), map.storage)
        };
        let place = self.temporary(size);
        let mut start = 0;
        if matches!(storage, Storage::PerCpuHash | Storage::HashByCpu | Storage::LiveHash { .. }) {
            let mut generation = self.b.generation(map);
            if storage == Storage::HashByCpu {
                let cpu = self.builtin(Builtin::Cpu);
                let high = self.b.binary_with(BinaryOp::Shl, cpu, 32);
                generation = self.b.binary(BinaryOp::Or, generation, high);
            }
            self.b.store(place.pointer, place.offset, Width::B8, generation);
            start = tracer_common::agg::GENERATION_SIZE as u32;
        }
        // The number of the interval is written by who knows it.
        let end = size - if self.map(map).series().is_some() { 8 } else { 0 };
        match key {
            Some(key) => self.write(key, place.at(start), end - start),
            None => self.zero(place, start, end),
        }
        place.pointer
    }

    /// The address of a value, or null.
    pub(super) fn lookup(&mut self, map: MapId, key: Value) -> Value {
        let map = self.b.map(map);
        self.b.helper(Helper::MapLookupElem, &[map, key])
    }

    /// Goes on where a map has the key, with its value; to `missing` where it has not.
    pub(super) fn find(&mut self, map: MapId, key: Option<&Expr>, missing: Block) -> Place {
        if self.map(map).storage == Storage::TaskStorage {
            return self.task_storage(map, flags::ANY, missing);
        }
        let found = self.b.new_block();
        if self.map(map).storage != Storage::HashByThread {
            let key = self.key(map, key);
            let pointer = self.lookup(map, key);
            self.b.branch_if(pointer, found, missing);
            self.b.fill(found);
            return Place { pointer, offset: 0 };
        }
        let (holds, elsewhere, at) = (self.b.new_block(), self.b.new_block(), self.b.variable());
        let slot = self.thread_slot(map, key, elsewhere);
        self.branch_thread_slot(&slot, holds, missing);
        self.b.jump(elsewhere, &[]);
        self.b.fill(holds);
        let pointer = self.address(slot.value());
        self.b.write(at, pointer);
        self.b.jump(found, &[]);
        self.b.fill(elsewhere);
        let key = self.key(map, key);
        let pointer = self.lookup(map, key);
        self.b.write(at, pointer);
        self.b.branch_if(pointer, found, missing);
        self.b.fill(found);
        Place { pointer: self.b.read(at), offset: 0 }
    }

    /// The same for the current task's storage, which stays where it is once it has been found.
    fn task_storage(&mut self, map: MapId, flags: i64, missing: Block) -> Place {
        let pointer = self.known_storage(map).unwrap_or_else(|| {
            let task = self.task();
            let (reference, initial, flags) = (self.b.map(map), self.b.constant(0), self.b.constant(flags));
            let pointer = self.b.helper(Helper::TaskStorageGet, &[reference, task, initial, flags]);
            let found = self.b.new_block();
            self.b.branch_if(pointer, found, missing);
            self.b.fill(found);
            self.storage_is_known(map, pointer);
            pointer
        });
        Place { pointer, offset: 0 }
    }

    /// The current task's storage, made if there is none. Goes on where there is one; otherwise counts the loss and
    /// goes to `full`.
    fn own_storage(&mut self, map: MapId, full: Block) -> Place {
        let lost = self.b.new_cold_block();
        let place = self.task_storage(map, flags::STORAGE_CREATE, lost);
        self.aside(lost, |l| {
            l.failed(Failure::Storage, None);
            l.lost(Loss::StorageFull);
            l.b.jump(full, &[]);
        });
        place
    }

    /// `@x[key]`, a number; 0 where there is no such key.
    pub(super) fn map_value(&mut self, map: MapId, key: Option<&Expr>) -> Value {
        let (missing, done) = (self.b.new_block(), self.b.new_block());
        let result = self.b.parameter(done);
        let place = self.find(map, key, missing);
        let value = self.load_number(map, place);
        self.b.jump(done, &[value]);
        self.aside(missing, |l| {
            let zero = l.b.constant(0);
            l.b.jump(done, &[zero]);
        });
        self.b.fill(done);
        result
    }

    /// Branches on whether `@x[key]` is there and not zero.
    pub(super) fn branch_map_value(&mut self, map: MapId, key: Option<&Expr>, then: Block, otherwise: Block) {
        let place = self.find(map, key, otherwise);
        let value = self.load_number(map, place);
        self.b.branch_if(value, then, otherwise);
    }

    /// `@x[key]`, a text or a tuple; zeros where there is no such key.
    pub(super) fn write_map_value(&mut self, map: MapId, key: Option<&Expr>, to: Place) {
        let size = self.plain_shape(map).size();
        let (missing, done) = (self.b.new_block(), self.b.new_block());
        let place = self.find(map, key, missing);
        self.copy(place, to, size);
        self.b.jump(done, &[]);
        self.aside(missing, |l| {
            l.zero(to, 0, size);
            l.b.jump(done, &[]);
        });
        self.b.fill(done);
    }

    /// `@x[key] = value`.
    pub(super) fn set_map(&mut self, map: MapId, key: Option<&Expr>, value: &Expr) {
        let done = self.b.new_block();
        let shape = self.plain_shape(map);
        if self.map(map).storage == Storage::TaskStorage {
            // Before the storage is looked up: the value may be made from what is in it.
            match number(&shape) {
                Some(Number { width, .. }) => {
                    let value = self.value(value);
                    let to = self.own_storage(map, done);
                    self.b.store(to.pointer, to.offset, width, value);
                }
                None => {
                    let from = self.place(value);
                    let to = self.own_storage(map, done);
                    self.copy(from, to, shape.size());
                }
            }
        } else {
            let key_place = self.key(map, key);
            let size = self.map(map).value_size();
            let place = self.temporary(size);
            self.write(value, place, size);
            if self.map(map).storage == Storage::HashByThread {
                self.write_thread_slot(map, key, done, |_, _| {}, |l, slot| l.copy(place, slot, size));
            }
            let result = self.update(map, key_place, place.pointer, flags::ANY);
            let (full, zero) = (self.b.new_cold_block(), self.b.constant(0));
            self.b.branch(CompareOp::Ne, result, zero, full, done);
            self.b.fill(full);
            self.failed_update(map, result);
            self.lost(Loss::MapFull);
        }
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    fn update(&mut self, map: MapId, key: Value, value: Value, flags: i64) -> Value {
        let (map, flags) = (self.b.map(map), self.b.constant(flags));
        self.b.helper(Helper::MapUpdateElem, &[map, key, value, flags])
    }

    /// `@x[key]++` and its like: the value before or after. What is added is exact; of two CPUs that add at one time,
    /// both may be told the same value.
    pub(super) fn map_add(&mut self, map: MapId, key: Option<&Expr>, delta: i64, post: bool) -> Value {
        let before = self.b.variable();
        let zero = self.b.constant(0);
        self.b.write(before, zero);
        if self.map(map).storage == Storage::TaskStorage {
            let done = self.b.new_block();
            let value = self.own_storage(map, done);
            self.add_to(map, value, delta, before);
            self.b.jump(done, &[]);
            self.b.fill(done);
        } else {
            self.add_to_hash(map, key, delta, before);
        }
        let before = self.b.read(before);
        if post {
            return before;
        }
        let sum = self.b.binary_with(BinaryOp::Add, before, delta);
        let ty = self.plain_number(map);
        self.narrow(sum, ty)
    }

    fn add_to_hash(&mut self, map: MapId, key: Option<&Expr>, delta: i64, before: Variable) {
        let done = self.b.new_block();
        if self.map(map).storage == Storage::HashByThread {
            let size = self.map(map).value_size();
            self.write_thread_slot(
                map,
                key,
                done,
                |l, slot| l.zero(slot, 0, size),
                |l, slot| l.add_to(map, slot, delta, before),
            );
        }
        let (found, absent) = (self.b.new_block(), self.b.new_cold_block());
        let key = self.key(map, key);
        let pointer = self.lookup(map, key);
        self.b.branch_if(pointer, found, absent);
        self.b.fill(found);
        self.add_to(map, Place { pointer, offset: 0 }, delta, before);
        self.b.jump(done, &[]);

        // Not there: made with the difference as its value, unless another CPU has just made it.
        self.b.fill(absent);
        let place = self.temporary(self.map(map).value_size());
        let difference = self.b.constant(delta);
        self.b.store(place.pointer, place.offset, Width::B8, difference);
        let result = self.update(map, key, place.pointer, flags::NOEXIST);
        let (again, zero) = (self.b.new_cold_block(), self.b.constant(0));
        self.b.branch(CompareOp::Eq, result, zero, done, again);
        self.b.fill(again);
        let (other, full) = (self.b.new_cold_block(), self.b.new_cold_block());
        let pointer = self.lookup(map, key);
        self.b.branch_if(pointer, other, full);
        self.b.fill(other);
        self.add_to(map, Place { pointer, offset: 0 }, delta, before);
        self.b.jump(done, &[]);
        self.b.fill(full);
        self.failed_update(map, result);
        self.lost(Loss::MapFull);
        self.b.jump(done, &[]);
        self.b.fill(done);
    }

    /// Adds to a value that is there, and keeps what it was before.
    fn add_to(&mut self, map: MapId, place: Place, delta: i64, before: Variable) {
        let value = self.load_number(map, place);
        self.b.write(before, value);
        // There is no narrower atomic addition; what runs over into the bytes behind a small value is never looked at.
        let width = self.plain_number(map).width.max(Width::B4);
        let delta = self.b.constant(delta);
        let (pointer, offset) = self.b.near(place.pointer, place.offset);
        self.b.inst(Inst::AtomicAdd { pointer, offset, width, value: delta });
    }

    /// `delete(@x[key])`.
    pub(super) fn delete(&mut self, map: MapId, key: Option<&Expr>) {
        match self.map(map).storage {
            Storage::Hash | Storage::HashByThread | Storage::LruHash | Storage::LiveHash { .. } => {
                let done = self.b.new_block();
                if self.map(map).storage == Storage::HashByThread {
                    self.forget_thread_slot(map, key, done);
                }
                let key = self.key(map, key);
                let reference = self.b.map(map);
                if Bound::of(self.map(map)).is_some() {
                    let number = self.b.constant(map.0.into());
                    self.b.runtime(Runtime::DeleteKey, &[reference, key, number]);
                } else {
                    // It fails only where there is no such key.
                    self.b.helper(Helper::MapDeleteElem, &[reference, key]);
                }
                self.b.jump(done, &[]);
                self.b.fill(done);
            }
            Storage::TaskStorage => {
                let size = self.map(map).value_size();
                let done = self.b.new_block();
                let place = self.task_storage(map, flags::ANY, done);
                self.zero(place, 0, size);
                self.b.jump(done, &[]);
                self.b.fill(done);
            }
            Storage::PerCpuArray { .. } | Storage::PerCpuHash | Storage::HashByCpu => {
                unreachable!("analysis keeps aggregations that are deleted from in live hashes")
            }
        }
    }

    /// Branches on whether a map has a key.
    pub(super) fn branch_has_key(&mut self, map: MapId, key: Option<&Expr>, then: Block, otherwise: Block) {
        self.find(map, key, otherwise);
        self.b.jump(then, &[]);
    }

    /// The number in an entry: a plain value, or what an aggregation has come to.
    pub(super) fn load_number(&mut self, map: MapId, place: Place) -> Value {
        match self.map(map).value.clone() {
            plan::Value::Plain(shape) => facts::load(self, place, &shape),
            plan::Value::Aggregation(aggregation) => self.total(place, aggregation),
        }
    }

    fn plain_number(&self, map: MapId) -> Number {
        number(&self.plain_shape(map)).expect("analysis lets only numbers be added to")
    }

    fn plain_shape(&self, map: MapId) -> Shape {
        match &self.map(map).value {
            plan::Value::Plain(shape) => shape.clone(),
            plan::Value::Aggregation(_) => unreachable!("analysis does not let aggregations be assigned to"),
        }
    }
}
