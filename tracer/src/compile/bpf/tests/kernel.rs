//! Generated objects in the running kernel: aya parses them, the verifier accepts them, and they do what they should.

use std::io;

use aya::maps::HashMap;
use aya::programs::{RawTracePoint, RawTracePointRunOptions, TestRun};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use tracer_common::scope::Scope;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::build::{Builder, target};
use super::random::Flavour;
use super::{interpret, machine, random};
use crate::compile::bpf::runtime::Library;
use crate::compile::bpf::{disassemble, generate};
use crate::compile::elf;
use crate::compile::ir::{BinaryOp, CompareOp, Function, Helper, Module, Runtime, Width};
use crate::compile::source::Source;
use crate::plan::{Aggregation, Attach, Map, Plan, Program, Shape, Storage, Value};

/// A plan with these maps, and a raw tracepoint program for each function.
fn plan(functions: &[Function], maps: Vec<Map>) -> Plan {
    let programs = functions
        .iter()
        .map(|function| Program {
            symbol: function.symbol.clone(),
            attach: Attach::RawTracepoint { event: "sys_enter".to_owned() },
            probes: Vec::new(),
        })
        .collect();
    Plan { programs, maps, ..Plan::default() }
}

/// Loads all programs; `None`, with a word about it, where this process may not.
fn load(functions: Vec<Function>, maps: Vec<Map>) -> Option<Ebpf> {
    let plan = plan(&functions, maps);
    let module = Module { functions, ..Module::default() };
    let object = generate(&module, &plan, &Library::quiet(), &Scope::default()).expect("within all limits");
    let source = Source::new("test", String::new());
    let text = disassemble(&object, &[], &source);
    let bytes = elf::write(&object);
    let mut loader = EbpfLoader::new();
    loader.btf(None).verifier_log_level(VerifierLogLevel::STATS | VerifierLogLevel::VERBOSE).allow_unsupported_maps();
    let mut ebpf = match loader.load(&bytes) {
        Ok(ebpf) => ebpf,
        Err(error) if denied(&error) => {
            eprintln!("skipped: {error:?}");
            return None;
        }
        Err(error) => panic!("{error:?}\n{text}"),
    };
    for (name, program) in ebpf.programs_mut() {
        let program: &mut RawTracePoint = program.try_into().expect("a raw tracepoint program");
        program.load().unwrap_or_else(|error| panic!("{name}: {error}\n{text}\n{error:?}"));
    }
    Some(ebpf)
}

/// Whether the kernel refuses bpf(2) itself.
fn denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let own = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    own || error.source().is_some_and(denied)
}

/// `if in_scope { @[pid_tgid] = count() }`
fn count_by_thread() -> Function {
    let mut b = Builder::new("count");
    let (inside, out, missing, found) = (b.block(), b.block(), b.cold_block(), b.block());
    let slot = b.slot(16);
    let value = b.parameter(found);
    let nobody = b.number(0);
    let in_scope = b.runtime(Runtime::InScope, &[nobody]);
    let zero = b.number(0);
    b.branch(CompareOp::Ne, in_scope, zero, target(inside, &[]), target(out, &[]));
    b.enter(inside);
    let generation = b.inst(crate::compile::ir::Inst::Generation(crate::plan::MapId(0)));
    let thread = b.runtime(Runtime::PidTgid, &[]);
    let key = b.address(slot);
    b.store(key, 0, Width::B8, generation);
    b.store(key, 8, Width::B8, thread);
    let map = b.map(0);
    let entry = b.helper(Helper::MapLookupElem, &[map, key]);
    b.branch(CompareOp::Eq, entry, zero, target(missing, &[]), target(found, &[entry]));
    b.enter(missing);
    b.runtime(Runtime::Insert, &[map, key]);
    let entry = b.helper(Helper::MapLookupElem, &[map, key]);
    b.branch(CompareOp::Eq, entry, zero, target(out, &[]), target(found, &[entry]));
    b.enter(found);
    let count = b.load(value, 0, Width::B8);
    let count = b.add(count, 1);
    b.store(value, 0, Width::B8, count);
    b.jump(out, &[]);
    b.finish()
}

#[test]
fn a_program_with_maps_and_runtime_functions_is_accepted() {
    let map = Map {
        name: "@".to_owned(),
        storage: Storage::PerCpuHash,
        key: Some(Shape::U64),
        value: Value::Aggregation(Aggregation::Count),
        max_keys: 4096,
        max_entries: 4096,
    };
    load(vec![count_by_thread()], vec![map]);
}

/// One value of [`random::MEMORY`] bytes.
fn memory_map() -> Map {
    let value = Value::Plain(Shape::Str { size: random::MEMORY as u32 });
    Map { name: "@".to_owned(), storage: Storage::Hash, key: None, value, max_keys: 1, max_entries: 1 }
}

#[test]
fn random_programs_pass_the_verifier_and_do_what_the_ir_means() {
    let mut source = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut functions = Vec::new();
    while functions.len() < 48 {
        let choices: Vec<u32> = (0..40 + 6 * functions.len()).map(|_| source.next_u32()).collect();
        let function = random::function(&format!("random_{}", functions.len()), &choices, Flavour::Kernel);
        if machine::compile(&function).1 <= 320 {
            functions.push(function);
        }
    }
    let Some(mut ebpf) = load(functions.clone(), vec![memory_map()]) else { return };
    for function in &functions {
        let (mut expected, start) = (super::memory(), super::memory());
        interpret::run(function, &mut expected);
        let value: [u8; random::MEMORY] = start.try_into().expect("as many bytes");
        let map = ebpf.map_mut("map_0").expect("the map");
        let mut map = HashMap::<_, u64, [u8; random::MEMORY]>::try_from(map).expect("a hash of that shape");
        map.insert(0, value, 0).expect("room for one");
        let program = ebpf.program(&function.symbol).expect("a program for each function");
        let program: &RawTracePoint = program.try_into().expect("a raw tracepoint program");
        program.test_run(RawTracePointRunOptions::new()).expect("raw tracepoint programs can be run");
        let map = HashMap::<_, u64, [u8; random::MEMORY]>::try_from(ebpf.map("map_0").expect("the map"));
        let found = map.expect("a hash of that shape").get(&0, 0).expect("an entry");
        assert_eq!(found[..], expected[..], "{}", function.symbol);
    }
}

/// `@start[tid] = 7` in one program, `@ = @start[tid]` in the next.
fn task_storage() -> Vec<Function> {
    const CREATE: i64 = 1;
    let mut b = Builder::new("write");
    let (found, out) = (b.block(), b.block());
    let zero = b.number(0);
    let create = b.number(CREATE);
    let task = b.helper(Helper::GetCurrentTaskBtf, &[]);
    let map = b.map(0);
    let value = b.helper(Helper::TaskStorageGet, &[map, task, zero, create]);
    b.branch(CompareOp::Ne, value, zero, target(found, &[]), target(out, &[]));
    b.enter(found);
    let seven = b.number(7);
    b.store(value, 0, Width::B8, seven);
    b.jump(out, &[]);
    let write = b.finish();

    let mut b = Builder::new("read");
    let (found, out) = (b.block(), b.block());
    let slot = b.slot(8);
    let zero = b.number(0);
    let task = b.helper(Helper::GetCurrentTaskBtf, &[]);
    let map = b.map(0);
    let value = b.helper(Helper::TaskStorageGet, &[map, task, zero, zero]);
    b.branch(CompareOp::Ne, value, zero, target(found, &[]), target(out, &[]));
    b.enter(found);
    let key = b.address(slot);
    b.store(key, 0, Width::B8, zero);
    let map = b.map(1);
    b.helper(Helper::MapUpdateElem, &[map, key, value, zero]);
    b.jump(out, &[]);
    vec![write, b.finish()]
}

#[test]
fn values_live_in_task_storage() {
    let map = |name: &str, storage| Map {
        name: name.to_owned(),
        storage,
        key: None,
        value: Value::Plain(Shape::U64),
        max_keys: 1,
        max_entries: 1,
    };
    let maps = vec![map("@start", Storage::TaskStorage), map("@", Storage::Hash)];
    let Some(ebpf) = load(task_storage(), maps) else { return };
    for name in ["write", "read"] {
        let program: &RawTracePoint = ebpf.program(name).expect("loaded").try_into().expect("a raw tracepoint program");
        program.test_run(RawTracePointRunOptions::new()).expect("raw tracepoint programs can be run");
    }
    let map = HashMap::<_, u64, u64>::try_from(ebpf.map("map_1").expect("the map")).expect("a hash of that shape");
    assert_eq!(map.get(&0, 0).expect("an entry"), 7);
}

/// `index` is spilled, compared with its bound, and spilled again before it is used.
fn bounded_index() -> Function {
    let mut b = Builder::new("bounded");
    let (found, small, out) = (b.block(), b.block(), b.block());
    let slot = b.slot(8);
    let (zero, limit, shift) = (b.number(0), b.number(32), b.number(3));
    let key = b.address(slot);
    b.store(key, 0, Width::B8, zero);
    let map = b.map(0);
    let memory = b.helper(Helper::MapLookupElem, &[map, key]);
    b.branch(CompareOp::Ne, memory, zero, target(found, &[]), target(out, &[]));
    b.enter(found);
    let index = b.load(memory, 0, Width::B8);
    let others: Vec<_> = (1..6).map(|index| b.load(memory, 8 * index, Width::B8)).collect();
    let keep = |b: &mut Builder| {
        b.helper(Helper::KtimeGetNs, &[]);
        for (value, offset) in others.iter().zip((64..).step_by(8)) {
            b.store(memory, offset, Width::B8, *value);
        }
    };
    keep(&mut b);
    b.branch(CompareOp::ULt, index, limit, target(small, &[]), target(out, &[]));
    b.enter(small);
    keep(&mut b);
    let distance = b.binary(BinaryOp::Shl, index, shift);
    let place = b.binary(BinaryOp::Add, memory, distance);
    b.store(place, 0, Width::B8, index);
    b.jump(out, &[]);
    b.finish()
}

#[test]
fn a_bound_is_known_of_a_value_that_was_spilled_before_and_after_it_was_compared() {
    load(vec![bounded_index()], vec![memory_map()]);
}
