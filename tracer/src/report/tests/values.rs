//! `printf` and `print(value)`.

use super::*;
use crate::plan::{Conversion, Format, Piece};

/// What `printf` prints with one conversion, which is given as it is written.
fn printf(conversion: &str, shape: Shape, argument: &[u8]) -> String {
    let mut session = Session::new();
    let pieces = vec![Piece::Text("[".to_owned()), parse(conversion), Piece::Text("]".to_owned())];
    session.record(Record::Printf { format: Format { pieces }, arguments: vec![shape] }, argument);
    session.printed(Style::Text)
}

fn parse(text: &str) -> Piece {
    let rest = text.trim_start_matches(['%', '-', '+', ' ', '#', '0']);
    let flags = &text[..text.len() - rest.len()];
    let letters = rest.find(|c: char| c.is_ascii_alphabetic()).expect("a conversion has a letter");
    let (width, precision) = rest[..letters].split_once('.').unwrap_or((&rest[..letters], ""));
    let (length, letter) = rest[letters..].split_at(rest.len() - letters - 1);
    Piece::Argument {
        left: flags.contains('-'),
        zero: flags.contains('0'),
        plus: flags.contains('+'),
        space: flags.contains(' '),
        alternate: flags.contains('#'),
        width: width.parse().ok(),
        precision: precision.parse().ok(),
        bytes: match length {
            "hh" => 1,
            "h" => 2,
            "" => 4,
            _ => 8,
        },
        conversion: match letter {
            "d" | "i" => Conversion::Signed,
            "u" => Conversion::Unsigned,
            "x" => Conversion::Hex,
            "X" => Conversion::HexUpper,
            "o" => Conversion::Octal,
            "p" => Conversion::Pointer,
            "c" => Conversion::Char,
            "s" => Conversion::Text,
            other => panic!("unknown conversion {other}"),
        },
    }
}

/// `BEGIN { printf("[CONVERSION]", ARGUMENT); }`, as bpftrace 0.27.1 prints it.
#[test]
fn numbers_are_converted_as_by_bpftrace() {
    let cases: &[(&str, i64, &str)] = &[
        ("%d", -5, "[-5]"),
        ("%i", -5, "[-5]"),
        ("%u", -5, "[4294967291]"),
        ("%x", -5, "[fffffffb]"),
        ("%X", 255, "[FF]"),
        ("%o", 8, "[10]"),
        ("%c", 65, "[A]"),
        ("%p", 4096, "[0x1000]"),
        ("%p", 0, "[0]"),
        ("%s", 5, "[5]"),
        // The length decides how much of the number is looked at: without one, 32 bits.
        ("%d", 5_000_000_000, "[705032704]"),
        ("%x", 5_000_000_000, "[2a05f200]"),
        ("%ld", 5_000_000_000, "[5000000000]"),
        ("%lld", 5_000_000_000, "[5000000000]"),
        ("%zu", 5_000_000_000, "[5000000000]"),
        ("%lx", -1, "[ffffffffffffffff]"),
        ("%s", 5_000_000_000, "[5000000000]"),
        ("%p", 5_000_000_000, "[0x12a05f200]"),
        ("%hd", 70_000, "[4464]"),
        ("%hhd", 300, "[44]"),
        ("%ho", -1, "[177777]"),
        // Widths and flags. Zeros fill the field whatever stands in it; a space does nothing.
        ("%5d", 42, "[   42]"),
        ("%-5d", 42, "[42   ]"),
        ("%05d", 42, "[00042]"),
        ("%+d", 42, "[+42]"),
        ("%+5d", 42, "[  +42]"),
        ("%+05d", 5, "[000+5]"),
        ("%05d", -5, "[000-5]"),
        ("% d", 42, "[42]"),
        ("%+u", 5, "[5]"),
        ("%3d", 12_345, "[12345]"),
        ("%#x", 42, "[0x2a]"),
        ("%#X", 255, "[0XFF]"),
        ("%#o", 42, "[052]"),
        ("%#x", 0, "[0]"),
        ("%#o", 0, "[0]"),
        ("%#06x", 255, "[000xff]"),
        ("%-10x", 255, "[ff        ]"),
        ("%20p", 255, "[                0xff]"),
        ("%5c", 66, "[    B]"),
        ("%05c", 66, "[0000B]"),
        ("%5s", -5, "[   -5]"),
        ("%-5s", 7, "[7    ]"),
        // Precision does nothing.
        ("%8.3d", 42, "[      42]"),
        ("%.5x", 5, "[5]"),
        ("%.0d", 0, "[0]"),
    ];
    for &(conversion, argument, expected) in cases {
        assert_eq!(printf(conversion, Shape::I64, &int(argument)), expected, "{conversion} of {argument}");
    }
}

#[test]
fn text_is_converted_as_by_bpftrace() {
    let cases = [
        ("%s", "abc", "[abc]"),
        ("%5s", "abc", "[  abc]"),
        ("%-5s", "abc", "[abc  ]"),
        ("%.2s", "abc", "[abc]"),
        ("%5.2s", "abc", "[  abc]"),
        ("%1s", "long", "[long]"),
        ("%05s", "ab", "[000ab]"),
        ("%s", "", "[]"),
    ];
    for (conversion, argument, expected) in cases {
        assert_eq!(printf(conversion, TEXT, &text(argument)), expected, "{conversion} of {argument:?}");
    }
}

#[test]
fn narrow_and_other_arguments_are_converted() {
    let narrow = |size, signed| Shape::Int { size, signed };
    let tuple = Shape::Tuple(vec![Shape::I64, TEXT]);
    let pair = [&int(1)[..], &text("a")].concat();
    let cases: &[(&str, Shape, &[u8], &str)] = &[
        ("%d", narrow(1, true), &[0xff], "[-1]"),
        ("%x", narrow(1, true), &[0xff], "[ffffffff]"),
        ("%u", narrow(1, false), &[0xff], "[255]"),
        ("%lx", narrow(4, true), &[0xfe, 0xff, 0xff, 0xff], "[fffffffffffffffe]"),
        ("%d", narrow(2, false), &[0xff, 0xff], "[65535]"),
        ("%s", Shape::Bool, &[1], "[true]"),
        ("%5s", Shape::Bool, &[0], "[false]"),
        ("%d", Shape::Bool, &[1], "[1]"),
        ("%s", Shape::Pointer, &4096u64.to_le_bytes(), "[0x1000]"),
        ("%s", tuple, &pair, "[(1, a)]"),
    ];
    for (conversion, shape, argument, expected) in cases {
        assert_eq!(printf(conversion, shape.clone(), argument), *expected, "{conversion} of {shape:?}");
    }
}

/// `BEGIN { printf("%c: %d %s%%\n", 65, 1, "x"); }`: the byte is followed by what aligns the number.
#[test]
fn arguments_lie_as_c_lays_them_out() {
    let mut session = Session::new();
    let text_piece = |text: &str| Piece::Text(text.to_owned());
    let pieces = vec![parse("%c"), text_piece(": "), parse("%d"), text_piece(" "), parse("%s"), text_piece("%\n")];
    let arguments = vec![Shape::Int { size: 1, signed: true }, Shape::I64, TEXT];
    let payload = [&[65, 0, 0, 0, 0, 0, 0, 0], &int(1)[..], &text("x")].concat();
    session.record(Record::Printf { format: Format { pieces }, arguments }, &payload);
    assert_eq!(session.printed(Style::Text), "A: 1 x%\n");
}

#[test]
fn printed_values_are_those_of_bpftrace() {
    let mut session = Session::new();
    session.plan().probes = vec!["begin".to_owned(), "tracepoint:raw_syscalls:sys_exit".to_owned()];
    session.plan().syscalls = vec![Some("read".to_owned()), None];
    let nested = Shape::Tuple(vec![Shape::I64, TEXT, Shape::Tuple(vec![Shape::I64, Shape::I64])]);
    let payload = [&int(1)[..], &text("x"), &int(2), &int(-3)].concat();
    session.record(Record::PrintValue { value: nested }, &payload);
    session.record(Record::PrintValue { value: Shape::Bool }, &[1]);
    session.record(Record::PrintValue { value: Shape::U64 }, &u64::MAX.to_le_bytes());
    session.record(Record::PrintValue { value: TEXT }, &text("s"));
    session.record(Record::PrintValue { value: Shape::Pointer }, &0xffffu64.to_le_bytes());
    session.record(Record::PrintValue { value: Shape::Probe }, &int(1));
    session.record(Record::PrintValue { value: Shape::Syscall }, &int(0));
    // A number without a name.
    session.record(Record::PrintValue { value: Shape::Syscall }, &int(1));
    // At the exit of rt_sigreturn the kernel has no number any more.
    session.record(Record::PrintValue { value: Shape::Syscall }, &int(-1));
    let expected = "(1, x, (2, -3))\ntrue\n18446744073709551615\ns\n0xffff\ntracepoint:raw_syscalls:sys_exit\nread\n\
                    Unknown syscall\nrt_sigreturn\n";
    assert_eq!(session.printed(Style::Text), expected);
}

#[test]
fn a_record_that_no_program_writes_is_an_error_and_not_a_panic() {
    let mut kernel = Kernel::default();
    kernel.plan.records = vec![Record::Exit];
    let plan = kernel.plan.clone();
    let mut reporter = Reporter::new(&plan, &Made, Style::Text, Vec::new());
    for (record, expected) in [
        (vec![0; 7], "malformed record in the ring: shorter than its header"),
        (vec![1, 0, 0, 0, 0, 0, 0, 0], "malformed record in the ring: unknown kind"),
        (vec![0; 12], "malformed record in the ring: exit without a code"),
    ] {
        assert_eq!(reporter.record(&record, &mut kernel).unwrap_err().to_string(), expected);
    }
    let exit = [[0; 8], int(7)].concat();
    assert_eq!(reporter.record(&exit, &mut kernel).unwrap(), Flow::Exit(7));
}

/// `ctrace … | head -1`
#[test]
fn a_closed_pipe_is_told_from_other_failures() {
    struct Failing(io::ErrorKind);
    impl io::Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let plan = Plan::default();
    for style in [Style::Text, Style::Json] {
        let error = |kind| {
            let mut reporter = Reporter::new(&plan, &Made, style, Failing(kind));
            let lost = super::super::Summary::default();
            let ended = reporter.maps_at_end(&mut Kernel::default());
            ended.and_then(|()| reporter.summary(&lost)).unwrap_err()
        };
        assert!(matches!(error(io::ErrorKind::BrokenPipe), Error::Closed));
        assert!(matches!(error(io::ErrorKind::StorageFull), Error::Write(_)));
    }
}
