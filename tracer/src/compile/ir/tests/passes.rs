//! What the passes do to control flow, and that they keep the contract.

use super::assert_text;
use crate::compile::ir::build::Builder;
use crate::compile::ir::{BinaryOp, CompareOp, Function, Helper, Module, Runtime, optimise, verify};

fn optimised(function: Function) -> String {
    let mut module = Module { functions: vec![function], ..Module::default() };
    optimise(&mut module);
    assert_eq!(verify::verify(&module), Ok(()));
    module.to_string()
}

#[test]
fn a_decided_branch_is_no_branch() {
    let mut b = Builder::new("p".into());
    let (yes, no, done) = (b.new_block(), b.new_block(), b.new_block());
    let x = b.variable();
    let (one, two) = (b.constant(1), b.constant(2));
    b.branch(CompareOp::ULt, one, two, yes, no);
    b.fill(yes);
    b.write(x, two);
    b.jump(done, &[]);
    b.fill(no);
    b.write(x, one);
    b.jump(done, &[]);
    b.fill(done);
    let x = b.read(x);
    b.runtime(Runtime::Lost, &[x]);
    b.ret();
    assert_text(
        &optimised(b.finish()),
        "
        program p {
          b0(v0):
            v2 = ct_lost(2)
            return
        }
        ",
    );
}

#[test]
fn a_way_that_decides_a_later_branch_goes_around_it() {
    // if (cpu) { x = cpu; } else { x = 0; }  if (x) { use(x); }
    let mut b = Builder::new("p".into());
    let (some, none, meet) = (b.new_block(), b.new_block(), b.new_block());
    let (then, done) = (b.new_block(), b.new_block());
    let x = b.parameter(meet);
    let cpu = b.helper(Helper::GetSmpProcessorId, &[]);
    b.branch_if(cpu, some, none);
    b.fill(some);
    b.jump(meet, &[cpu]);
    b.fill(none);
    let zero = b.constant(0);
    b.jump(meet, &[zero]);
    b.fill(meet);
    b.branch_if(x, then, done);
    b.fill(then);
    b.runtime(Runtime::Lost, &[x]);
    b.jump(done, &[]);
    b.fill(done);
    b.ret();
    assert_text(
        &optimised(b.finish()),
        "
        program p {
          b0(v0):
            v1 = get_smp_processor_id()
            if ne v1, 0 jump b1 else b3
          b1:
            if ne v1, 0 jump b2 else b3
          b2:
            v3 = ct_lost(v1)
            return
          b3:
            return
        }
        ",
    );
}

#[test]
fn what_dominates_is_not_computed_again_and_siblings_are_left_alone() {
    let mut b = Builder::new("p".into());
    let (yes, no, done) = (b.new_block(), b.new_block(), b.new_block());
    let cpu = b.helper(Helper::GetSmpProcessorId, &[]);
    b.branch_if(cpu, yes, no);
    for block in [yes, no] {
        b.fill(block);
        let again = b.helper(Helper::GetSmpProcessorId, &[]);
        let sum = b.binary_with(BinaryOp::Add, again, 5);
        b.runtime(Runtime::Lost, &[sum]);
        b.jump(done, &[]);
    }
    b.fill(done);
    b.ret();
    assert_text(
        &optimised(b.finish()),
        "
        program p {
          b0(v0):
            v1 = get_smp_processor_id()
            if ne v1, 0 jump b1 else b2
          b1:
            v4 = add v1, 5
            v5 = ct_lost(v4)
            return
          b2:
            v7 = add v1, 5
            v8 = ct_lost(v7)
            return
        }
        ",
    );
}

#[test]
fn a_branch_around_nothing_goes_with_what_it_asked() {
    let mut b = Builder::new("p".into());
    let (yes, no, done) = (b.new_block(), b.new_block(), b.new_block());
    let result = b.parameter(done);
    let cpu = b.helper(Helper::GetSmpProcessorId, &[]);
    b.branch_if(cpu, yes, no);
    for (block, number) in [(yes, 1), (no, 0)] {
        b.fill(block);
        let number = b.constant(number);
        b.jump(done, &[number]);
    }
    b.fill(done);
    b.binary_with(BinaryOp::Add, result, 1);
    b.ret();
    assert_text(
        &optimised(b.finish()),
        "
        program p {
          b0(v0):
            return
        }
        ",
    );
}

#[test]
fn loads_stay_where_they_are() {
    let mut b = Builder::new("p".into());
    let slot = b.slot(8);
    let slot = b.slot_address(slot);
    let context = b.context();
    let width = crate::compile::ir::Width::B8;
    for number in [1, 2] {
        let number = b.constant(number);
        b.store(slot, 0, width, number);
        let (memory, argument) = (b.load(slot, 0, width), b.load(context, 8, width));
        b.helper(Helper::GetCurrentComm, &[memory, argument]);
    }
    b.ret();
    assert_text(
        &optimised(b.finish()),
        "
        program p {
          slot s0: 8 bytes
          b0(v0):
            store u64 [&s0], 1
            v4 = load u64 [&s0]
            v5 = load u64 [v0 +8]
            v6 = get_current_comm(v4, v5)
            store u64 [&s0], 2
            v9 = load u64 [&s0]
            v10 = get_current_comm(v9, v5)
            return
        }
        ",
    );
}

#[test]
fn a_zero_that_the_verifier_must_not_know_is_asked_for_anew() {
    // Behind the branch it would know the first one, and count with the second one turn by turn.
    let mut b = Builder::new("p".into());
    let (then, done) = (b.new_block(), b.new_block());
    let first = b.unknown_zero();
    b.branch_if(first, then, done);
    b.fill(then);
    b.runtime(Runtime::Lost, &[first]);
    b.jump(done, &[]);
    b.fill(done);
    let second = b.unknown_zero();
    b.runtime(Runtime::Lost, &[second]);
    b.ret();
    assert_text(
        &optimised(b.finish()),
        "
        program p {
          b0(v0):
            v1 = unknown_zero
            if ne v1, 0 jump b1 else b2
          b1:
            v3 = ct_lost(v1)
            jump b2
          b2:
            v4 = unknown_zero
            v5 = ct_lost(v4)
            return
        }
        ",
    );
}
