//! Objects: what is linked, what aya reads back from the file, and what does not fit.

use tracer_common::scope::{Scope, ScopeKind};

use super::build::{Builder, target};
use crate::compile::bpf::insn::{
    AluOp, Base, Bits, Callee, Condition, Insn, JumpOp, Operand, Reg, Target, Wide, encode,
};
use crate::compile::bpf::runtime::Library;
use crate::compile::bpf::{Limit, Object, disassemble, generate, link};
use crate::compile::elf;
use crate::compile::ir::{CompareOp, Function, Helper, Inst, Module, Runtime, Width};
use crate::compile::source::{Source, Span};
use crate::plan::{Aggregation, Attach, Map, MapId, Plan, Program, Shape, Storage, Value};

fn plan_of(function: &Function, maps: Vec<Map>) -> Plan {
    let program = Program { symbol: function.symbol.clone(), attach: Attach::Begin, probes: Vec::new() };
    Plan { programs: vec![program], maps, ..Plan::default() }
}

fn object(function: Function, maps: Vec<Map>, scope: &Scope) -> Result<Object, Limit> {
    let plan = plan_of(&function, maps);
    generate(&Module { functions: vec![function], ..Module::default() }, &plan, &Library::quiet(), scope)
}

fn map(storage: Storage, key: Option<Shape>, value: Value) -> Map {
    Map { name: "@".to_owned(), storage, key, value, max_keys: 1000, max_entries: 1000 }
}

/// Reads the generation of map 2, asks whether the task is in scope, and names map 0.
fn example() -> Function {
    let mut b = Builder::new("example");
    let slot = b.slot(16);
    let nobody = b.number(0);
    let in_scope = b.runtime(Runtime::InScope, &[nobody]);
    let generation = b.inst(Inst::Generation(MapId(2)));
    let key = b.address(slot);
    b.store(key, 0, Width::B8, generation);
    b.store(key, 8, Width::B8, in_scope);
    let map = b.map(0);
    b.helper(Helper::MapDeleteElem, &[map, key]);
    b.finish()
}

/// The same, with an entry for the key.
fn inserting() -> Function {
    let mut b = Builder::new("example");
    let slot = b.slot(16);
    let key = b.address(slot);
    let generation = b.inst(Inst::Generation(MapId(2)));
    b.store(key, 0, Width::B8, generation);
    b.store(key, 8, Width::B8, generation);
    let map = b.map(0);
    b.runtime(Runtime::Insert, &[map, key]);
    b.finish()
}

fn maps() -> Vec<Map> {
    vec![
        map(Storage::PerCpuHash, Some(Shape::U64), Value::Aggregation(Aggregation::Count)),
        map(Storage::TaskStorage, None, Value::Plain(Shape::U64)),
        map(Storage::PerCpuArray { first: 0, entries: 7 }, None, Value::Aggregation(Aggregation::Hdr)),
    ]
}

/// A scope whose check cannot stand in the program itself: it remembers the namespace.
fn remembering() -> Scope {
    Scope { kind: ScopeKind::PidNamespace as u32, ..Scope::default() }
}

#[test]
fn functions_come_with_what_they_call_and_name() {
    let object = object(example(), maps(), &remembering()).expect("small");
    assert!(object.functions.contains_key("ct_in_scope"));
    for needed in ["SHOWN_NAMESPACE", "GENERATIONS", "EVENTS", "LOSSES"] {
        assert!(object.data.contains_key(needed), "{needed}");
    }
    assert!(!object.functions.contains_key("ct_reserve_control"), "nothing calls it");
}

#[test]
fn the_scope_is_a_number_in_the_program() {
    let scope = Scope { kind: ScopeKind::Cgroup as u32, cgroup_id: 0x0807_0605_0403_0201, ..Scope::default() };
    let object = object(example(), maps(), &scope).expect("small");
    assert!(!object.data.contains_key("SCOPE") && !object.functions.contains_key("ct_in_scope"));
    let code = &object.programs[0].code;
    assert_eq!(code.inlined, ["ct_in_scope"]);
    let wide = |pair: &[u8]| pair[0] == 0x18 && pair[4..8] == [1, 2, 3, 4] && pair[12..] == [5, 6, 7, 8];
    assert!(code.encoded.bytes.chunks_exact(8).collect::<Vec<_>>().windows(2).any(|pair| wide(&pair.concat())));
    assert!(code.encoded.relocations.iter().all(|(_, target)| !matches!(target, Target::Runtime(_))));
}

/// Whoever calls twice, calls: the code is there once.
#[test]
fn what_is_called_twice_is_a_function() {
    let mut b = Builder::new("example");
    let nobody = b.number(0);
    let (one, other) = (b.runtime(Runtime::InScope, &[nobody]), b.runtime(Runtime::InScope, &[nobody]));
    let slot = b.slot(16);
    let key = b.address(slot);
    b.store(key, 0, Width::B8, one);
    b.store(key, 8, Width::B8, other);
    let map = b.map(0);
    b.helper(Helper::MapDeleteElem, &[map, key]);
    let object = object(b.finish(), maps(), &Scope::default()).expect("small");
    assert!(object.functions.contains_key("ct_in_scope") && object.programs[0].code.inlined.is_empty());
}

#[test]
fn aya_reads_programs_maps_and_variables_back() {
    let bytes = elf::write(&object(inserting(), maps(), &Scope::default()).expect("small"));
    let read = aya_obj::Object::parse(&bytes).expect("an object");
    assert_eq!(read.license.to_bytes(), b"Dual MIT/GPL");
    assert_eq!(read.programs.keys().collect::<Vec<_>>(), ["example"]);
    assert!(matches!(read.programs["example"].section, aya_obj::ProgramSection::RawTracePoint));
    let shape = |name: &str| {
        let map = &read.maps[name];
        (map.map_type(), map.key_size(), map.value_size(), map.max_entries(), map.map_flags())
    };
    // Two generations of 1000 keys, each with its generation before it.
    assert_eq!(shape("map_0"), (5, 16, 8, 2000, 0));
    assert_eq!(shape("map_1"), (29, 4, 8, 0, 1));
    assert_eq!(shape("map_2"), (6, 4, 7840, 14, 0));
    assert_eq!(read.maps[".rodata"].map_flags(), 128, "BPF_F_RDONLY_PROG");
    assert!(read.maps.contains_key("EVENTS") && read.maps.contains_key(".data"));
}

#[test]
fn instructions_are_what_the_standard_says() {
    let (r1, r2) = (Reg::R1, Reg::R2);
    let alu = |bits, op, src| Insn::Alu { bits, op, dst: r1, src };
    let branch = |bits, op, b| Insn::Branch { condition: Condition { bits, op, a: r1, b }, to: 0 };
    let (reg, minus) = (Operand::Reg(r2), Operand::Imm(-2));
    // opcode, source and destination, offset, immediate
    let cases = [
        (alu(Bits::B64, AluOp::Add, reg), "0f 21 0000 00000000"),
        (alu(Bits::B64, AluOp::Mov, minus), "b7 01 0000 feffffff"),
        (alu(Bits::B32, AluOp::Mov, reg), "bc 21 0000 00000000"),
        (alu(Bits::B32, AluOp::Lsh, Operand::Imm(3)), "64 01 0000 03000000"),
        (alu(Bits::B64, AluOp::Arsh, reg), "cf 21 0000 00000000"),
        (Insn::Neg { dst: r1 }, "87 01 0000 00000000"),
        (Insn::FrameAddress { dst: r1 }, "bf a1 0000 00000000"),
        (Insn::Load { width: Width::B1, dst: r1, base: Base::Reg(r2), offset: 8 }, "71 21 0800 00000000"),
        (Insn::Load { width: Width::B2, dst: r1, base: Base::Reg(r2), offset: 8 }, "69 21 0800 00000000"),
        (Insn::Load { width: Width::B4, dst: r1, base: Base::Frame, offset: -8 }, "61 a1 f8ff 00000000"),
        (Insn::Store { width: Width::B8, base: Base::Frame, offset: -8, src: reg }, "7b 2a f8ff 00000000"),
        (Insn::Store { width: Width::B4, base: Base::Reg(r1), offset: 4, src: minus }, "62 01 0400 feffffff"),
        (Insn::AtomicAdd { bits: Bits::B64, base: Base::Reg(r1), offset: 0, src: r2 }, "db 21 0000 00000000"),
        (Insn::AtomicAdd { bits: Bits::B32, base: Base::Reg(r1), offset: 0, src: r2 }, "c3 21 0000 00000000"),
        (Insn::Jump { to: 0 }, "05 00 ffff 00000000"),
        (branch(Bits::B64, JumpOp::Slt, reg), "cd 21 ffff 00000000"),
        (branch(Bits::B32, JumpOp::Set, minus), "46 01 ffff feffffff"),
        (branch(Bits::B64, JumpOp::Ne, Operand::Imm(0)), "55 01 ffff 00000000"),
        (Insn::Call(Callee::Helper(Helper::KtimeGetNs)), "85 00 0000 05000000"),
        (Insn::Call(Callee::Runtime(Runtime::Insert)), "85 10 0000 ffffffff"),
        (Insn::Exit, "95 00 0000 00000000"),
        (
            Insn::LoadWide { dst: r1, value: Wide::Number(0x0123_4567_89ab_cdef) },
            "18 01 0000 efcdab89 00 00 0000 67452301",
        ),
    ];
    for (insn, expected) in cases {
        let bytes = encode([insn].iter()).expect("a short jump").bytes;
        let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected.replace(' ', ""), "{insn:?}");
    }
}

#[test]
fn values_of_many_bytes_are_made_room_for_on_demand() {
    let large = Value::Aggregation(Aggregation::Hdr);
    let maps = vec![map(Storage::PerCpuHash, None, large)];
    let object = object(example(), maps, &Scope::default()).expect("small");
    assert!(object.maps[0].on_demand, "2000 entries of 7840 bytes");
}

#[test]
fn a_frame_that_does_not_fit_the_stack_is_a_stated_limit() {
    let mut b = Builder::new("greedy");
    let slot = b.slot(480);
    let key = b.address(slot);
    let map = b.map(0);
    b.runtime(Runtime::Insert, &[map, key]);
    let limit = object(b.finish(), Vec::new(), &Scope::default()).expect_err("480 bytes and a call");
    let depth = link::stack_depth(&Library::quiet(), "ct_insert");
    assert_eq!(limit, Limit::Stack { symbol: "greedy".to_owned(), needed: 480, available: 512 - depth });
    assert!(limit.to_string().contains("480 bytes of stack"), "{limit}");
}

/// Two ways, each with a slot of 200 bytes, and a slot of 16 bytes from before to after.
fn two_ways() -> Function {
    let mut b = Builder::new("ways");
    let (one, other, after) = (b.block(), b.block(), b.block());
    let kept = b.slot(16);
    let (kept, zero) = (b.address(kept), b.number(0));
    b.store(kept, 0, Width::B8, zero);
    let choice = b.load(Builder::CONTEXT, 0, Width::B8);
    b.branch(CompareOp::Eq, choice, zero, target(one, &[]), target(other, &[]));
    for way in [one, other] {
        b.enter(way);
        let slot = b.slot(200);
        let key = b.address(slot);
        b.store(key, 0, Width::B8, zero);
        let map = b.map(0);
        b.helper(Helper::MapDeleteElem, &[map, key]);
        b.jump(after, &[]);
    }
    b.enter(after);
    let map = b.map(0);
    b.helper(Helper::MapDeleteElem, &[map, kept]);
    b.finish()
}

#[test]
fn slots_that_are_never_in_use_together_share_their_bytes() {
    let object = object(two_ways(), maps(), &Scope::default()).expect("small");
    assert_eq!(object.programs[0].code.frame, 16 + 200);
}

#[test]
fn a_slot_of_any_size_is_measured_before_code_is_made_for_it() {
    let mut b = Builder::new("vast");
    let slot = b.slot(1 << 20);
    let (address, zero) = (b.address(slot), b.number(0));
    b.store(address, 0, Width::B8, zero);
    let limit = object(b.finish(), Vec::new(), &Scope::default()).expect_err("a megabyte");
    assert_eq!(limit, Limit::Stack { symbol: "vast".to_owned(), needed: 1 << 20, available: 512 });
}

#[test]
fn the_same_frame_fits_where_nothing_is_called() {
    let mut b = Builder::new("modest");
    let slot = b.slot(512);
    let (address, zero) = (b.address(slot), b.number(0));
    b.store(address, 0, Width::B8, zero);
    assert_eq!(object(b.finish(), Vec::new(), &Scope::default()).expect("it fits").programs[0].code.frame, 512);
}

#[test]
fn a_jump_that_is_too_long_is_a_stated_limit() {
    let far = vec![Insn::Jump { to: 40_000 }; 40_001];
    assert!(encode(far.iter()).is_err());
    assert!(encode(vec![Insn::Jump { to: 30_000 }; 30_001].iter()).is_ok());
}

#[test]
fn the_source_stands_before_what_it_became() {
    let text = "begin { @ = nsecs }\nend { exit(); }";
    let mut function = example();
    for value in &mut function.values[3..] {
        value.span = Span::new(8, 17);
    }
    let object = object(function, maps(), &Scope::default()).expect("small");
    let source = Source::new("test", text);
    let found = disassemble(&object, &[], &source);
    let program = found.split("\n\n").next().expect("the program");
    assert_eq!(
        program.trim_end(),
        "\
raw_tp/example: 14 instructions, 16 bytes of frame, ct_in_scope inlined
    r1 = 0
    call ct_in_scope
  ; 1: @ = nsecs
    r5 = &generation of map_2
    r5 = *(u64 *)(r5 + 0)
    *(u64 *)(fp - 16) = r5
    *(u64 *)(fp - 8) = r0
    r1 = map_0
    r2 = fp
    r2 += -16
    call map_delete_elem
    r0 = 0
    exit"
    );
}
