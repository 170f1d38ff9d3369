//! `table(@first, …)`.

use super::*;

/// `tracer/tools/syscall-latency.bt`: latencies by system call, and errors where there were any.
fn latencies(top: u32, unit: Unit) -> Session {
    let mut session = Session::new();
    session.plan().syscalls = vec![Some("read".to_owned()), Some("write".to_owned())];
    session.plan().syscalls.resize(202, None);
    session.plan().syscalls.push(Some("futex".to_owned()));
    let lat = session.aggregation("@lat", Some(Shape::Syscall), Aggregation::Hdr);
    let errors = session.aggregation("@errors", Some(Shape::Syscall), Aggregation::Count);
    session.plan().print_at_end.clear();
    session.update(lat, &int(0), &vec![415; 999]);
    session.update(lat, &int(0), &[12_345_678]);
    session.update(lat, &int(1), &[1_050, 2_100]);
    session.update(lat, &int(202), &[4_520_000_000_000]);
    session.update(errors, &int(0), &[0; 17]);
    // A key of the second map only.
    session.plan().syscalls[3] = Some("close".to_owned());
    session.update(errors, &int(3), &[0]);
    session.table(&[lat, errors], &[], top, unit);
    session
}

#[test]
fn rows_are_sorted_by_the_total_of_the_first_map() {
    let expected = "\
syscall  count  errors      p50      p90      p99    p99.9      max    total
futex        1       0  4520 s   4520 s   4520 s   4520 s   4520 s   4520 s
read      1000      17   415 ns   415 ns   415 ns   415 ns  12.3 ms  12.8 ms
write        2       0  1.09 us  2.10 us  2.10 us  2.10 us  2.10 us  3.15 us
close        0       1        -        -        -        -        -        -

";
    assert_eq!(latencies(0, Unit::Nanoseconds).printed(Style::Text), expected);
}

#[test]
fn only_the_first_rows_are_shown_when_so_asked_and_numbers_stay_plain_without_a_unit() {
    let expected = "\
syscall  count  errors            p50            p90            p99          p99.9            max          total
futex        1       0  4520000000000  4520000000000  4520000000000  4520000000000  4520000000000  4520000000000
read      1000      17            415            415            415            415       12345678       12760263

";
    assert_eq!(latencies(2, Unit::Plain).printed(Style::Text), expected);
}

#[test]
fn json_has_the_exact_numbers_and_all_buckets() {
    let expected = concat!(
        r#"{"type": "table", "data": {"key": ["syscall"], "unit": "ns", "rows": [{"key": ["futex"], "@lat": {"count": 1, "#,
        r#""total": 4520000000000, "min": 4520000000000, "max": 4520000000000, "percentiles": {"50": 4520000000000, "#,
        r#""90": 4520000000000, "99": 4520000000000, "99.9": 4520000000000}, "buckets": [{"min": 4398046511104, "#,
        r#""max": 4672924418047, "count": 1}]}, "@errors": 0}]}}"#,
        "\n"
    );
    assert_eq!(json::valid(latencies(1, Unit::Nanoseconds).printed(Style::Json)), expected);
}

/// `ctrace syscall-latency --by-process`: several keys, headed as the script names them; numbers to the right.
#[test]
fn every_part_of_the_key_has_a_column() {
    let mut session = Session::new();
    session.plan().syscalls = vec![Some("read".to_owned())];
    let key = Shape::Tuple(vec![TEXT, Shape::Int { size: 4, signed: false }, Shape::Syscall]);
    let lat = session.aggregation("@lat", Some(key.clone()), Aggregation::Stats { signed: true });
    let sent = session.aggregation("@sent", Some(key), Aggregation::Sum { signed: false });
    let process = |comm: &str, pid: u32| [&text(comm)[..], &pid.to_le_bytes(), &[0; 4], &int(0)].concat();
    session.update(lat, &process("postgres", 7), &[30, 60]);
    session.update(lat, &process("sh", 12345), &[2_000_000]);
    session.update(sent, &process("sh", 12345), &[999_600]);
    session.table(&[lat, sent], &["comm", "pid", ""], 0, Unit::Nanoseconds);
    let expected = "\
comm        pid  syscall  count      avg    total     sent
sh        12345  read         1  2.00 ms  2.00 ms  1.00 ms
postgres      7  read         2    45 ns    90 ns     0 ns

";
    assert_eq!(session.printed(Style::Text), expected);
}

#[test]
fn an_empty_table_is_its_headings() {
    let mut session = Session::new();
    let lat = session.aggregation("@lat", Some(TEXT), Aggregation::Hdr);
    session.table(&[lat], &["comm"], 0, Unit::Nanoseconds);
    assert_eq!(session.printed(Style::Text), "comm  count  p50  p90  p99  p99.9  max  total\n\n");
}

/// Two maps with the same columns: these are named after their map.
#[test]
fn columns_that_would_be_called_the_same_carry_the_name_of_their_map() {
    let mut session = Session::new();
    let kind = Aggregation::Stats { signed: false };
    let maps = ["@in", "@out"].map(|name| session.aggregation(name, Some(Shape::I64), kind));
    session.update(maps[0], &int(5), &[10]);
    session.table(&maps, &["fd"], 0, Unit::Plain);
    let expected = "\
fd  in count  out count  in avg  in total  out avg  out total
 5         1          0      10        10        -          -

";
    assert_eq!(session.printed(Style::Text), expected);
}

#[test]
fn times_have_three_digits_and_a_unit_of_two_characters() {
    let cases = [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 us"),
        (9_994, "9.99 us"),
        (9_996, "10.0 us"),
        (99_940, "99.9 us"),
        (99_960, "100 us"),
        (999_499, "999 us"),
        (999_500, "1.00 ms"),
        (59_940_000_000, "59.9 s "),
        (1_234_000_000_000, "1234 s "),
    ];
    for (ns, expected) in cases {
        assert_eq!(super::super::layout::duration(ns), expected, "{ns}");
    }
}

/// A process may call itself anything; its name does not break the table.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut session = Session::new();
    let c = session.aggregation("@c", Some(TEXT), Aggregation::Count);
    session.update(c, &text("a\nb\x1b[2J"), &[0]);
    session.table(&[c], &["comm"], 0, Unit::Plain);
    assert_eq!(session.printed(Style::Text), "comm     c\na?b?[2J  1\n\n");
}
