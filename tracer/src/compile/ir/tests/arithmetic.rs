//! The arithmetic of typed programs, on numbers: what is emitted folds, so the result shows what it computes.

use super::typed::*;
use crate::compile::ir::{Frames, Inst, fold, lower};
use crate::compile::sema::typed::*;
use crate::plan::{MapId, Shape, Storage, Value};

const SHAPES: [Shape; 8] = [
    Shape::Int { size: 1, signed: false },
    Shape::Int { size: 1, signed: true },
    Shape::Int { size: 2, signed: false },
    Shape::Int { size: 2, signed: true },
    Shape::Int { size: 4, signed: false },
    Shape::Int { size: 4, signed: true },
    Shape::U64,
    Shape::I64,
];

const NUMBERS: [i64; 13] = [0, 1, 2, 3, 7, 10, 64, -1, -3, -8, 0x7fff_ffff, i64::MAX, i64::MIN];

/// A number as a type keeps it.
fn wrap(number: i128, shape: &Shape) -> i64 {
    let Shape::Int { size, signed } = *shape else { panic!("{shape:?} is no integer") };
    fold::extend(number as i64, crate::compile::ir::Width::of(size.into()), signed)
}

/// A number as it was meant: that of an unsigned type is never negative.
fn meant(number: i64, shape: &Shape) -> i128 {
    if shape == &Shape::U64 { i128::from(number as u64) } else { i128::from(number) }
}

/// The number that `@ = expr` stores, as the type of `shape` keeps it.
fn stored(expr: Expr, shape: &Shape) -> i64 {
    let set = StmtKind::SetMap { map: MapId(0), key: None, value: expr };
    let map = map(Storage::Hash, None, Value::Plain(shape.clone()));
    let module =
        lower(&script(Context::None, vec![map], vec![clause(vec![], None, vec![set])]), &target(), Frames::Roomy);
    let function = &module.functions[0];
    let inst = |value: crate::compile::ir::Value| function.values[value.0 as usize].inst.clone();
    let all = function.blocks.iter().flat_map(|block| &block.insts);
    let mut stores = all.filter_map(|&value| match inst(value) {
        Some(Inst::Store { value, .. }) => inst(value),
        _ => None,
    });
    match stores.next_back() {
        Some(Inst::Const(number)) => wrap(number.into(), shape),
        other => panic!("no constant is stored, but {other:?}\n{function}"),
    }
}

/// What C gives, but where it gives nothing: shifts are modulo 64 and bring in zeros.
fn expected(op: BinaryOp, a: i64, b: i64, shape: &Shape) -> i64 {
    let (x, y) = (meant(a, shape), meant(b, shape));
    let result = match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => i128::from(a.wrapping_mul(b)),
        BinaryOp::Div => x / y,
        BinaryOp::Mod => x % y,
        BinaryOp::BitAnd => x & y,
        BinaryOp::BitOr => x | y,
        BinaryOp::BitXor => x ^ y,
        BinaryOp::Shl => i128::from(a.wrapping_shl(b as u32)),
        BinaryOp::Shr => i128::from((a as u64).wrapping_shr(b as u32)),
        BinaryOp::Eq => (x == y).into(),
        BinaryOp::Ne => (x != y).into(),
        BinaryOp::Lt => (x < y).into(),
        BinaryOp::Le => (x <= y).into(),
        BinaryOp::Gt => (x > y).into(),
        BinaryOp::Ge => (x >= y).into(),
    };
    wrap(result, shape)
}

#[test]
fn operators() {
    use BinaryOp::*;
    for op in [Add, Sub, Mul, Div, Mod, BitAnd, BitOr, BitXor, Shl, Shr, Eq, Ne, Lt, Le, Gt, Ge] {
        for shape in &SHAPES {
            for (a, b) in NUMBERS.iter().flat_map(|&a| NUMBERS.iter().map(move |&b| (a, b))) {
                let (a, b) = (wrap(a.into(), shape), wrap(b.into(), shape));
                // A failure at run time, which constants do not come to: analysis refuses them.
                if matches!(op, Div | Mod) && b == 0 {
                    continue;
                }
                let operand = |number| expr(shape.clone(), ExprKind::Int(number));
                let computed = binary(op, operand(a), operand(b));
                let result = if computed.ty == Type::Data(Shape::Bool) {
                    stored(computed, &Shape::Int { size: 1, signed: false })
                } else {
                    stored(computed, shape)
                };
                assert_eq!(result, expected(op, a, b, shape), "{a} {op:?} {b} in {shape:?}");
            }
        }
    }
}

#[test]
fn conversions_and_signs() {
    for from in &SHAPES {
        for number in NUMBERS.map(|number| wrap(number.into(), from)) {
            let operand = || Box::new(expr(from.clone(), ExprKind::Int(number)));
            for to in &SHAPES {
                let converted = expr(to.clone(), ExprKind::Convert(operand()));
                assert_eq!(stored(converted, to), wrap(meant(number, from), to), "{number} from {from:?} to {to:?}");
            }
            let negated = expr(from.clone(), ExprKind::Unary(UnaryOp::Negate, operand()));
            assert_eq!(stored(negated, from), wrap(-meant(number, from), from), "-{number} in {from:?}");
            let inverted = expr(from.clone(), ExprKind::Unary(UnaryOp::BitNot, operand()));
            assert_eq!(stored(inverted, from), wrap(!meant(number, from), from), "~{number} in {from:?}");
            let truth = expr(Shape::Bool, ExprKind::Convert(operand()));
            let byte = Shape::Int { size: 1, signed: false };
            assert_eq!(stored(truth, &byte), i64::from(number != 0), "the truth of {number} in {from:?}");
        }
    }
}
