//! NDJSON: bpftrace's lines as 0.27.1 has printed them, ours, and the schema of both.

use super::super::{Losses, Meta, Summary};
use super::*;
use crate::report::Flow;
use tracer_common::failure::{FAILURE_RECORD, Failed, Failure};

/// `BEGIN { @a[1, "q r"] = 2; @big = -9007199254740993; @u = (uint64)18446744073709551615; @big2 = 9007199254740992;
/// @p = (uint8 *)0xffff; @t = (1, (2, "x y")); @b = true; }`, but that bpftrace takes the spaces out of `q r`.
#[test]
fn plain_values_are_spaced_as_by_bpftrace() {
    let mut session = Session::new();
    let a = session.map("@a", Some(Shape::Tuple(vec![Shape::I64, TEXT])), Value::Plain(Shape::I64));
    session.assign(a, &[&int(1)[..], &text("q r")].concat(), &int(2));
    let nested = Shape::Tuple(vec![Shape::I64, Shape::Tuple(vec![Shape::I64, TEXT])]);
    let values: [(&str, Shape, &[u8]); 6] = [
        ("@big", Shape::I64, &int(-9_007_199_254_740_993)),
        ("@u", Shape::U64, &[0xff; 8]),
        ("@big2", Shape::I64, &int(9_007_199_254_740_992)),
        ("@p", Shape::Pointer, &int(0xffff)),
        ("@t", nested, &[&int(1)[..], &int(2), &text("x y")].concat()),
        ("@b", Shape::Bool, &int(1)),
    ];
    for (name, shape, value) in values {
        let map = session.map(name, None, Value::Plain(shape));
        session.assign(map, &[], value);
    }
    let expected = r#"{"type": "map", "data": {"@a": {"1,q r": 2}}}
{"type": "map", "data": {"@big": "-9007199254740993"}}
{"type": "map", "data": {"@u": "18446744073709551615"}}
{"type": "map", "data": {"@big2": 9007199254740992}}
{"type": "map", "data": {"@p": 65535}}
{"type": "map", "data": {"@t": [1,[2,"x y"]]}}
{"type": "map", "data": {"@b": true}}
"#;
    assert_eq!(valid(session.output(Style::Json)), expected);
}

/// `BEGIN { print("a\"b\\c\n\td\x01"); print((1, "a")); print(@st[2]); }`
#[test]
fn values_are_escaped_as_by_bpftrace() {
    let mut session = Session::new();
    session.record(Record::PrintValue { value: TEXT }, &text("a\"b\\c\n\td\x01"));
    let pair = Shape::Tuple(vec![Shape::I64, TEXT]);
    session.record(Record::PrintValue { value: pair }, &[&int(1)[..], &text("a")].concat());
    let st = session.aggregation("@st", Some(Shape::I64), Aggregation::Stats { signed: true });
    session.update(st, &int(2), &[50]);
    session.record(Record::PrintEntry { map: st }, &int(2));
    // What bpftrace makes of text that is not ASCII is not worth having.
    session.record(Record::PrintValue { value: TEXT }, &text("é"));
    session.record(Record::PrintValue { value: TEXT }, b"\xff\0");
    let expected = r#"{"type": "value", "data": "a\"b\\c\n\td\u0001"}
{"type": "value", "data": [1,"a"]}
{"type": "value", "data": {"count": 1, "average": 50, "total": 50}}
{"type": "value", "data": "é"}
{"type": "value", "data": "�"}
"#;
    assert_eq!(valid(session.printed(Style::Json)), expected);
}

/// `BEGIN { @h[2] = hist(-3); @h[2] = hist(1); @k = hist(100, 2); @k = hist(130, 2); @l[1] = lhist(-5, 0, 20, 10);
/// @l[1] = lhist(150, 0, 20, 10); @c[5] = count(); @st[1] = stats(5); @st[1] = stats(10); @av = avg(5); @top = hist(2305843009213693951); }`
#[test]
fn aggregations_are_spaced_as_by_bpftrace() {
    let mut session = Session::new();
    let key = || Some(Shape::I64);
    let h = session.aggregation("@h", key(), Aggregation::Hist { bits: 0 });
    let k = session.aggregation("@k", None, Aggregation::Hist { bits: 2 });
    let l = session.aggregation("@l", key(), Aggregation::Linear { min: 0, max: 20, step: 10 });
    let c = session.aggregation("@c", key(), Aggregation::Count);
    let st = session.aggregation("@st", key(), Aggregation::Stats { signed: true });
    let av = session.aggregation("@av", None, Aggregation::Avg { signed: true });
    let top = session.aggregation("@top", None, Aggregation::Hist { bits: 0 });
    session.update(h, &int(2), &[-3, 1]);
    session.update(k, &[], &[100, 130]);
    session.update(l, &int(1), &[-5, 150]);
    session.update(c, &int(5), &[0]);
    session.update(st, &int(1), &[5, 10]);
    session.update(av, &[], &[5]);
    session.update(top, &[], &[(1 << 61) - 1]);
    let expected = r#"{"type": "hist", "data": {"@h": {"2": [{"max": -1, "count": 1},{"min": 0, "max": 0, "count": 0},{"min": 1, "max": 1, "count": 1}]}}}
{"type": "hist", "data": {"@k": [{"min": 96, "max": 111, "count": 1},{"min": 112, "max": 127, "count": 0},{"min": 128, "max": 159, "count": 1}]}}
{"type": "hist", "data": {"@l": {"1": [{"max": -1, "count": 1},{"min": 0, "max": 9, "count": 0},{"min": 10, "max": 19, "count": 0},{"min": 20, "count": 1}]}}}
{"type": "map", "data": {"@c": {"5": 1}}}
{"type": "stats", "data": {"@st": {"1": {"count": 2, "average": 7, "total": 15}}}}
{"type": "stats", "data": {"@av": 5}}
{"type": "hist", "data": {"@top": [{"min": 1152921504606846976, "max": "2305843009213693951", "count": 1}]}}
"#;
    assert_eq!(valid(session.output(Style::Json)), expected);
}

/// An `hdr` carries what is needed to merge it elsewhere.
#[test]
fn percentiles_come_with_their_buckets() {
    let mut session = Session::new();
    let lat = session.aggregation("@lat", Some(TEXT), Aggregation::Hdr);
    session.update(lat, &text("read"), &[1, 1, 100, 9_007_199_254_740_993]);
    let expected = concat!(
        r#"{"type": "hdr", "data": {"@lat": {"read": {"count": 4, "total": 9007199254741095, "min": 1, "#,
        r#""max": 9007199254740993, "percentiles": {"50": 1, "90": 9007199254740993, "99": 9007199254740993, "#,
        r#""99.9": 9007199254740993}, "buckets": [{"min": 1, "max": 1, "count": 2},{"min": 100, "max": 103, "count": 1},"#,
        r#"{"min": 9007199254740992, "max": 9570149208162303, "count": 1}]}}}}"#,
        "\n"
    );
    assert_eq!(valid(session.output(Style::Json)), expected);
}

/// From `meta` to `summary`.
#[test]
fn a_session_is_framed_by_what_is_known_of_it() {
    let plan = Plan::default();
    let mut out = Vec::new();
    let mut reporter = Reporter::new(&plan, &Made, Style::Json, &mut out);
    let meta = Meta {
        version: "0.1.0".to_owned(),
        kernel: "6.12.0".to_owned(),
        scope: "container 4bd8".to_owned(),
        hostname: "app".to_owned(),
        start: 1_700_000_000_000_000_000,
    };
    let losses = Losses([3, 0, 2, 0, 0, 0, 0, 0]);
    let summary =
        Summary { duration: 5, probes: 2, reason: "exit".to_owned(), status: 3, losses, failures: Vec::new() };
    reporter.meta(&meta).and_then(|()| reporter.attached(2)).expect("memory takes everything");
    reporter.maps_at_end(&mut Kernel::default()).and_then(|()| reporter.summary(&summary)).expect("the same");
    let expected = concat!(
        r#"{"type": "meta", "data": {"version": "0.1.0", "kernel": "6.12.0", "scope": "container 4bd8", "#,
        r#""hostname": "app", "start": 1700000000000000000}}"#,
        "\n",
        r#"{"type": "attached_probes", "count": 2, "data": {"probes": 2}}"#,
        "\n",
        r#"{"type": "lost_events", "count": 3, "data": {"events": 3}}"#,
        "\n",
        r#"{"type": "summary", "data": {"duration": 5, "probes": 2, "reason": "exit", "status": 3, "#,
        r#""losses": {"ring_full": 3, "map_full": 0, "read_failed": 2, "storage_full": 0, "loop_cut": 0, "stack_lost": 0, "scratch_busy": 0, "missed": 0}}}"#,
        "\n"
    );
    assert_eq!(valid(String::from_utf8(out).expect("JSON is UTF-8")), expected);
    assert_eq!(losses.describe(&plan, &[]), "lost 3 records: the ring buffer was full\n2 reads of memory failed\n");
}

/// Failures are told once for each place and error, those of reads to those who ask; the summary has all of them.
#[test]
fn what_fails_is_told_where_it_first_does() {
    let plan = Plan::default();
    let failed = |kind: Failure, start, error| Failed { kind: kind as u32, start, end: start + 4, error };
    let zero = failed(Failure::ZeroDivisor, 20, 0);
    let full = failed(Failure::MapUpdate, 54, -7);
    let read = failed(Failure::ReadUserText, 90, -14);
    let record = |failed: Failed| {
        let words = [FAILURE_RECORD, 0, failed.kind, failed.start, failed.end, failed.error.cast_unsigned()];
        words.map(u32::to_le_bytes).concat()
    };
    let told = |reads| {
        let mut out = Vec::new();
        let mut reporter = Reporter::new(&plan, &Made, Style::Json, &mut out).telling_reads(reads);
        for failed in [zero, full, zero, read] {
            let flow = reporter.record(&record(failed), &mut Kernel::default()).expect("memory takes everything");
            assert_eq!(flow, Flow::Continue);
        }
        let failures = reporter.failures(&[(zero, 2), (full, 1), (read, 5)]).expect("the same");
        reporter.summary(&Summary { failures, ..Summary::default() }).expect("the same");
        valid(String::from_utf8(out).expect("JSON is UTF-8"))
    };
    let first = [
        r#"{"type": "runtime_error", "msg": "division by zero: the result is 1", "filename": "stdin", "line": 1, "col": 21}"#,
        r#"{"type": "helper_error", "msg": "Argument list too long", "helper": "map_update_elem", "retcode": -7, "filename": "stdin", "line": 1, "col": 55}"#,
    ];
    let lines = told(false);
    assert_eq!(lines.lines().take(2).collect::<Vec<_>>(), first);
    assert_eq!(lines.lines().count(), 3);
    let count = r#"{"msg": "text in the process's memory cannot be read: Bad address", "count": 5, "filename": "stdin", "line": 1, "col": 91}"#;
    assert!(lines.contains(count), "{lines}");
    let read = r#"{"type": "helper_error", "msg": "Bad address", "helper": "probe_read_user_str", "retcode": -14, "filename": "stdin", "line": 1, "col": 91}"#;
    assert_eq!(told(true).lines().nth(2), Some(read));
}

#[test]
fn the_schema_refuses_what_is_not_a_line() {
    for wrong in [
        r#"{"type": "map", "data": {"a": 1}}"#,
        r#"{"type": "map", "data": {"@a": 1.5}}"#,
        r#"{"type": "hist", "data": {"@a": [{"min": 1}]}}"#,
        r#"{"type": "hdr", "data": {"@a": {"count": 1}}}"#,
        r#"{"type": "unknown", "data": 1}"#,
        r#"{"type": "attached_probes", "data": {"probes": 1}}"#,
    ] {
        assert!(!schema().is_valid(&serde_json::from_str(wrong).expect("it is JSON")), "{wrong}");
    }
}

/// The same lines, every one of them described by the schema.
pub fn valid(lines: String) -> String {
    let schema = schema();
    for line in lines.lines() {
        let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Err(error) = schema.validate(&value) {
            panic!("{error}\nin {line}");
        }
    }
    lines
}

fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(include_str!("../schema.json")).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is a schema")
}
