//! `time`, `cat`, `system`, `join`, `warnf`, and values that are printed as what they stand for.

use super::*;
use crate::plan::{Conversion, Format, Naming, Piece, Severity};

/// A text and the next argument.
fn format(text: &str) -> Format {
    let argument = Piece::Argument {
        left: false,
        zero: false,
        plus: false,
        space: false,
        alternate: false,
        width: None,
        precision: None,
        bytes: 8,
        conversion: Conversion::Text,
    };
    Format { pieces: vec![Piece::Text(text.to_owned()), argument] }
}

fn outputs() -> Session {
    let mut session = Session::new();
    let (five, text) = (int(5), text("a"));
    session.record(Record::Time { format: "%H:%M:%S\n".to_owned() }, &[]);
    session.record(Record::Cat { format: format("/tmp/"), arguments: vec![TEXT] }, &text);
    session.record(Record::System { format: format("echo "), arguments: vec![Shape::I64] }, &five);
    session.record(
        Record::Message {
            severity: Severity::Warning,
            place: Place { start: 8, end: 20 },
            format: format("odd: "),
            arguments: vec![Shape::I64],
        },
        &five,
    );
    let texts = [8u64.to_le_bytes().as_slice(), b"ls\0-l\0/\0", &[0; 16]].concat();
    session.record(Record::Join { separator: ",".to_owned() }, &texts);
    session
}

#[test]
fn texts_are_printed_as_they_are() {
    assert_eq!(outputs().printed(Style::Text), "%H:%M:%S\nin /tmp/a\nran echo 5\n\nls,-l,/\n");
}

/// The lines are those of bpftrace 0.27.1.
#[test]
fn texts_have_lines_of_their_own_in_json() {
    let expected = r#"{"type": "time", "data": "%H:%M:%S\n"}
{"type": "cat", "data": "in /tmp/a\n"}
{"type": "syscall", "data": "ran echo 5\n"}
{"type": "warnf", "msg": "odd: 5", "filename": "stdin", "line": 1, "col": 9}
{"type": "join", "data": "ls,-l,/"}
"#;
    assert_eq!(json::valid(outputs().printed(Style::Json)), expected);
}

#[test]
fn a_command_that_fails_and_a_file_that_is_not_there_print_nothing() {
    let mut session = Session::new();
    let literal = |text: &str| Format { pieces: vec![Piece::Text(text.to_owned())] };
    session.record(Record::Cat { format: literal("/none"), arguments: Vec::new() }, &[]);
    session.record(Record::System { format: literal("false"), arguments: Vec::new() }, &[]);
    assert_eq!(session.printed(Style::Text), "");
}

/// What `print` shows of a number.
fn named(naming: Naming, number: i64) -> String {
    let mut session = Session::new();
    session.record(Record::PrintValue { value: Shape::Name(naming) }, &int(number));
    session.printed(Style::Text)
}

/// As bpftrace 0.27.1 prints them.
#[test]
fn errors_and_signals_have_names() {
    for (number, name) in [(2, "No such file or directory"), (-2, "No such file or directory"), (0, "Success")] {
        assert_eq!(named(Naming::Error, number), format!("{name}\n"));
    }
    for (number, name) in [(41, "Unknown error"), (9999, "Unknown error"), (11, "Try again (operation would block)")] {
        assert_eq!(named(Naming::Error, number), format!("{name}\n"));
    }
    for (number, name) in
        [(9, "Killed"), (0, "Unknown signal 0"), (34, "Real-time signal 0"), (64, "Real-time signal 30")]
    {
        assert_eq!(named(Naming::Signal, number), format!("{name}\n"));
    }
    assert_eq!(named(Naming::Signal, 65), "N/A\n");
    assert_eq!(named(Naming::Signal, -1), "N/A\n");
}

#[test]
fn users_cgroups_and_times_are_asked_for_when_they_are_printed() {
    assert_eq!(named(Naming::User, 0), "root\n");
    assert_eq!(named(Naming::Cgroup { hierarchies: "cpu".to_owned() }, 7), "cpu:/7\n");
    assert_eq!(named(Naming::Time { format: "%Y".to_owned() }, 9), "%Y at 9\n");
}

/// `BEGIN { $b = buf("abc\x01\n", 5); printf("%r|%rx|%rh|%s\n", $b, $b, $b, $b); print($b); }` in bpftrace 0.27.1.
#[test]
fn buffers_are_shown_in_four_ways() {
    let mut session = Session::new();
    let buffer = Shape::Buffer { size: 8 };
    let bytes = [5u32.to_le_bytes().as_slice(), b"abc\x01\n", &[0; 3]].concat();
    for conversion in [Conversion::Escaped, Conversion::Hexadecimal, Conversion::Spaced, Conversion::Text] {
        let mut format = format("");
        let Piece::Argument { conversion: other, .. } = &mut format.pieces[1] else { unreachable!("an argument") };
        *other = conversion;
        format.pieces.push(Piece::Text("|".to_owned()));
        session.record(Record::Printf { format, arguments: vec![buffer.clone()] }, &bytes);
    }
    session.record(Record::PrintValue { value: buffer }, &bytes);
    let expected = r"abc\x01\x0a|\x61\x62\x63\x01\x0a|61 62 63 01 0a|abc\x01\x0a|abc\x01\x0a".to_owned() + "\n";
    assert_eq!(session.printed(Style::Text), expected);
}

#[test]
fn addresses_are_shown_as_people_write_them() {
    let mut session = Session::new();
    let inet = |family: u64, bytes: &[u8]| [&family.to_le_bytes(), bytes, &[0; 16]].concat();
    session.record(Record::PrintValue { value: Shape::Inet }, &inet(2, &[127, 0, 0, 1]));
    session.record(Record::PrintValue { value: Shape::Inet }, &inet(10, &[0x20, 1, 0xd, 0xb8]));
    session.record(Record::PrintValue { value: Shape::Mac }, &[0x18, 0xc0, 0x4d, 8, 0x2e, 0xbb, 0, 0]);
    assert_eq!(session.printed(Style::Text), "127.0.0.1\n2001:db8::\n18:C0:4D:08:2E:BB\n");
}
