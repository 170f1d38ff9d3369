//! Which instructions are chosen: IR by hand, and the code that it becomes.

use super::build::{Builder, target};
use super::machine::compile;
use crate::compile::bpf::disasm::listing;
use crate::compile::ir::{BinaryOp, CompareOp, Function, Helper, Runtime, Value, Width};
use crate::compile::source::Source;

/// The code of a function, compared line by line with what is expected, whatever that is indented by.
#[track_caller]
fn assert_code(function: Function, expected: &str) {
    let (lines, _) = compile(&function);
    let source = Source::new("test", String::new());
    let found = listing(&lines, &[], &source);
    let trimmed = |text: &str| text.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&found), trimmed(expected));
}

/// A function of one block.
fn straight(build: impl FnOnce(&mut Builder)) -> Function {
    let mut builder = Builder::new("test");
    build(&mut builder);
    builder.finish()
}

/// A function that stores 1 where a condition holds.
fn guarded(build: impl FnOnce(&mut Builder) -> (CompareOp, Value, Value)) -> Function {
    let mut b = Builder::new("test");
    let (yes, no) = (b.block(), b.block());
    let (op, left, right) = build(&mut b);
    b.branch(op, left, right, target(yes, &[]), target(no, &[]));
    b.enter(yes);
    let one = b.number(1);
    b.store(Builder::CONTEXT, 0, Width::B8, one);
    b.jump(no, &[]);
    b.finish()
}

#[test]
fn numbers_are_immediates_where_they_fit() {
    let function = straight(|b| {
        let value = b.load(Builder::CONTEXT, 8, Width::B8);
        let sum = b.add(value, 5);
        let large = b.number(0x1_0000_0000);
        let product = b.binary(BinaryOp::Mul, large, sum);
        let minus = b.number(-1);
        b.store(Builder::CONTEXT, 0, Width::B8, product);
        b.store(Builder::CONTEXT, 8, Width::B8, minus);
        b.store(Builder::CONTEXT, 16, Width::B8, large);
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 8)
            r0 += 5
            r5 = 0x100000000
            r0 *= r5
            *(u64 *)(r1 + 0) = r0
            *(u64 *)(r1 + 8) = -1
            *(u64 *)(r1 + 16) = r5
            r0 = 0
            exit
        ",
    );
}

#[test]
fn divisors_and_shifts_that_the_verifier_refuses_are_not_immediates() {
    let function = straight(|b| {
        let value = b.load(Builder::CONTEXT, 0, Width::B8);
        let (zero, much) = (b.number(0), b.number(65));
        let quotient = b.binary(BinaryOp::UDiv, value, zero);
        let shifted = b.binary(BinaryOp::Shl, value, much);
        b.store(Builder::CONTEXT, 0, Width::B8, quotient);
        b.store(Builder::CONTEXT, 8, Width::B8, shifted);
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            r5 = 0
            r4 = r0
            r4 /= r5
            r0 <<= 1
            *(u64 *)(r1 + 0) = r4
            *(u64 *)(r1 + 8) = r0
            r0 = 0
            exit
        ",
    );
}

#[test]
fn constant_distances_go_into_the_offset_of_an_access() {
    let function = straight(|b| {
        let slot = b.slot(32);
        let address = b.address(slot);
        let further = b.add(address, 16);
        let value = b.load(Builder::CONTEXT, 0, Width::B4);
        b.store(further, 4, Width::B4, value);
        let field = b.add(value, 40);
        let field = b.load(field, 8, Width::B1);
        b.store(address, 0, Width::B1, field);
    });
    assert_code(
        function,
        "
            r0 = *(u32 *)(r1 + 0)
            *(u32 *)(fp - 12) = r0
            r0 = *(u8 *)(r0 + 48)
            *(u8 *)(fp - 32) = r0
            r0 = 0
            exit
        ",
    );
}

#[test]
fn extensions_cost_nothing_where_the_value_is_extended_already() {
    let function = straight(|b| {
        let loaded = b.load(Builder::CONTEXT, 0, Width::B2);
        let same = b.extend(loaded, Width::B4, false);
        let byte = b.extend(same, Width::B1, false);
        b.store(Builder::CONTEXT, 0, Width::B8, same);
        b.store(Builder::CONTEXT, 8, Width::B8, byte);
        let signed = b.extend(loaded, Width::B2, true);
        b.store(Builder::CONTEXT, 16, Width::B8, signed);
        let cut = b.extend(signed, Width::B1, true);
        b.store(Builder::CONTEXT, 24, Width::B1, cut);
    });
    assert_code(
        function,
        "
            r0 = *(u16 *)(r1 + 0)
            r5 = r0
            r5 &= 255
            *(u64 *)(r1 + 0) = r0
            *(u64 *)(r1 + 8) = r5
            r0 <<= 48
            r0 s>>= 48
            *(u64 *)(r1 + 16) = r0
            *(u8 *)(r1 + 24) = r0
            r0 = 0
            exit
        ",
    );
}

#[test]
fn arithmetic_on_32_bits_is_one_instruction() {
    let function = straight(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let sum = b.add(a, 0xffff_fff0);
        let sum = b.extend(sum, Width::B4, false);
        let whole = b.extend(a, Width::B4, false);
        b.store(Builder::CONTEXT, 0, Width::B8, sum);
        b.store(Builder::CONTEXT, 8, Width::B8, whole);
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            r5 = r0
            w5 += -16
            w0 = w0
            *(u64 *)(r1 + 0) = r5
            *(u64 *)(r1 + 8) = r0
            r0 = 0
            exit
        ",
    );
}

#[test]
fn a_comparison_is_part_of_the_branch() {
    let function = guarded(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let limit = b.number(100);
        let less = b.compare(CompareOp::SLt, a, limit);
        let zero = b.number(0);
        (CompareOp::Eq, less, zero)
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            if r0 s< 100 goto L1
            *(u64 *)(r1 + 0) = 1
        L1:
            r0 = 0
            exit
        ",
    );
}

#[test]
fn a_comparison_whose_result_is_kept_is_a_number() {
    let function = straight(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let limit = b.number(100);
        let less = b.compare(CompareOp::UGt, limit, a);
        b.store(Builder::CONTEXT, 0, Width::B8, less);
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            r5 = 1
            if r0 < 100 goto L1
            r5 = 0
        L1:
            *(u64 *)(r1 + 0) = r5
            r0 = 0
            exit
        ",
    );
}

#[test]
fn a_comparison_of_lower_halves_needs_no_extension() {
    let function = guarded(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let low = b.extend(a, Width::B4, true);
        let limit = b.number(-4095);
        (CompareOp::SGe, low, limit)
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            if w0 s< -4095 goto L1
            *(u64 *)(r1 + 0) = 1
        L1:
            r0 = 0
            exit
        ",
    );
}

#[test]
fn a_number_of_64_bits_is_made_where_it_is_compared() {
    let function = guarded(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let limit = b.number(10_000_000_000);
        (CompareOp::UGe, a, limit)
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            r5 = 0x2540be400
            if r0 < r5 goto L1
            *(u64 *)(r1 + 0) = 1
        L1:
            r0 = 0
            exit
        ",
    );
}

#[test]
fn bits_are_tested_in_one_jump() {
    let function = guarded(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let mask = b.number(0x20);
        let bits = b.binary(BinaryOp::And, a, mask);
        let zero = b.number(0);
        (CompareOp::Ne, bits, zero)
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            if r0 & 32 goto L1
            r0 = 0
            exit
        L1:
            *(u64 *)(r1 + 0) = 1
            r0 = 0
            exit
        ",
    );
}

#[test]
fn a_value_that_outlives_a_call_is_kept_where_calls_do_not_write() {
    let function = straight(|b| {
        let first = b.load(Builder::CONTEXT, 0, Width::B8);
        let time = b.helper(Helper::KtimeGetNs, &[]);
        let past = b.binary(BinaryOp::Sub, time, first);
        b.store(Builder::CONTEXT, 0, Width::B8, past);
    });
    assert_code(
        function,
        "
            r6 = *(u64 *)(r1 + 0)
            r7 = r1
            call ktime_get_ns
            r0 -= r6
            *(u64 *)(r7 + 0) = r0
            r0 = 0
            exit
        ",
    );
}

#[test]
fn arguments_are_made_in_their_registers() {
    let function = straight(|b| {
        let slot = b.slot(16);
        let (map, key) = (b.map(3), b.address(slot));
        let key = b.add(key, 8);
        let value = b.load(Builder::CONTEXT, 8, Width::B8);
        let flags = b.number(1);
        b.helper(Helper::MapUpdateElem, &[map, key, value, flags]);
    });
    assert_code(
        function,
        "
            r3 = *(u64 *)(r1 + 8)
            r1 = map_3
            r2 = fp
            r2 += -8
            r4 = 1
            call map_update_elem
            r0 = 0
            exit
        ",
    );
}

#[test]
fn arguments_change_places() {
    let function = straight(|b| {
        let a = b.load(Builder::CONTEXT, 0, Width::B8);
        let c = b.load(Builder::CONTEXT, 8, Width::B8);
        let first = b.runtime(Runtime::Log2Index, &[a, c]);
        let second = b.runtime(Runtime::Log2Index, &[c, first]);
        b.store(Builder::CONTEXT, 0, Width::B8, second);
    });
    assert_code(
        function,
        "
            r0 = *(u64 *)(r1 + 0)
            r6 = *(u64 *)(r1 + 8)
            r7 = r1
            r1 = r0
            r2 = r6
            call ct_log2_index
            r1 = r6
            r2 = r0
            call ct_log2_index
            *(u64 *)(r7 + 0) = r0
            r0 = 0
            exit
        ",
    );
}

#[test]
fn the_value_used_last_is_spilled() {
    let function = straight(|b| {
        let values: Vec<_> = (0..5).map(|index| b.load(Builder::CONTEXT, 8 * index, Width::B8)).collect();
        b.helper(Helper::KtimeGetNs, &[]);
        for (value, offset) in values.into_iter().zip((0..).step_by(8)) {
            b.store(Builder::CONTEXT, offset, Width::B8, value);
        }
    });
    assert_code(
        function,
        "
            r6 = *(u64 *)(r1 + 0)
            r7 = *(u64 *)(r1 + 8)
            r8 = *(u64 *)(r1 + 16)
            r9 = *(u64 *)(r1 + 24)
            r0 = *(u64 *)(r1 + 32)
            *(u64 *)(fp - 8) = r9
            *(u64 *)(fp - 16) = r0
            r9 = r1
            call ktime_get_ns
            *(u64 *)(r9 + 0) = r6
            *(u64 *)(r9 + 8) = r7
            *(u64 *)(r9 + 16) = r8
            r6 = *(u64 *)(fp - 8)
            *(u64 *)(r9 + 24) = r6
            r6 = *(u64 *)(fp - 16)
            *(u64 *)(r9 + 32) = r6
            r0 = 0
            exit
        ",
    );
}

#[test]
fn what_a_comparison_tells_about_a_value_is_spilled_with_it() {
    let mut b = Builder::new("test");
    let (small, out) = (b.block(), b.block());
    let index = b.load(Builder::CONTEXT, 0, Width::B8);
    let others: Vec<_> = (1..5).map(|index| b.load(Builder::CONTEXT, 8 * index, Width::B8)).collect();
    b.helper(Helper::KtimeGetNs, &[]);
    for (value, offset) in others.iter().zip((8..).step_by(8)) {
        b.store(Builder::CONTEXT, offset, Width::B8, *value);
    }
    let limit = b.number(32);
    b.branch(CompareOp::ULt, index, limit, target(small, &[]), target(out, &[]));
    b.enter(small);
    b.helper(Helper::KtimeGetNs, &[]);
    for (value, offset) in others.iter().zip((8..).step_by(8)) {
        b.store(Builder::CONTEXT, offset, Width::B8, *value);
    }
    let address = b.binary(BinaryOp::Add, Builder::CONTEXT, index);
    b.store(address, 0, Width::B1, index);
    b.jump(out, &[]);
    assert_code(
        b.finish(),
        "
            r6 = *(u64 *)(r1 + 0)
            r7 = *(u64 *)(r1 + 8)
            r8 = *(u64 *)(r1 + 16)
            r9 = *(u64 *)(r1 + 24)
            r0 = *(u64 *)(r1 + 32)
            *(u64 *)(fp - 8) = r6
            *(u64 *)(fp - 16) = r0
            r6 = r1
            call ktime_get_ns
            *(u64 *)(r6 + 8) = r7
            *(u64 *)(r6 + 16) = r8
            *(u64 *)(r6 + 24) = r9
            r0 = *(u64 *)(fp - 16)
            *(u64 *)(r6 + 32) = r0
            r5 = *(u64 *)(fp - 8)
            if r5 >= 32 goto L1
            *(u64 *)(fp - 8) = r5
            call ktime_get_ns
            *(u64 *)(r6 + 8) = r7
            *(u64 *)(r6 + 16) = r8
            *(u64 *)(r6 + 24) = r9
            r7 = *(u64 *)(fp - 16)
            *(u64 *)(r6 + 32) = r7
            r7 = *(u64 *)(fp - 8)
            r6 += r7
            *(u8 *)(r6 + 0) = r7
        L1:
            r0 = 0
            exit
        ",
    );
}

#[test]
fn blocks_that_are_not_expected_to_run_come_last() {
    let mut b = Builder::new("test");
    let (missing, found, after) = (b.cold_block(), b.block(), b.block());
    let value = b.parameter(found);
    let slot = b.slot(8);
    let (zero, map, key) = (b.number(0), b.map(0), b.address(slot));
    b.store(key, 0, Width::B8, zero);
    let entry = b.helper(Helper::MapLookupElem, &[map, key]);
    b.branch(CompareOp::Eq, entry, zero, target(missing, &[]), target(found, &[entry]));
    b.enter(missing);
    b.runtime(Runtime::Insert, &[map, key]);
    let entry = b.helper(Helper::MapLookupElem, &[map, key]);
    b.branch(CompareOp::Eq, entry, zero, target(after, &[]), target(found, &[entry]));
    b.enter(found);
    let one = b.number(1);
    b.atomic_add(value, 0, Width::B8, one);
    b.jump(after, &[]);
    assert_code(
        b.finish(),
        "
            *(u64 *)(fp - 8) = 0
            r1 = map_0
            r2 = fp
            r2 += -8
            call map_lookup_elem
            if r0 == 0 goto L2
        L1:
            r5 = 1
            lock *(u64 *)(r0 + 0) += r5
            r0 = 0
            exit
        L2:
            r1 = map_0
            r2 = fp
            r2 += -8
            call ct_insert
            r1 = map_0
            r2 = fp
            r2 += -8
            call map_lookup_elem
            if r0 != 0 goto L1
            r0 = 0
            exit
        ",
    );
}

/// A switch with these cases, each of which stores its own number.
fn switch(cases: &[(i64, usize)]) -> Function {
    let mut b = Builder::new("test");
    let after = b.block();
    let ways: Vec<_> = (0..=cases.iter().map(|(_, way)| *way).max().unwrap_or(0)).map(|_| b.block()).collect();
    let value = b.load(Builder::CONTEXT, 0, Width::B4);
    let cases: Vec<_> = cases.iter().map(|(case, way)| (*case, target(ways[*way], &[]))).collect();
    b.switch(value, &cases, target(after, &[]));
    for (number, way) in (10..).zip(ways) {
        b.enter(way);
        let number = b.number(number);
        b.store(Builder::CONTEXT, 8, Width::B8, number);
        b.jump(after, &[]);
    }
    b.finish()
}

#[test]
fn a_few_cases_are_asked_one_after_the_other() {
    assert_code(
        switch(&[(1, 0), (5, 1), (9, 2)]),
        "
            r0 = *(u32 *)(r1 + 0)
            if r0 != 1 goto L2
            *(u64 *)(r1 + 8) = 10
        L1:
            r0 = 0
            exit
        L2:
            if r0 != 5 goto L3
            *(u64 *)(r1 + 8) = 11
            r0 = 0
            exit
        L3:
            if r0 != 9 goto L1
            *(u64 *)(r1 + 8) = 12
            r0 = 0
            exit
        ",
    );
}

#[test]
fn neighbouring_cases_with_one_target_are_a_range() {
    assert_code(
        switch(&[(0, 0), (1, 0), (2, 0), (7, 1)]),
        "
            r0 = *(u32 *)(r1 + 0)
            if r0 s>= 7 goto L2
            if r0 s> 2 goto L1
            *(u64 *)(r1 + 8) = 10
        L1:
            r0 = 0
            exit
        L2:
            if r0 != 7 goto L1
            *(u64 *)(r1 + 8) = 11
            r0 = 0
            exit
        ",
    );
}

#[test]
fn many_cases_are_halved() {
    assert_code(
        switch(&[(1, 0), (3, 1), (5, 0), (7, 1), (9, 0), (11, 1)]),
        "
            r0 = *(u32 *)(r1 + 0)
            if r0 s>= 7 goto L5
            if r0 != 1 goto L2
        L1:
            *(u64 *)(r1 + 8) = 10
            r0 = 0
            exit
        L2:
            if r0 != 3 goto L4
        L3:
            *(u64 *)(r1 + 8) = 11
            r0 = 0
            exit
        L4:
            if r0 == 5 goto L1
            r0 = 0
            exit
        L5:
            if r0 == 7 goto L3
            if r0 == 9 goto L1
            if r0 == 11 goto L3
            r0 = 0
            exit
        ",
    );
}
