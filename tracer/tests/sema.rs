//! What scripts mean, by example: `sema/typed` holds scripts and their typed programs, `sema/errors` scripts and what is
//! said about them. With `UPDATE_EXPECT=1` in the environment the expected texts are written anew, to be reviewed.
//!
//! A script may begin with comments that set the machine up: `// positional: a b`, `// option: name=value`,
//! `// cpid: 42`, `// level: user`, `// cpus: 128`, `// no task storage`, `// follow forks`.

use std::path::Path;
use tracer::compile::diagnostics::render_all;
use tracer::compile::sema::{self, policy::Level};
use tracer::compile::source::Source;
use tracer::compile::syntax;
use tracer::compile::target::Target;
use tracer_common::scope::{ProcessFilter, Scope};

/// A two-core machine with a recent kernel, changed as the script's first lines ask.
fn target(script: &str) -> Target {
    let mut target = Target {
        kernel: (6, 12, 0),
        possible_cpus: 2,
        task_storage: true,
        task_registers: true,
        scope: Scope::default(),
        positional: Vec::new(),
        named: Vec::new(),
        command_pid: None,
        allow_unsafe: false,
        level: Level::default(),
    };
    for line in script.lines().map_while(|line| line.strip_prefix("// ")) {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name {
            "positional" => target.positional = value.split(' ').map(String::from).collect(),
            "option" => {
                let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                target.named.push((name.into(), value.map(String::from)));
            }
            "cpid" => target.command_pid = Some(value.parse().expect("a pid")),
            "level" => target.level = Level::ALL.into_iter().find(|level| level.name() == value).expect("a level"),
            "cpus" => target.possible_cpus = value.parse().expect("a number"),
            "no task storage" => target.task_storage = false,
            "follow forks" => target.scope.filter = ProcessFilter::Tree as u32,
            _ => {} // any other comment
        }
    }
    target
}

/// What analysis makes of a script: the typed program and the warnings, or the errors.
fn analyse(source: &Source) -> (bool, String) {
    let target = target(&source.text);
    let parsed = syntax::parse_with_parameters(source, &target.positional);
    assert!(parsed.errors.is_empty(), "{}", render_all(&parsed.errors, source, false));
    match sema::analyse(&parsed.script, &target) {
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
        let (ok, shown) = analyse(&Source { name: name.clone(), text });
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
            let (ok, shown) = analyse(&Source { name: path.display().to_string(), text: header + &tool });
            assert!(ok && !shown.contains("warning"), "{shown}");
        }
    }
}
