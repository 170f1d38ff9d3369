//! What scripts become between analysis and code, by example: `ir` holds scripts and their programs as `--emit ir` shows
//! them. With `UPDATE_EXPECT=1` in the environment the expected texts are written anew, to be reviewed.

mod machine;

use std::fs;
use std::path::{Path, PathBuf};

use tracer::compile::bpf::runtime::Library;
use tracer::compile::source::Source;
use tracer::compile::target::Target;
use tracer::compile::{self, Failure, Stage, diagnostics};
use tracer_common::scope::{Scope, ScopeKind};

/// A container whose pids are its own.
fn container(script: &str) -> Target {
    let scope = Scope { kind: ScopeKind::Cgroup as u32, pidns_level: 1, ..Scope::default() };
    Target { scope, ..machine::target(script) }
}

/// The scripts in a folder of `tests`, in order.
fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder of cases");
    let mut scripts: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no cases in {}", folder.display());
    scripts
}

fn source(path: &Path) -> Source {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    Source::new(name, fs::read_to_string(path).expect("a script"))
}

fn explain(failure: Failure, source: &Source) -> String {
    match failure {
        Failure::Script(findings) => diagnostics::render_all(&findings, source, false),
        Failure::Limit(limit) => limit.to_string(),
    }
}

#[test]
fn scripts_become_these_programs() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let library = Library::quiet();
    let mut differing = Vec::new();
    for path in scripts("ir") {
        let source = source(&path);
        let shown = match compile::emit(Stage::Ir, &source, &container(&source.text), &library) {
            Ok(text) => String::from_utf8(text).expect("the IR is text"),
            Err(failure) => panic!("{}", explain(failure, &source)),
        };
        let expected = path.with_extension("ir");
        if update {
            fs::write(&expected, &shown).expect("the expected text can be written");
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(&shown) {
            differing.push(format!("{}:\n{shown}", source.name));
        }
    }
    assert!(differing.is_empty(), "not as expected:\n\n{}", differing.join("\n"));
}

/// After analysis has passed, the rest of the compiler fails for no reason but a stated limit, on any kernel.
#[test]
fn what_analysis_accepts_is_compiled() {
    let library = Library::quiet();
    for path in [scripts("ir"), scripts("sema/typed"), scripts("../tools")].concat() {
        let source = source(&path);
        let host = machine::target(&source.text);
        let old = Target { kernel: (5, 10, 0), task_storage: false, task_registers: false, ..host.clone() };
        for target in [host, old, container(&source.text)] {
            if let Err(failure) = compile::compile(&source, &target, &library) {
                panic!("{}", explain(failure, &source));
            }
        }
    }
}
