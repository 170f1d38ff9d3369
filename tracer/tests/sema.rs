//! What scripts mean, by example: `sema/typed` holds scripts and their typed programs, `sema/errors` scripts and what is
//! said about them. With `UPDATE_EXPECT=1` in the environment the expected texts are written anew, to be reviewed.

mod machine;

use machine::target;
use proptest::prelude::*;
use std::path::Path;
use tracer::compile::bpf::runtime::Library;
use tracer::compile::diagnostics::render_all;
use tracer::compile::sema;
use tracer::compile::source::Source;
use tracer::compile::syntax;
use tracer::compile::{self, Failure};

/// What analysis makes of a script: the typed program and the warnings, or the errors.
fn analyse(source: &Source) -> (bool, String) {
    let target = target(&source.text);
    let parsed = syntax::parse_with_parameters(source, &target.positional);
    assert!(parsed.errors.is_empty(), "{}", render_all(&parsed.errors, source, false));
    match sema::analyse(&parsed.script, Vec::new(), &target) {
        Ok(analysed) => {
            let mut text = sema::print::script(&analysed.script);
            if !analysed.warnings.is_empty() {
                text.push_str(&format!("\n{}\n", render_all(&analysed.warnings, source, false)));
            }
            (true, text)
        }
        Err(diagnostics) => (false, render_all(&diagnostics, source, false) + "\n"),
    }
}

/// Compares what is made of every script in a folder with the text beside it.
fn check(folder: &str, extension: &str, accepted: bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sema").join(folder);
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bt"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no cases in {}", folder.display());
    let mut differing = Vec::new();
    for path in scripts {
        let text = std::fs::read_to_string(&path).expect("a script");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let (ok, shown) = analyse(&Source::new(name.clone(), text));
        assert_eq!(ok, accepted, "{name}:\n{shown}");
        let expected = path.with_extension(extension);
        if update {
            std::fs::write(&expected, &shown).expect("the expected text can be written");
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if shown != wanted {
            differing.push(format!("== {name}: expected\n{wanted}\n== {name}: found\n{shown}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn good_scripts_have_these_typed_programs() {
    check("typed", "typed", true);
}

#[test]
fn bad_scripts_are_told_why() {
    check("errors", "err", false);
}

#[test]
fn the_canned_tools_are_good_scripts_whatever_their_options() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
    for entry in std::fs::read_dir(folder).expect("the folder of tools") {
        let path = entry.expect("an entry").path();
        let tool = std::fs::read_to_string(&path).expect("a script");
        // As their headers list them: ` *   -x, --failed      only calls that failed`.
        let options = tool.lines().filter_map(|line| line.trim_start_matches([' ', '*']).split_once("--"));
        let options: Vec<&str> =
            options.filter_map(|(_, rest)| rest.split(|c: char| c != '-' && !c.is_alphanumeric()).next()).collect();
        for chosen in 0..1 << options.len() {
            let chosen = options.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1);
            let header: String = chosen.map(|(_, option)| format!("// option: {option}\n")).collect();
            let (ok, shown) = analyse(&Source::new(path.display().to_string(), header + &tool));
            assert!(ok && !shown.contains("warning"), "{shown}");
        }
    }
}

/// Texts of numbers; `$v`, `@m` and `@n` hold some.
fn numbers() -> BoxedStrategy<String> {
    let leaves = [
        "0",
        "1",
        "300",
        "-1",
        "0xffffffffffffffff",
        "true",
        "pid",
        "tid",
        "nsecs",
        "cpu",
        "uid",
        "rand",
        "elapsed",
        "cgroup",
        "$v",
        "@m",
        "@n[1]",
        "$1",
        "curtask",
    ];
    let leaf = prop::sample::select(leaves.to_vec()).prop_map(String::from);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operators =
            ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", "<=", ">", ">=", "&&", "||"];
        let before = prop::sample::select(vec!["-", "~", "!", "(uint8)", "(int16)", "(uint32)", "(int64)", "(bool)"]);
        prop_oneof![
            (inner.clone(), prop::sample::select(operators.to_vec()), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (before, inner.clone()).prop_map(|(op, a)| format!("{op}({a})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}, {b}).1")),
            inner.clone().prop_map(|a| format!("@n[{a}]")),
            inner.clone().prop_map(|a| format!("has_key(@n, {a})")),
            (texts(), texts()).prop_map(|(a, b)| format!("({a} == {b})")),
            (texts(), texts()).prop_map(|(a, b)| format!("strncmp({a}, {b}, 3)")),
        ]
    })
    .boxed()
}

/// Texts of texts; `$w` holds one.
fn texts() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["\"ab\"", "\"somewhat longer\"", "comm", "$w", "str(nsecs)", "str(uptr(pid), 5)"])
        .prop_map(String::from)
}

/// Texts of what can be printed and be part of a key.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => numbers(),
        2 => texts(),
        1 => Just("probe".to_string()),
        1 => numbers().prop_map(|n| format!("syscall_name({n})")),
        1 => (numbers(), texts()).prop_map(|(n, t)| format!("({n}, {t})")),
    ]
}

/// Texts of statements: N stands for a number, T for a text, V for any value.
fn statements() -> impl Strategy<Value = String> {
    let forms = [
        "$v = N",
        "$w = T",
        "@m = N",
        "@n[N] = N",
        "@k[N, T] = count()",
        "@c = sum(N)",
        "@h[T] = hist(N)",
        "$v++",
        "@m--",
        "@n[N] += N",
        "delete(@n[N])",
        "clear(@k)",
        "print(V)",
        "print(@c)",
        "printf(\"%s %s\", V, T)",
        "printf(\"%d\", N)",
        "exit(N)",
        "if (N) { $v = N; } else { @m = N; }",
        "unroll (2) { @m += 5; }",
        "return",
        "@p[V] = V",
        "@q[V, N] = hdr(N)",
        "let $t = V",
        "@s[tid] = N",
        "@l = lhist(N, 0, 100, 10)",
    ];
    let parts =
        (prop::sample::select(forms.to_vec()), [numbers(), numbers()], texts(), [values().boxed(), values().boxed()]);
    parts.prop_map(|(form, numbers, text, values)| {
        let (mut numbers, mut values) = (numbers.iter().cycle(), values.iter().cycle());
        let part = |c: char| match c {
            'N' => numbers.next().cloned().unwrap_or_default(),
            'T' => text.clone(),
            'V' => values.next().cloned().unwrap_or_default(),
            c => c.to_string(),
        };
        form.chars().map(part).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a script says, analysis accepts or refuses it; and what it accepts can be shown and compiled.
    #[test]
    fn any_script_is_analysed(
        probe in prop::sample::select(vec![
            "BEGIN", "interval:s:1", "t:raw_syscalls:sys_enter", "rt:sys_exit", "t:syscalls:sys_enter_read",
            "t:syscalls:sys_*_read",
        ]),
        statements in prop::collection::vec(statements(), 1..6),
    ) {
        let text = format!("// positional: 7\n{probe} {{ $v = 1; $w = comm; @m = 1; @n[1] = 1; {}; }}", statements.join("; "));
        let source = Source::new("case", text);
        let (accepted, _) = analyse(&source);
        if accepted {
            match compile::compile(&source, &target(&source.text), &Library::quiet()) {
                Ok(_) | Err(Failure::Limit(_)) => {}
                Err(Failure::Script(_)) => panic!("accepted, then refused"),
            }
        }
    }
}
