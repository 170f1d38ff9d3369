//! Sessions on the running kernel: a script, what runs meanwhile, and what must come of it.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use tracer_common::bucket::{
    HDR_BUCKETS, LOG2_MAX_BITS, hdr_index, linear_buckets, linear_index, log2_buckets, log2_index,
};
use tracer_common::failure::{FAILURE_RECORD, Failure};
use tracer_common::loss::LOSS_KINDS;
use tracer_common::record::HEADER_SIZE;
use tracer_common::scope::{ProcessFilter, Scope};

use super::command::Command;
use super::{Error, Flow, Loaded, Maps, Options, Outcome, Reason, Sink, load, run, sys};
use crate::compile::bpf::runtime::Library;
use crate::compile::sema::policy::Level;
use crate::compile::source::Source;
use crate::compile::target::Target;
use crate::compile::{bpf, elf, ir, sema, syntax};
use crate::host::btf::Btf;
use crate::host::offsets::kernel_offsets;
use crate::plan::{MapId, Plan, Record};

/// What a session has told.
#[derive(Default)]
struct Story {
    plan: Plan,
    attached: usize,
    /// Payloads of the records that are not looked into.
    payloads: Vec<Vec<u8>>,
    /// Every update that was drained by `print(@)`, by key, and how often it was drained.
    drained: Vec<(Vec<u8>, u64)>,
    prints: usize,
    intervals: usize,
}

impl Story {
    /// Adds up the first words of all partial values: the counts.
    fn drain(&mut self, map: MapId, maps: &mut Maps) -> io::Result<()> {
        let stride = self.plan.maps[map.0 as usize].value_size() as usize;
        maps.drain(map, false, &mut |key, partials| {
            let counts = partials.chunks_exact(stride).map(|value| word(&value[..8]));
            self.drained.push((key.to_vec(), counts.sum()));
        })
    }

    fn total(&self) -> u64 {
        self.drained.iter().map(|(_, count)| count).sum()
    }

    /// How often this number was counted as key.
    fn counted(&self, key: u64) -> u64 {
        self.drained.iter().filter(|(bytes, _)| word(&bytes[..8]) == key).map(|(_, count)| count).sum()
    }
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
}

impl Sink for Story {
    type Error = Error;

    fn attached(&mut self, probes: usize) -> Result<(), Error> {
        self.attached = probes;
        Ok(())
    }

    fn record(&mut self, record: &[u8], maps: &mut Maps) -> Result<Flow, Error> {
        let id = u32::from_ne_bytes(record[..4].try_into().expect("four bytes"));
        if id == FAILURE_RECORD {
            return Ok(Flow::Continue);
        }
        match self.plan.records[id as usize] {
            Record::Exit => return Ok(Flow::End(Reason::Exit(word(&record[HEADER_SIZE..HEADER_SIZE + 8]) as i64))),
            Record::PrintMap { map, .. } => {
                self.prints += 1;
                self.drain(map, maps).map_err(Error::io("drain"))?;
            }
            _ => self.payloads.push(record[HEADER_SIZE..].to_vec()),
        }
        Ok(Flow::Continue)
    }

    fn stacks(&mut self, _: &mut Maps) {
        panic!("no script here names any");
    }

    fn diagnostic(&mut self, message: &str) {
        self.payloads.push(message.as_bytes().to_vec());
    }

    fn warning(&mut self, message: &str) {
        panic!("{message}");
    }

    fn interval(&mut self, _: &mut Maps) -> Result<(), Error> {
        self.intervals += 1;
        Ok(())
    }

    fn make_room(&mut self, _: &mut Maps) -> Result<(), Error> {
        Ok(())
    }

    fn idle(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Compiles a script for this machine.
fn compile(text: &str, scope: Scope) -> (Vec<u8>, Plan) {
    compile_adjusted(text, scope, &Library::quiet(), |_| {})
}

fn compile_adjusted(text: &str, scope: Scope, library: &Library, adjust: impl Fn(&mut Plan)) -> (Vec<u8>, Plan) {
    let target = Target {
        kernel: (6, 1, 0),
        possible_cpus: aya::util::nr_cpus().expect("sysfs") as u32,
        task_storage: true,
        task_registers: false,
        types: None,
        scope,
        positional: Vec::new(),
        named: Vec::new(),
        environment: Default::default(),
        command_pid: None,
        binaries: Default::default(),
        cgroups: Default::default(),
        kernel_symbols: std::collections::BTreeMap::new(),
        tai_offset: 0,
        kernel_functions: Vec::new(),
        formats: Vec::new(),
        allow_unsafe: false,
        level: Level::Observe,
    };
    let parsed = syntax::parse(&Source::new("test", text));
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    let mut script = sema::analyse(&parsed.script, Vec::new(), &target).expect("a script without errors").script;
    adjust(&mut script.plan);
    let module = ir::lower(&script, &target, ir::Frames::Roomy);
    let object = bpf::generate(&module, &script.plan, library, &scope).expect("within all limits");
    (elf::write(&object), script.plan)
}

/// The command and whatever it forks.
fn tree(command: &Command) -> Scope {
    let offsets = kernel_offsets(&Btf::of_kernel().expect("BTF")).expect("fields of every kernel");
    Scope { filter: ProcessFilter::Tree as u32, tgid: command.pid(), offsets, ..Scope::default() }
}

fn command(words: &[&str]) -> Command {
    Command::prepare(&words.iter().map(OsString::from).collect::<Vec<_>>()).expect("it can be prepared")
}

fn may_trace() -> bool {
    let may = sys::try_program().is_ok();
    if !may {
        eprintln!("skipped: this process may not load programs");
    }
    may
}

/// Runs a script to its end; drains `@`, if there is such a map.
fn session(text: &str, scope: Scope, options: Options) -> (Story, Outcome) {
    let (object, plan) = compile(text, scope);
    session_of(&object, plan, options)
}

fn session_of(object: &[u8], plan: Plan, options: Options) -> (Story, Outcome) {
    let mut story = Story { plan: plan.clone(), ..Story::default() };
    let loaded: Loaded = load(object, &plan).unwrap_or_else(|error| panic!("{error}"));
    let (outcome, mut maps) = run(loaded, &plan, options, &mut story).unwrap_or_else(|error| panic!("{error}"));
    if plan.maps.first().is_some_and(|map| map.name == "@") {
        story.drain(MapId(0), &mut maps).expect("it can be read");
    }
    (story, outcome)
}

#[test]
fn exit_in_begin_ends_the_session_before_anything_is_attached_but_after_end() {
    if !may_trace() {
        return;
    }
    let script = "BEGIN { exit(7); } tracepoint:raw_syscalls:sys_enter { @ = count(); } END { print(1); }";
    let (story, outcome) = session(script, Scope::default(), Options::default());
    assert_eq!(outcome.reason, Reason::Exit(7));
    assert_eq!(story.total(), 0);
    assert_eq!(story.payloads.len(), 1, "END has printed");
    assert_eq!(outcome.losses, [0; LOSS_KINDS]);
}

#[test]
fn a_script_without_events_is_complete_at_once() {
    if !may_trace() {
        return;
    }
    let (story, outcome) = session("BEGIN { print(1); } END { print(2); }", Scope::default(), Options::default());
    assert_eq!(outcome.reason, Reason::Complete);
    assert_eq!(story.payloads.len(), 2);
}

#[test]
fn a_session_lasts_as_long_as_it_is_asked_to() {
    if !may_trace() {
        return;
    }
    let duration = Duration::from_millis(30);
    let options = Options { duration: Some(duration), ..Options::default() };
    let (story, outcome) = session("interval:ms:10 { @ = count(); }", Scope::default(), options);
    assert_eq!(outcome.reason, Reason::Duration);
    assert!(outcome.duration >= duration);
    assert!(story.total() > 0, "the interval has passed");
}

#[test]
fn the_end_probe_runs_at_every_interval_too() {
    if !may_trace() {
        return;
    }
    let interval = Some(Duration::from_millis(1));
    let script = "interval:ms:30 { exit(); } END { print(1); }";
    let (story, outcome) = session(script, Scope::default(), Options { interval, ..Options::default() });
    assert_eq!(outcome.reason, Reason::Exit(0));
    assert!(story.intervals > 0);
    assert_eq!(story.payloads.len(), story.intervals + 1);
}

#[test]
fn a_session_ends_when_nobody_reads_its_output() {
    if !may_trace() {
        return;
    }
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let options = Options { output: Some(writer.into()), ..Options::default() };
    let (_, outcome) = session("interval:s:1000 { }", Scope::default(), options);
    assert_eq!(outcome.reason, Reason::OutputClosed);
}

#[test]
fn every_system_call_of_the_command_is_counted_and_of_nobody_else() {
    if !may_trace() {
        return;
    }
    let command = command(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=5000", "status=none"]);
    let scope = tree(&command);
    let options = Options { command: Some(command), ..Options::default() };
    let (story, outcome) = session("tracepoint:raw_syscalls:sys_enter { @[args.id] = count(); }", scope, options);
    assert!(matches!(outcome.reason, Reason::CommandEnded(status) if status.success()));
    let calls = [libc::SYS_write, libc::SYS_execve, libc::SYS_exit_group].map(|call| story.counted(call as u64));
    assert_eq!(calls, [5_000, 1, 1]);
    assert!(story.counted(libc::SYS_read as u64) >= 5_000);
    assert_eq!(outcome.losses, [0; LOSS_KINDS]);
}

#[test]
fn the_first_system_call_of_a_command_is_its_execve() {
    if !may_trace() {
        return;
    }
    let command = command(&["true"]);
    let scope = tree(&command);
    let options = Options { command: Some(command), ..Options::default() };
    let (story, _) = session("tracepoint:raw_syscalls:sys_enter { print(args.id); }", scope, options);
    assert_eq!(word(&story.payloads[0]), libc::SYS_execve as u64);
}

#[test]
fn what_the_command_forks_is_traced_as_well() {
    if !may_trace() {
        return;
    }
    let command = command(&["sh", "-c", "(dd if=/dev/zero of=/dev/null bs=1 count=3000 status=none & wait) & wait"]);
    let scope = tree(&command);
    let options = Options { command: Some(command), ..Options::default() };
    let (story, _) = session("tracepoint:syscalls:sys_enter_write { @[pid] = count(); }", scope, options);
    assert_eq!(story.total(), 3_000);
}

#[test]
fn reading_a_map_while_it_is_written_to_loses_nothing_and_counts_nothing_twice() {
    if !may_trace() {
        return;
    }
    // The first map is a hash, the second an array.
    for key in ["[tid]", ""] {
        let command = command(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=400000", "status=none"]);
        let scope = tree(&command);
        let options = Options { command: Some(command), ..Options::default() };
        let script =
            format!("tracepoint:syscalls:sys_enter_write {{ @{key} = count(); }} interval:ms:5 {{ print(@); }}");
        let (story, outcome) = session(&script, scope, options);
        assert_eq!(story.total(), 400_000, "@{key}");
        assert!(story.prints > 1, "read {} times", story.prints);
        assert_eq!(outcome.losses, [0; LOSS_KINDS]);
    }
}

/// What the kernel makes of values is what user space reads it by: `tracer_common::bucket`.
#[test]
fn values_fall_into_the_same_buckets_in_the_kernel() {
    if !may_trace() {
        return;
    }
    let values: [i64; 12] = [0, 1, 2, 15, 31, 32, 33, 999, 1_000, 123_456_789, i64::MAX - 1, i64::MAX];
    let signed: Vec<i64> = values.iter().copied().chain([-1, i64::MIN + 1]).collect();
    let counted = |call: &dyn Fn(i64) -> String, values: &[i64], heads: usize, buckets: usize| {
        let body: String = values.iter().map(|&value| format!("@ = {}; ", call(value))).collect();
        let (object, plan) = compile(&format!("BEGIN {{ {body} }}"), Scope::default());
        let mut story = Story { plan: plan.clone(), ..Story::default() };
        let loaded = load(&object, &plan).unwrap_or_else(|error| panic!("{error}"));
        let (_, mut maps) = run(loaded, &plan, Options::default(), &mut story).expect("it ends by itself");
        let mut words = vec![0u64; heads + buckets];
        let mut add = |_: &[u8], partials: &[u8]| {
            for partial in partials.chunks_exact(8 * words.len()) {
                words.iter_mut().zip(partial.chunks_exact(8)).for_each(|(sum, bytes)| *sum += word(bytes));
            }
        };
        maps.drain(MapId(0), false, &mut add).expect("it can be read");
        words
    };
    let filled = |heads: &[u64], buckets: usize, indices: &mut dyn Iterator<Item = u32>| {
        let mut words = heads.to_vec();
        words.resize(heads.len() + buckets, 0);
        indices.for_each(|index| words[heads.len() + index as usize] += 1);
        words
    };

    let total = values.iter().fold(0u64, |total, &value| total.wrapping_add(value as u64));
    let heads = [values.len() as u64, total, 0, i64::MAX as u64];
    let got = counted(&|value| format!("hdr({value})"), &values, heads.len(), HDR_BUCKETS);
    assert_eq!(got, filled(&heads, HDR_BUCKETS, &mut values.iter().map(|&value| hdr_index(value as u64))));

    let heads = [signed.len() as u64];
    for bits in 0..=LOG2_MAX_BITS {
        let got = counted(&|value| format!("hist({value}, {bits})"), &signed, 1, log2_buckets(bits));
        assert_eq!(got, filled(&heads, log2_buckets(bits), &mut signed.iter().map(|&value| log2_index(value, bits))));
    }

    let (min, max, step) = (-10, 1_000, 7);
    let buckets = linear_buckets(min, max, step);
    let got = counted(&|value| format!("lhist({value}, {min}, {max}, {step})"), &signed, 1, buckets);
    let indices = &mut signed.iter().map(|&value| linear_index(value, min, max, step));
    assert_eq!(got, filled(&heads, buckets, indices));
}

#[test]
fn a_command_that_is_still_running_at_the_end_is_terminated() {
    if !may_trace() {
        return;
    }
    let options =
        Options { duration: Some(Duration::ZERO), command: Some(command(&["sleep", "1000"])), ..Options::default() };
    let (_, outcome) = session("tracepoint:raw_syscalls:sys_enter { @ = count(); }", Scope::default(), options);
    assert_eq!(outcome.reason, Reason::Duration);
}

#[test]
fn a_full_map_is_counted_and_the_verbose_library_says_so() {
    if !may_trace() {
        return;
    }
    let script = "BEGIN { @[1, 1] = count(); @[2, 2] = count(); @[3, 3] = count(); @[4, 4] = count(); }";
    let small = |plan: &mut Plan| plan.maps[0].max_keys = 2;
    let (object, plan) = compile_adjusted(script, Scope::default(), &Library::verbose(), small);
    let (story, outcome) = session_of(&object, plan, Options::default());
    assert_eq!(outcome.losses, [0, 2, 0, 0, 0, 0, 0, 0]);
    let failed = outcome.failures.iter().map(|(failed, count)| (failed.failure(), failed.error, *count));
    assert_eq!(failed.collect::<Vec<_>>(), [(Some(Failure::MapUpdate), -7, 1); 2]);
    assert_eq!(story.total(), 2);
    let said = String::from_utf8(story.payloads.concat()).expect("text");
    assert_eq!(said, "a map takes no more keys: error -7".repeat(2));
}

#[test]
fn exit_and_print_come_through_a_full_ring_in_their_place() {
    if !may_trace() {
        return;
    }
    // Each `printf` takes 24 bytes, kernel's header included.
    let script = "
        BEGIN { @ = count(); unroll(4) { unroll(50) { printf(\"%d\", 1); } } print(@); exit(7); }
        END { printf(\"%d\", 2); }";
    let page = |plan: &mut Plan| plan.ring_size = Some(4096);
    let (object, plan) = compile_adjusted(script, Scope::default(), &Library::quiet(), page);
    let (story, outcome) = session_of(&object, plan, Options::default());
    let kept = 4096 / 24;
    assert_eq!(outcome.reason, Reason::Exit(7));
    assert_eq!(outcome.losses, [200 - kept, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((story.prints, story.total()), (1, 1));
    let told: Vec<u8> = story.payloads.iter().map(|payload| payload[0]).collect();
    assert_eq!(told, [vec![1; kept as usize], vec![2]].concat(), "END has room again");
}

#[test]
fn exit_comes_through_even_where_prints_have_filled_both_rings() {
    if !may_trace() {
        return;
    }
    // A key of 192 bytes makes a record of 216, stamp and kernel's header included.
    let script = format!(
        "BEGIN {{ unroll(4) {{ unroll(50) {{ printf(\"%d\", 1); }} }}
                 @[{0}] = stats(1); unroll(6) {{ unroll(50) {{ print(@[{0}]); }} }} exit(7); }}",
        [const { "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"" }; 3].join(", ")
    );
    let page = |plan: &mut Plan| plan.ring_size = Some(4096);
    let (object, plan) = compile_adjusted(&script, Scope::default(), &Library::quiet(), page);
    let (story, outcome) = session_of(&object, plan, Options::default());
    assert_eq!(outcome.reason, Reason::Exit(7));
    let printed = story.payloads.iter().filter(|payload| payload.len() >= 192).count() as u64;
    assert!(printed >= (65536 - 4096) / 216, "{printed} of 300");
    assert_eq!(outcome.losses[0], 200 - 4096 / 24 + 300 - printed);
}

#[test]
fn a_program_that_the_verifier_rejects_is_a_defect_of_ours_and_said_to_be_one() {
    if !may_trace() {
        return;
    }
    // It begins with a call, in whose place: r0 = r9, which has no value.
    let (object, plan) = compile("BEGIN { print(nsecs); exit(); }", Scope::default());
    let broken = object_with_first_instruction(object, "begin", [0xbf, 0x90, 0, 0, 0, 0, 0, 0]);
    let Err(Error::Verifier { program, log, .. }) = load(&broken, &plan) else { panic!("it must not be accepted") };
    assert_eq!(program, "begin");
    assert!(log.contains("R9 !read_ok"), "{log}");
}

/// Replaces the first instruction of a program in an object.
fn object_with_first_instruction(mut object: Vec<u8>, symbol: &str, insn: [u8; 8]) -> Vec<u8> {
    use object::{Object, ObjectSection, ObjectSymbol};
    let file = object::File::parse(&*object).expect("an ELF file");
    let symbol = file.symbols().find(|candidate| candidate.name() == Ok(symbol)).expect("the program");
    let section = file.section_by_index(symbol.section_index().expect("it is defined")).expect("its section");
    let start = (section.file_range().expect("it is in the file").0 + symbol.address()) as usize;
    object[start..start + 8].copy_from_slice(&insn);
    object
}
