//! What programs become, after the passes.

use tracer_common::scope::{KernelOffsets, Scope};

use super::assert_text;
use super::typed::*;
use crate::compile::ir::{Frames, lower, optimise};
use crate::compile::sema::typed::*;
use crate::compile::target::Target;
use crate::plan::{Aggregation, Map, MapId, ProbeId, Record, RecordId, Shape, Storage, Value};

fn assert_ir(script: &Script, expected: &str) {
    assert_ir_for(script, &target(), expected);
}

fn assert_ir_for(script: &Script, target: &Target, expected: &str) {
    let mut module = lower(script, target, Frames::Roomy);
    optimise(&mut module);
    assert_text(&module.to_string(), expected);
}

fn count(key: Option<Expr>) -> StmtKind {
    StmtKind::Aggregate { map: MapId(0), key, aggregation: Aggregation::Count, argument: None, weight: None }
}

/// `rawtracepoint:sys_enter { @[comm, pid] = count(); }`
#[test]
fn count_by_comm_and_pid() {
    let key = tuple(vec![builtin(Builtin::Comm), builtin(Builtin::Pid)]);
    let shape = Shape::Tuple(vec![Shape::Str { size: 16 }, Shape::Int { size: 4, signed: false }]);
    let counts = map(Storage::PerCpuHash, Some(shape), Value::Aggregation(Aggregation::Count));
    assert_ir(
        &script(Context::SysEnter, vec![counts], vec![clause(vec![], None, vec![count(Some(key))])]),
        "
        program p {
          slot s0: 32 bytes
          b0(v0):
            v2 = ct_in_scope(0)
            if ne v2, 0 jump b1 else b3
          b1:
            v4 = generation map_0
            store u64 [&s0], v4
            store u64 [&s0 +8], 0
            store u64 [&s0 +16], 0
            v9 = add &s0, 8
            v11 = get_current_comm(v9, 16)
            v12 = get_current_pid_tgid()
            v14 = shr v12, 32
            store u64 [&s0 +24], v14
            v17 = map_lookup_elem(map_0, &s0)
            if ne v17, 0 jump b2(v17) else b4
          b2(v18):
            v20 = load u64 [v18]
            v21 = add v20, 1
            store u64 [v18], v21
            return
          b3:
            return
          b4 cold:
            v25 = ct_admit(keys_0, &s0, 0, 1024)
            if ne v25, 0 jump b6(v25) else b5
          b5 cold:
            v26 = ct_insert(map_0, &s0)
            v27 = map_lookup_elem(map_0, &s0)
            if ne v27, 0 jump b2(v27) else b6(v26)
          b6(v28) cold:
            v30 = ct_failed(256, 0, 0, v28)
            return
        }
        ",
    );
}

/// The same by pid alone, of a map with room for many: what is looked into first is the table before its hash.
#[test]
fn a_key_has_a_slot_before_the_hash() {
    let counts = map(Storage::PerCpuHash, Some(Shape::U64), Value::Aggregation(Aggregation::Count));
    let counts = Map { max_keys: 8192, max_entries: 8192, ..counts };
    let key = Some(builtin(Builtin::Pid));
    assert_ir(
        &script(Context::SysEnter, vec![counts], vec![clause(vec![], None, vec![count(key)])]),
        "
        program p {
          slot s0: 16 bytes
          slot s1: 8 bytes
          b0(v0):
            v2 = ct_in_scope(0)
            if ne v2, 0 jump b1 else b6
          b1:
            v4 = generation map_0
            store u64 [&s0], v4
            v6 = get_current_pid_tgid()
            v8 = shr v6, 32
            store u64 [&s0 +8], v8
            v10 = load u64 [&s0 +8]
            v12 = mul v10, -7046029254386353131
            v14 = shr v12, 56
            v16 = and v4, 1
            v18 = shl v16, 8
            v19 = or v14, v18
            store u32 [&s1], v19
            v23 = map_lookup_elem(front_0, &s1)
            if ne v23, 0 jump b2 else b4
          b2:
            v24 = load u64 [v23 +8]
            if eq v24, 1 jump b3 else b7
          b3:
            v25 = load u64 [&s0 +8]
            v26 = load u64 [v23 +16]
            v27 = xor v25, v26
            if ne v27, 0 jump b4 else b5(v23)
          b4:
            v29 = map_lookup_elem(map_0, &s0)
            if ne v29, 0 jump b5(v29) else b10
          b5(v30):
            v31 = load u64 [v30]
            v32 = add v31, 1
            store u64 [v30], v32
            return
          b6:
            return
          b7 cold:
            v36 = ct_admit(keys_0, &s0, 0, 8192)
            if ne v36, 0 jump b12(v36) else b8
          b8 cold:
            v38 = add v23, 8
            v39 = ct_take_word(v38, 0, -1)
            if ne v39, 0 jump b9 else b4
          b9 cold:
            v40 = load u64 [&s0 +8]
            store u64 [v23 +16], v40
            store u64 [v23 +8], 1
            jump b5(v23)
          b10 cold:
            v45 = ct_admit(keys_0, &s0, 0, 8192)
            if ne v45, 0 jump b12(v45) else b11
          b11 cold:
            v46 = ct_insert(map_0, &s0)
            v47 = map_lookup_elem(map_0, &s0)
            if ne v47, 0 jump b5(v47) else b12(v46)
          b12(v48) cold:
            v50 = ct_failed(256, 0, 0, v48)
            return
        }
        ",
    );
}

/// `BEGIN { printf("…", 1, comm); exit(); }`
#[test]
fn a_record_is_written_where_it_is_sent_from() {
    let arguments = vec![expr(Shape::Bool, ExprKind::Int(1)), builtin(Builtin::Nsecs), builtin(Builtin::Comm)];
    let body = vec![
        StmtKind::Emit { record: RecordId(0), arguments },
        StmtKind::Emit { record: RecordId(1), arguments: vec![int(0)] },
        StmtKind::Return,
        StmtKind::Emit { record: RecordId(2), arguments: vec![] },
    ];
    let mut script = script(Context::None, vec![], vec![clause(vec![], None, body)]);
    script.plan.records = vec![Record::PrintValue { value: Shape::U64 }; 3];
    assert_ir(
        &script,
        "
        program p {
          b0(v0):
            v2 = ktime_get_boot_ns()
            v6 = ringbuf_reserve(EVENTS, 40, 0)
            if ne v6, 0 jump b1 else b4
          b1:
            store u32 [v6], 0
            store u32 [v6 +4], 0
            store u64 [v6 +8], 1
            store u64 [v6 +16], v2
            store u64 [v6 +24], 0
            store u64 [v6 +32], 0
            v14 = add v6, 24
            v16 = get_current_comm(v14, 16)
            v17 = ringbuf_submit(v6, 0)
            jump b2
          b2:
            v19 = ringbuf_reserve(EVENTS, 16, 0)
            if ne v19, 0 jump b3 else b5
          b3:
            store u32 [v19], 1
            store u32 [v19 +4], 0
            store u64 [v19 +8], 0
            v23 = ringbuf_submit(v19, 0)
            return
          b4 cold:
            v24 = ct_ring_full(40)
            jump b2
          b5 cold:
            v25 = ct_ring_full(16)
            return
        }
        ",
    );
}

/// `tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; }`
/// `tracepoint:syscalls:sys_exit_read /@start[tid]/ { @ = hdr(nsecs - @start[tid]); delete(@start[tid]); }`
#[test]
fn a_start_time_in_task_storage() {
    let start = || map(Storage::TaskStorage, Some(Shape::I64), Value::Plain(Shape::U64));
    let tid = || Some(builtin(Builtin::Tid));
    let read = Selector::Syscalls(vec![0]);
    let set = StmtKind::SetMap { map: MapId(0), key: tid(), value: builtin(Builtin::Nsecs) };
    let enter = Clause { selector: read.clone(), ..clause(vec![], None, vec![set]) };
    assert_ir(
        &script(Context::SysEnter, vec![start()], vec![enter]),
        "
        program p {
          b0(v0):
            v1 = load u64 [v0 +8]
            if eq v1, 0 jump b1 else b5
          b1:
            v3 = ct_in_scope(0)
            if ne v3, 0 jump b2 else b5
          b2:
            v4 = get_current_task_btf()
            v5 = load u32 [v4 +16]
            v7 = and v5, 2
            if ne v7, 0 jump b5 else b3
          b3:
            v8 = ktime_get_boot_ns()
            v11 = task_storage_get(map_0, v4, 0, 1)
            if ne v11, 0 jump b4 else b6
          b4:
            store u64 [v11], v8
            return
          b5:
            return
          b6 cold:
            v14 = ct_failed(5, 0, 0, 0)
            v16 = ct_lost(3)
            return
        }
        ",
    );

    let get = || expr(Shape::U64, ExprKind::MapGet { map: MapId(0), key: tid().map(Box::new) });
    let elapsed = binary(BinaryOp::Sub, builtin(Builtin::Nsecs), get());
    let latency = StmtKind::Aggregate {
        map: MapId(1),
        key: None,
        aggregation: Aggregation::Hdr,
        argument: Some(elapsed),
        weight: None,
    };
    let delete = StmtKind::Delete { map: MapId(0), key: tid() };
    let exit = Clause { selector: read, ..clause(vec![], Some(get()), vec![latency, delete]) };
    let latencies = map(Storage::PerCpuArray { first: 0, entries: 1 }, None, Value::Aggregation(Aggregation::Hdr));
    assert_ir(
        &script(Context::SysExit, vec![start(), latencies], vec![exit]),
        "
        program p {
          slot s0: 8 bytes
          b0(v0):
            v2 = ct_in_scope(0)
            if ne v2, 0 jump b1 else b8
          b1:
            v3 = get_current_task_btf()
            v4 = task_pt_regs(v3)
            v5 = load u64 [v4 +120]
            if eq v5, 0 jump b2 else b8
          b2:
            v6 = load u32 [v3 +16]
            v8 = and v6, 2
            if ne v8, 0 jump b8 else b3
          b3:
            v10 = task_storage_get(map_0, v3, 0, 0)
            if ne v10, 0 jump b4 else b8
          b4:
            v11 = load u64 [v10]
            if ne v11, 0 jump b5 else b8
          b5:
            v12 = ktime_get_boot_ns()
            v13 = load u64 [v10]
            v14 = sub v12, v13
            v16 = generation map_1
            v17 = and v16, 1
            store u32 [&s0], v17
            v21 = map_lookup_elem(map_1, &s0)
            if ne v21, 0 jump b6 else b7
          b6:
            v22 = ct_hdr_update(v21, v14)
            jump b7
          b7:
            store u64 [v10], 0
            return
          b8:
            return
        }
        ",
    );
}

/// `tracepoint:syscalls:sys_enter_read { @ = count(); }`, in a scope whose check reads the current task.
#[test]
fn the_current_task_is_asked_for_once() {
    let read = Clause { selector: Selector::Syscalls(vec![0]), ..clause(vec![], None, vec![count(None)]) };
    let counts = map(Storage::PerCpuArray { first: 0, entries: 1 }, None, Value::Aggregation(Aggregation::Count));
    let offsets = KernelOffsets { task_cgroups: 3000, ..KernelOffsets::default() };
    let target = Target { scope: Scope { offsets, ..target().scope }, ..target() };
    let mut module = lower(&script(Context::SysEnter, vec![counts], vec![read]), &target, Frames::Roomy);
    optimise(&mut module);
    let text = module.to_string();
    assert!(text.contains("b1:\n    v3 = get_current_task_btf()\n    v4 = ct_in_scope(v3)"), "{text}");
    assert!(text.contains("= load u32 [v3 +16]"), "whether the call is a 32-bit one\n{text}");
    assert_eq!(text.matches("get_current_task").count(), 1, "{text}");
}

/// `tracepoint:syscalls:sys_enter_* { @[probe] = count(); }`, of seven system calls, with the whole host in scope.
#[test]
fn a_wildcard_is_a_switch_to_one_block() {
    let key = builtin(Builtin::Probe);
    let counts = map(Storage::PerCpuHash, Some(Shape::Probe), Value::Aggregation(Aggregation::Count));
    let all = Clause {
        selector: Selector::Syscalls(vec![0, 1, 2, 3, 10, 11, 424]),
        probes: (5..12).map(ProbeId).collect(),
        ..clause(vec![], None, vec![count(Some(key))])
    };
    assert_ir_for(
        &script(Context::SysEnter, vec![counts], vec![all]),
        &Target { scope: Scope::default(), ..target() },
        "
        program p {
          slot s0: 16 bytes
          b0(v0):
            v1 = load u64 [v0 +8]
            switch v1 [0..=3: b1(5), 10..=11: b1(-1), 424: b1(-413)] else b4
          b1(v5):
            v6 = add v1, v5
            v7 = get_current_task_btf()
            v8 = load u32 [v7 +16]
            v10 = and v8, 2
            if ne v10, 0 jump b4 else b2
          b2:
            v13 = generation map_0
            store u64 [&s0], v13
            store u64 [&s0 +8], v6
            v17 = map_lookup_elem(map_0, &s0)
            if ne v17, 0 jump b3(v17) else b5
          b3(v18):
            v20 = load u64 [v18]
            v21 = add v20, 1
            store u64 [v18], v21
            return
          b4:
            return
          b5 cold:
            v25 = ct_admit(keys_0, &s0, 0, 1024)
            if ne v25, 0 jump b7(v25) else b6
          b6 cold:
            v26 = ct_insert(map_0, &s0)
            v27 = map_lookup_elem(map_0, &s0)
            if ne v27, 0 jump b3(v27) else b7(v26)
          b7(v28) cold:
            v30 = ct_failed(256, 0, 0, v28)
            return
        }
        ",
    );
}

/// `… /comm == "bash" && args.fd > 2/ { @[str(args.buf)]++; }`
#[test]
fn texts_are_compared_by_words_and_read_into_keys() {
    let bash = expr(Shape::Str { size: 5 }, ExprKind::Str("bash".into()));
    let is_bash = ExprKind::StrEqual { a: Box::new(builtin(Builtin::Comm)), b: Box::new(bash), length: None };
    let fd = expr(Shape::I64, ExprKind::SyscallArgument(0));
    let high = binary(BinaryOp::Gt, fd, int(2));
    let both = ExprKind::And(Box::new(expr(Shape::Bool, is_bash)), Box::new(high));
    let buf = expr(Shape::U64, ExprKind::SyscallArgument(1));
    let text = Shape::Str { size: 16 };
    let key = expr(text.clone(), ExprKind::ReadStr { address: Box::new(buf), user: true, length: None });
    let add = ExprKind::MapAdd { map: MapId(0), key: Some(Box::new(key)), delta: 1, post: true };
    let body = vec![StmtKind::Expr(expr(Shape::I64, add))];
    assert_ir(
        &script(
            Context::SysEnter,
            vec![map(Storage::Hash, Some(text), Value::Plain(Shape::I64))],
            vec![clause(vec![], Some(expr(Shape::Bool, both)), body)],
        ),
        "
        program p {
          slot s0: 16 bytes
          slot s1: 16 bytes
          slot s2: 8 bytes
          b0(v0):
            v2 = ct_in_scope(0)
            if ne v2, 0 jump b1 else b6
          b1:
            store u64 [&s0], 0
            store u64 [&s0 +8], 0
            v7 = get_current_comm(&s0, 16)
            v8 = load u64 [&s0]
            if eq v8, 1752392034 jump b2 else b6
          b2:
            v10 = get_current_task_btf()
            v11 = task_pt_regs(v10)
            v12 = load u64 [v11 +112]
            if sgt v12, 2 jump b3 else b6
          b3:
            v15 = load u64 [v11 +104]
            store u64 [&s1], 0
            store u64 [&s1 +8], 0
            v18 = probe_read_user_str(&s1, 16, v15)
            if slt v18, 0 jump b7 else b4
          b4:
            v20 = map_lookup_elem(map_0, &s1)
            if ne v20, 0 jump b5 else b8
          b5:
            atomic_add u64 [v20], 1
            return
          b6:
            return
          b7 cold:
            v24 = ct_failed(3, 0, 0, v18)
            v25 = ct_lost(2)
            jump b4
          b8 cold:
            store u64 [&s2], 1
            v29 = map_update_elem(map_0, &s1, &s2, 1)
            if eq v29, 0 jump b6 else b9
          b9 cold:
            v30 = map_lookup_elem(map_0, &s1)
            if ne v30, 0 jump b10 else b11
          b10 cold:
            atomic_add u64 [v30], 1
            return
          b11 cold:
            v33 = ct_failed(256, 0, 0, v29)
            v34 = ct_lost(1)
            return
        }
        ",
    );
}

/// `$x = 7; if (cpu) { $x = $x - 10; } @ = $x / 2;`
#[test]
fn variables_become_values_and_division_is_signed() {
    let x = LocalId(0);
    let read = || expr(Shape::I64, ExprKind::Local(x));
    let body = vec![
        StmtKind::SetLocal(x, int(7)),
        StmtKind::If {
            condition: builtin(Builtin::Cpu),
            then: vec![stmt(StmtKind::SetLocal(x, binary(BinaryOp::Sub, read(), int(10))))],
            otherwise: vec![],
        },
        StmtKind::SetMap { map: MapId(0), key: None, value: binary(BinaryOp::Div, read(), int(2)) },
    ];
    let local = Local { name: "$x".into(), ty: Type::Data(Shape::I64) };
    assert_ir(
        &script(
            Context::None,
            vec![map(Storage::Hash, None, Value::Plain(Shape::I64))],
            vec![clause(vec![local], None, body)],
        ),
        "
        program p {
          slot s0: 8 bytes
          slot s1: 8 bytes
          b0(v0):
            v3 = get_smp_processor_id()
            if ne v3, 0 jump b1 else b2
          b1:
            jump b3(-3)
          b2:
            jump b3(7)
          b3(v5):
            store u64 [&s0], 0
            v10 = sar v5, 63
            v11 = xor v5, v10
            v12 = sub v11, v10
            v14 = shr v12, 1
            v15 = xor v14, v10
            v16 = sub v15, v10
            store u64 [&s1], v16
            v19 = map_update_elem(map_0, &s0, &s1, 0)
            if ne v19, 0 jump b5 else b4
          b4:
            return
          b5 cold:
            v21 = ct_failed(256, 0, 0, v19)
            v22 = ct_lost(1)
            return
        }
        ",
    );
}
