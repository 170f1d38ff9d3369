use super::*;

fn parse(words: &[&str]) -> Result<Request, UsageError> {
    let args: Vec<OsString> = ["ctrace"].iter().chain(words).map(OsString::from).collect();
    request(&args)
}

fn run(words: &[&str]) -> Run {
    match parse(words) {
        Ok(Request::Run(run)) => *run,
        other => panic!("{other:?}"),
    }
}

fn error(words: &[&str]) -> String {
    parse(words).unwrap_err().to_string()
}

fn named(name: &str, value: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), value.map(str::to_owned))
}

#[test]
fn a_one_liner_with_parameters() {
    // bpftrace's own example: positional parameters stand before or after `--`, named ones after it.
    let run = run(&["-e", "BEGIN { exit(); }", "p1", "--", "--aa=20", "--bb", "p2"]);
    assert_eq!((run.source.name.as_str(), run.source.text.as_str()), ("-e", "BEGIN { exit(); }"));
    assert_eq!(run.positional, ["p1", "p2"]);
    assert_eq!(run.named, [named("aa", Some("20")), named("bb", None)]);
    assert_eq!((run.target, run.scope), (Target::All, None));
    assert_eq!(run.output, Output::default());
}

#[test]
fn a_tool_with_its_own_options_among_the_others() {
    let run = run(&["-q", "-d", "5", "syscall-latency", "-x", "-fjson", "--by-process", "-p", "12"]);
    assert_eq!(run.source.name, "tool:syscall-latency");
    assert_eq!(run.named, [named("failed", None), named("by-process", None)]);
    assert_eq!(run.duration, Some(Duration::from_secs(5)));
    assert_eq!(
        (run.target, run.output.style, run.talk),
        (Target::Pid { pid: 12, follow: false }, Style::Json, Talk::Quiet)
    );
    assert!(run.positional.is_empty());
}

#[test]
fn a_tools_options_are_its_own() {
    assert!(error(&["-e", "BEGIN { }", "--by-process"]).contains("unexpected argument '--by-process'"));
    assert!(error(&["syscall-latency", "--by-proces"]).contains("'--by-process'"));
    let Err(UsageError::Clap(help)) = parse(&["syscall-latency", "--help"]) else { panic!() };
    assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
    assert!(help.to_string().starts_with("syscall-latency: how long system calls take\n"), "{help}");
    assert!(help.to_string().contains("Options of syscall-latency:\n  -x, --failed"), "{help}");
}

#[test]
fn no_tools_option_hides_one_of_ctrace() {
    // clap's own check of the definitions; it panics where two options have one letter.
    for tool in script::TOOLS {
        assert!(matches!(parse(&[tool.name]), Ok(Request::Run(_))), "{}", tool.name);
    }
}

#[test]
fn values_are_not_taken_for_the_script() {
    assert_eq!(run(&["-c", "doctor", "syscall-latency"]).source.name, "tool:syscall-latency");
    assert_eq!(run(&["-qd", "1", "syscall-latency"]).duration, Some(Duration::from_secs(1)));
    assert_eq!(run(&["--interval=2", "syscall-latency"]).interval, Some(Duration::from_secs(2)));
    assert_eq!(run(&["-qe", "END { }", "syscall-latency"]).positional, ["syscall-latency"]);
}

#[test]
fn a_command_is_all_that_is_traced_unless_a_scope_is_given() {
    let target = |words: &[&str]| run(words).target;
    let words = ["sh", "-c", "echo a b"].map(str::to_owned).to_vec();
    assert_eq!(
        target(&["-c", "sh -c 'echo a b'", "-e", "END { }"]),
        Target::Command { words: words.clone(), only: true }
    );
    assert_eq!(
        target(&["-c", "sh -c 'echo a b'", "--scope", "container", "-e", "END { }"]),
        Target::Command { words, only: false }
    );
    assert_eq!(error(&["-c", "sh 'x", "-e", "END { }"]), "-c sh 'x: a quote is not closed");
    assert_eq!(error(&["-c", " ", "-e", "END { }"]), "-c  : there is no command in it");
    assert!(error(&["-c", "true", "-p", "1", "-e", "END { }"]).contains("cannot be used with"));
    assert_eq!(target(&["-p", "1", "--follow", "-e", "END { }"]), Target::Pid { pid: 1, follow: true });
    assert!(error(&["--follow", "-e", "END { }"]).contains("required"));
}

#[test]
fn scopes() {
    let scope = |text| parse_scope(text).ok();
    assert_eq!(scope("container"), Some(Asked::Container));
    assert_eq!(scope("host"), Some(Asked::Host));
    assert_eq!(scope("pid:17"), Some(Asked::Pid(17)));
    assert_eq!(scope("cgroup:/docker/ab"), Some(Asked::Cgroup("/docker/ab".to_owned())));
    assert_eq!(scope("container:3f1c"), Some(Asked::ContainerId("3f1c".to_owned())));
    for wrong in ["", "pid:", "pid:0", "pid:x", "cgroup:", "hosts", "host:1"] {
        assert_eq!(scope(wrong), None, "{wrong}");
    }
    assert_eq!(
        error(&["--scope", "pod", "-e", "END { }"]),
        "--scope pod: container, host, pid:N, cgroup:PATH or container:ID"
    );
}

#[test]
fn durations() {
    let millis = |text| parse_duration("-d", text).ok().map(|duration| duration.as_millis());
    assert_eq!(millis("5"), Some(5000));
    assert_eq!(millis("0.5"), Some(500));
    assert_eq!(millis("250ms"), Some(250));
    assert_eq!(millis("2m"), Some(120_000));
    for wrong in ["", "0", "-1", "1.2.3", "5x", "s"] {
        assert_eq!(millis(wrong), None, "{wrong}");
    }
}

#[test]
fn words_that_are_no_script() {
    assert!(matches!(parse(&["doctor", "-f", "json"]), Ok(Request::Doctor { style: Style::Json })));
    assert!(matches!(parse(&["tools"]), Ok(Request::Tools)));
    assert!(
        matches!(parse(&["tools", "show", "syscall-latency"]), Ok(Request::ShowTool(tool)) if tool.name == "syscall-latency")
    );
    assert_eq!(error(&["tools", "show", "syscal"]), "no tool is called `syscal`; did you mean `syscall-latency`?");
    assert!(error(&[]).starts_with("nothing to run: give a program with -e"));
}

#[test]
fn listing() {
    let list = |words: &[&str]| match parse(words) {
        Ok(Request::List { what, arguments, .. }) => (what, arguments),
        other => panic!("{other:?}"),
    };
    assert!(matches!(list(&["-l"]), (Listed::All, false)));
    assert!(matches!(list(&["-lv", "tracepoint:*"]), (Listed::Matching(pattern), true) if pattern == "tracepoint:*"));
    assert!(matches!(list(&["-l", "-e", "begin { }"]), (Listed::Script(source), false) if source.text == "begin { }"));
    assert!(error(&["-l", "a", "-e", "begin { }"]).starts_with("-l lists a pattern's probes or a program's"));
    assert_eq!(error(&["-l", "a", "b"]), "-l takes one pattern; quote it if it has a `*` in it");
}

#[test]
fn a_file_is_read() {
    let missing = error(&["/nowhere/script.bt"]);
    assert_eq!(missing, "no tool and no file is called `/nowhere/script.bt`");
    assert!(error(&["/"]).starts_with("cannot read /: "));
}
