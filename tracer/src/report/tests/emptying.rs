//! `clear`, `zero`, `delete`, and that intervals neither miss anything nor count it twice.

use super::*;

/// `interval:s:1 { print(@c); clear(@c); }`: what comes between the two belongs to the next interval.
#[test]
fn what_is_counted_between_print_and_clear_is_in_the_next_interval() {
    let mut session = Session::new();
    let c = session.aggregation("@c", None, Aggregation::Count);
    session.update(c, &[], &[0; 5]);
    session.print(c, 0, 0);
    session.update(c, &[], &[0; 2]);
    session.record(Record::Clear { map: c, printed: true }, &[]);
    session.update(c, &[], &[0; 3]);
    session.print(c, 0, 0);
    session.record(Record::Clear { map: c, printed: true }, &[]);
    session.update(c, &[], &[0]);
    assert_eq!(session.output(Style::Text), "@c: 5\n@c: 5\n\n\n@c: 1\n");
}

/// `interval:s:1 { print(@c); } interval:s:3 { clear(@c); }`: a clear of its own forgets all that came before it.
#[test]
fn a_clear_by_itself_forgets_what_the_kernel_has_counted() {
    let mut session = Session::new();
    let c = session.aggregation("@c", None, Aggregation::Count);
    session.update(c, &[], &[0; 5]);
    session.print(c, 0, 0);
    session.update(c, &[], &[0; 2]);
    session.record(Record::Clear { map: c, printed: false }, &[]);
    session.update(c, &[], &[0]);
    session.print(c, 0, 0);
    assert_eq!(session.output(Style::Text), "@c: 5\n@c: 1\n\n\n@c: 1\n");
}

#[test]
fn without_a_clear_values_grow() {
    let mut session = Session::new();
    let h = session.aggregation("@s", None, Aggregation::Stats { signed: true });
    for value in [10, 20] {
        session.update(h, &[], &[value, value]);
        session.print(h, 0, 0);
    }
    let expected = "@s: { .count = 2, .average = 10, .total = 20 }\n@s: { .count = 4, .average = 15, .total = 60 }\n";
    assert_eq!(session.printed(Style::Text), expected);
}

/// `END { print(@c); clear(@c); }` with `--interval`: what comes behind the clear is not reported by itself.
#[test]
fn what_the_script_reports_itself_is_not_reported_again() {
    let mut session = Session::new();
    let c = session.aggregation("@c", None, Aggregation::Count);
    session.update(c, &[], &[0; 5]);
    session.print(c, 0, 0);
    session.record(Record::Clear { map: c, printed: true }, &[]);
    session.update(c, &[], &[0; 2]);
    session.interval();
    session.update(c, &[], &[0; 3]);
    assert_eq!(session.output(Style::Text), "@c: 5\n\n\n\n@c: 5\n");
}

/// `--interval`: aggregations start afresh; a plain map is the script's memory, and stays.
#[test]
fn after_an_interval_aggregations_start_afresh() {
    let mut session = Session::new();
    let c = session.aggregation("@c", None, Aggregation::Count);
    let p = session.map("@p", None, Value::Plain(Shape::I64));
    session.assign(p, &[], &int(7));
    for events in [5, 2] {
        session.update(c, &[], &vec![0; events]);
        session.interval();
    }
    session.update(c, &[], &[0]);
    assert_eq!(session.output(Style::Text), "@c: 5\n@p: 7\n\n@c: 2\n@p: 7\n\n\n\n@c: 1\n@p: 7\n");
}

/// `BEGIN { @c = count(); @ck[1] = count(); @h = hist(1); @hk[1] = hist(1); @av = avg(1); @mn = min(1); @stk[1] = stats(1);
/// @p[1] = 2; @s = "a"; zero(@c); … }`, as bpftrace 0.27.1 prints it.
#[test]
fn zero_keeps_the_keys() {
    let mut session = zeroed();
    let expected = "

@c: 0
@ck[1]: 0
@h:

@hk[1]:

@av: 0
@mn: 0
@stk[1]: { .count = 0, .average = 0, .total = 0 }
@p[1]: 0
@s:\x20
";
    assert_eq!(session.output(Style::Text), expected);
    let mut session = zeroed();
    let expected = r#"{"type": "map", "data": {"@c": 0}}
{"type": "map", "data": {"@ck": {"1": 0}}}
{"type": "hist", "data": {"@h": []}}
{"type": "hist", "data": {"@hk": {"1": []}}}
{"type": "stats", "data": {"@av": 0}}
{"type": "map", "data": {"@mn": 0}}
{"type": "stats", "data": {"@stk": {"1": {"count": 0, "average": 0, "total": 0}}}}
{"type": "map", "data": {"@p": {"1": 0}}}
{"type": "map", "data": {"@s": ""}}
"#;
    assert_eq!(session.output(Style::Json), expected);
}

fn zeroed() -> Session {
    let mut session = Session::new();
    let maps = all_kinds(&mut session);
    maps.iter().for_each(|&map| session.record(Record::Zero { map, printed: false }, &[]));
    session
}

fn all_kinds(session: &mut Session) -> Vec<MapId> {
    let (key, signed) = (Some(Shape::I64), true);
    let mut maps = Vec::new();
    for (name, key, kind) in [
        ("@c", None, Aggregation::Count),
        ("@ck", key.clone(), Aggregation::Count),
        ("@h", None, Aggregation::Hist { bits: 0 }),
        ("@hk", key.clone(), Aggregation::Hist { bits: 0 }),
        ("@av", None, Aggregation::Avg { signed }),
        ("@mn", None, Aggregation::Min { signed }),
        ("@stk", key.clone(), Aggregation::Stats { signed }),
    ] {
        let bytes = if key.is_some() { int(1).to_vec() } else { Vec::new() };
        let map = session.aggregation(name, key, kind);
        session.update(map, &bytes, &[1]);
        maps.push(map);
    }
    let p = session.map("@p", key, Value::Plain(Shape::I64));
    session.assign(p, &int(1), &int(2));
    let s = session.map("@s", None, Value::Plain(TEXT));
    session.assign(s, &[], &text("a"));
    maps.extend([p, s]);
    maps
}

/// The same with `clear`: nothing is left, which JSON says of averages only.
#[test]
fn clear_leaves_nothing() {
    let cleared = || {
        let mut session = Session::new();
        let maps = all_kinds(&mut session);
        maps.iter().for_each(|&map| session.record(Record::Clear { map, printed: false }, &[]));
        session
    };
    assert_eq!(cleared().output(Style::Text), "\n\n");
    let expected = "{\"type\": \"stats\", \"data\": {\"@av\": {}}}\n{\"type\": \"stats\", \"data\": {\"@stk\": {}}}\n";
    assert_eq!(cleared().output(Style::Json), expected);
}

/// An aggregation that the script looks into is whole in the kernel: what programs delete there is gone.
#[test]
fn what_is_live_is_printed_as_it_is() {
    let mut session = Session::new();
    let c = session.live("@c", Some(Shape::I64), Aggregation::Count);
    session.update_live(c, &int(1), 3);
    session.update_live(c, &int(2), 4);
    session.print(c, 0, 0);
    session.print(c, 0, 0);
    session.update_live(c, &int(2), 1);
    assert_eq!(session.output(Style::Text), "@c[1]: 3\n@c[2]: 4\n@c[1]: 3\n@c[2]: 4\n\n\n@c[1]: 3\n@c[2]: 5\n");
}

/// `print(@c); clear(@c);`: what comes between the two belongs to the next interval; a clear of its own forgets it.
#[test]
fn intervals_of_what_is_live_are_exact() {
    let mut session = Session::new();
    let c = session.live("@c", None, Aggregation::Count);
    session.update_live(c, &[], 5);
    session.record(Record::PrintMap { map: c, top: 0, div: 0, emptied: true }, &[]);
    session.update_live(c, &[], 2);
    session.record(Record::Clear { map: c, printed: true }, &[]);
    session.print(c, 0, 0);
    session.update_live(c, &[], 3);
    session.record(Record::Clear { map: c, printed: true }, &[]);
    session.update_live(c, &[], 1);
    assert_eq!(session.output(Style::Text), "@c: 5\n@c: 2\n\n\n@c: 1\n");
}

/// The same with `zero`, which keeps the keys.
#[test]
fn zero_keeps_the_keys_of_what_is_live() {
    let mut session = Session::new();
    let c = session.live("@c", Some(Shape::I64), Aggregation::Count);
    session.update_live(c, &int(1), 3);
    session.update_live(c, &int(2), 4);
    session.record(Record::PrintMap { map: c, top: 0, div: 0, emptied: true }, &[]);
    session.update_live(c, &int(2), 2);
    session.record(Record::Zero { map: c, printed: true }, &[]);
    assert_eq!(session.output(Style::Text), "@c[1]: 3\n@c[2]: 4\n\n\n@c[1]: 0\n@c[2]: 2\n");
}
