//! The whole compile path, text → object, on whatever bytes the fuzzer comes up with: no panic, no hang, bounded memory.
//!
//! `cargo xtask fuzz` runs it with limits for time and memory of a single input, from the scripts of the tests.

#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tracer::compile::bpf::runtime::Library;
use tracer::compile::diagnostics::render_all;
use tracer::compile::source::Source;
use tracer::compile::target::Target;
use tracer::compile::{self, Failure};
use tracer::host::btf::Btf;

/// A kernel as it is usual, with this machine's types if it shows them.
static MACHINE: OnceLock<(Target, Library)> = OnceLock::new();

fn machine() -> (Target, Library) {
    let target = Target {
        kernel: (6, 12, 0),
        possible_cpus: 2,
        task_storage: true,
        task_registers: true,
        types: Btf::of_kernel().ok().map(Arc::new),
        positional: vec!["17".to_owned(), "text".to_owned()],
        named: vec![("flag".to_owned(), None), ("n".to_owned(), Some("5".to_owned()))],
        allow_unsafe: true,
        ..Target::default()
    };
    (target, Library::quiet())
}

fuzz_target!(|bytes: &[u8]| {
    let (target, library) = MACHINE.get_or_init(machine);
    let source = Source::new("fuzz.bt", String::from_utf8_lossy(bytes).into_owned());
    match compile::compile(&source, target, library) {
        Ok(compiled) => assert!(!compiled.object.is_empty()),
        // What is found must also have a place in the text where it can be shown.
        Err(Failure::Script(findings)) => {
            assert!(!findings.is_empty(), "a script is refused without a reason");
            assert!(!render_all(&findings, &source, false).is_empty());
        }
        Err(Failure::Limit(limit)) => assert!(!limit.to_string().is_empty()),
    }
});
