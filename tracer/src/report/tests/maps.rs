//! Whole maps as text, as bpftrace 0.27.1 has printed them.

use super::*;

const SIGNED: bool = true;

/// A line of a histogram, the bar as its length.
fn bucket(label: &str, count: u64, bar: usize) -> String {
    format!("{label:<16}{count:>8} |{:<52}|\n", "@".repeat(bar))
}

/// `BEGIN { @c[1] = count(); @c[-1] = count(); @c[2] = count(); @c[2] = count(); print(@c, 1); print(@c, 0, 2); }`
#[test]
fn counts_are_sorted_cut_and_divided() {
    let mut session = Session::new();
    let c = session.aggregation("@c", Some(Shape::I64), Aggregation::Count);
    for (key, times) in [(1, 1), (-1, 1), (2, 2)] {
        session.update(c, &int(key), &vec![0; times]);
    }
    session.print(c, 1, 0);
    session.print(c, 0, 2);
    let expected = "@c[2]: 2\n\
                    @c[-1]: 0\n@c[1]: 0\n@c[2]: 1\n\
                    \n\n\
                    @c[-1]: 1\n@c[1]: 1\n@c[2]: 2\n";
    assert_eq!(session.output(Style::Text), expected);
}

/// `BEGIN { @st[1] = stats(-7); @st[2] = stats(100); @st[2] = stats(50); @st[3] = stats(33); @av = avg(5); @mn[1] = min(-3);
/// @mn[2] = min(5); @mn[3] = min(9); @mx[2] = max(-4); @mx[3] = max(4); @sm[1] = sum(10); @su = sum(-7);
/// print(@st, 0, 10); print(@st, 2); print(@mn, 0, 2); print(@sm, 0, 3); print(@su, 0, 2); }`
#[test]
fn numbers_are_sorted_cut_and_divided() {
    let mut session = Session::new();
    let key = Some(Shape::I64);
    let st = session.aggregation("@st", key.clone(), Aggregation::Stats { signed: SIGNED });
    let av = session.aggregation("@av", None, Aggregation::Avg { signed: SIGNED });
    let mn = session.aggregation("@mn", key.clone(), Aggregation::Min { signed: SIGNED });
    let mx = session.aggregation("@mx", key.clone(), Aggregation::Max { signed: SIGNED });
    let sm = session.aggregation("@sm", key, Aggregation::Sum { signed: SIGNED });
    let su = session.aggregation("@su", None, Aggregation::Sum { signed: SIGNED });
    session.update(st, &int(1), &[-7]);
    session.update(st, &int(2), &[100, 50]);
    session.update(st, &int(3), &[33]);
    session.update(av, &[], &[5]);
    session.update(mn, &int(1), &[-3]);
    session.update(mn, &int(2), &[5]);
    session.update(mn, &int(3), &[9]);
    session.update(mx, &int(2), &[-4]);
    session.update(mx, &int(3), &[4]);
    session.update(sm, &int(1), &[10]);
    session.update(su, &[], &[-7]);
    session.print(st, 0, 10);
    session.print(st, 2, 0);
    session.print(mn, 0, 2);
    session.print(sm, 0, 3);
    session.print(su, 0, 2);
    let expected = "\
@st[1]: { .count = 1, .average = 0, .total = -7 }
@st[3]: { .count = 1, .average = 3, .total = 33 }
@st[2]: { .count = 2, .average = 7, .total = 150 }
@st[3]: { .count = 1, .average = 33, .total = 33 }
@st[2]: { .count = 2, .average = 75, .total = 150 }
@mn[2]: 2
@mn[3]: 4
@mn[1]: -1
@sm[1]: 3
@su: -3


@st[1]: { .count = 1, .average = -7, .total = -7 }
@st[3]: { .count = 1, .average = 33, .total = 33 }
@st[2]: { .count = 2, .average = 75, .total = 150 }
@av: 5
@mn[2]: 5
@mn[3]: 9
@mn[1]: -3
@mx[3]: 4
@mx[2]: -4
@sm[1]: 10
@su: -7
";
    assert_eq!(session.output(Style::Text), expected);
}

/// `BEGIN { @a[3] = 10; @a[-5] = -5; @a[4] = 2; @s["x"] = "a"; @s["b"] = "z"; @t[1, "q"] = (1, "x", (2, -3)); @b[true] = true;
/// @p = (uint8 *)0xffff; print(@a, 0, 2); print(@s, 1); print(@t, 0, 2); print(@t[1, "q"]); print(@a[3]); print(@a[9]); }`,
/// but that bpftrace leaves the order of `@a` to chance.
#[test]
fn plain_maps_are_read_when_they_are_printed() {
    let mut session = Session::new();
    let pair = Shape::Tuple(vec![Shape::I64, Shape::I64]);
    let a = session.map("@a", Some(Shape::I64), Value::Plain(Shape::I64));
    let s = session.map("@s", Some(TEXT), Value::Plain(TEXT));
    let triple = Shape::Tuple(vec![Shape::I64, TEXT, pair]);
    let t = session.map("@t", Some(Shape::Tuple(vec![Shape::I64, TEXT])), Value::Plain(triple));
    let b = session.map("@b", Some(Shape::Bool), Value::Plain(Shape::Bool));
    let p = session.map("@p", None, Value::Plain(Shape::Pointer));
    for (key, value) in [(3, 10), (-5, -5), (4, 2)] {
        session.assign(a, &int(key), &int(value));
    }
    session.assign(s, &text("x"), &text("a"));
    session.assign(s, &text("b"), &text("z"));
    let key = [&int(1)[..], &text("q")].concat();
    session.assign(t, &key, &[&int(1)[..], &text("x"), &int(2), &int(-3)].concat());
    session.assign(b, &int(1), &int(1));
    session.assign(p, &[], &int(0xffff));
    session.print(a, 0, 2);
    session.print(s, 1, 0);
    session.print(t, 0, 2);
    session.record(Record::PrintEntry { map: t }, &key);
    session.record(Record::PrintEntry { map: a }, &int(3));
    session.record(Record::PrintEntry { map: a }, &int(9));
    let expected = "@a[-5]: -2\n@a[4]: 1\n@a[3]: 5\n\
                    @s[x]: a\n\
                    @t[1, q]: (0, x, (1, -1))\n\
                    (1, x, (2, -3))\n\
                    10\n\
                    0\n\
                    \n\n\
                    @a[-5]: -5\n@a[4]: 2\n@a[3]: 10\n\
                    @s[b]: z\n@s[x]: a\n\
                    @t[1, q]: (1, x, (2, -3))\n\
                    @b[true]: true\n\
                    @p: 0xffff\n";
    assert_eq!(session.output(Style::Text), expected);
}

/// `BEGIN { @h[2] = hist(-3); @h[2] = hist(0); @h[2] = hist(1); @h[2] = hist(2000); @h[1] = hist(5); print(@h, 0, 2); }`
#[test]
fn power_of_two_histograms_show_all_buckets_between_the_first_and_the_last() {
    let mut session = Session::new();
    let h = session.aggregation("@h", Some(Shape::I64), Aggregation::Hist { bits: 0 });
    session.update(h, &int(2), &[-3, 0, 1, 2000]);
    session.update(h, &int(1), &[5, 5]);
    session.print(h, 0, 2);
    let second = |count, bar| {
        let empty = [
            "[2, 4)",
            "[4, 8)",
            "[8, 16)",
            "[16, 32)",
            "[32, 64)",
            "[64, 128)",
            "[128, 256)",
            "[256, 512)",
            "[512, 1K)",
        ];
        let full = ["(..., 0)", "[0]", "[1]"].map(|label| bucket(label, count, bar)).concat();
        format!("@h[2]:\n{full}{}{}\n", empty.map(|label| bucket(label, 0, 0)).concat(), bucket("[1K, 2K)", count, bar))
    };
    let first = |count| format!("@h[1]:\n{}\n", bucket("[4, 8)", count, 52));
    let expected = first(1) + &second(0, 0) + "\n\n" + &first(2) + &second(1, 52);
    assert_eq!(session.output(Style::Text), expected);
}

/// `BEGIN { @k = hist(1000, 2); @k = hist(1025, 2); @h1 = hist(3, 1); @h1 = hist(4, 1); @h1 = hist(9, 1); @h = hist(50000000000);
/// @m = hist(4095, 2); @m = hist(5000, 2); }`
#[test]
fn finer_histograms_label_their_bounds_by_the_width_of_the_bucket() {
    let mut session = Session::new();
    let k = session.aggregation("@k", None, Aggregation::Hist { bits: 2 });
    let h1 = session.aggregation("@h1", None, Aggregation::Hist { bits: 1 });
    let h = session.aggregation("@h", None, Aggregation::Hist { bits: 0 });
    let m = session.aggregation("@m", None, Aggregation::Hist { bits: 2 });
    session.update(k, &[], &[1000, 1025]);
    session.update(h1, &[], &[3, 4, 9]);
    session.update(h, &[], &[50_000_000_000]);
    session.update(m, &[], &[4095, 5000]);
    let expected = "\n\n".to_owned()
        + "@k:\n"
        + &bucket("[896, 1024)", 1, 52)
        + &bucket("[1024, 1280)", 1, 52)
        + "\n@h1:\n"
        + &bucket("[3]", 1, 52)
        + &bucket("[4, 6)", 1, 52)
        + &bucket("[6, 8)", 0, 0)
        + &bucket("[8, 12)", 1, 52)
        + "\n@h:\n"
        + &bucket("[32G, 64G)", 1, 52)
        + "\n@m:\n"
        + &bucket("[3584, 4K)", 1, 52)
        + &bucket("[4K, 5K)", 1, 52)
        + "\n";
    assert_eq!(session.output(Style::Text), expected);
}

/// `BEGIN { @l[1] = lhist(3000, 0, 10240, 1024); @l[1] = lhist(1025, 0, 10240, 1024); @m = lhist(1500000, 0, 4194304, 1048576);
/// @n = lhist(3, 1, 8, 2); @n = lhist(8, 1, 8, 2); @n = lhist(7, 1, 8, 2); @o = lhist(3, 0, 5, 1); @o = lhist(9, 0, 5, 1);
/// @q = lhist(-5, 0, 20, 10); @q = lhist(150, 0, 20, 10); }`
#[test]
fn linear_histograms_are_open_at_both_ends() {
    let mut session = Session::new();
    let linear = |min, max, step| Aggregation::Linear { min, max, step };
    let l = session.aggregation("@l", Some(Shape::I64), linear(0, 10240, 1024));
    let m = session.aggregation("@m", None, linear(0, 4_194_304, 1_048_576));
    let n = session.aggregation("@n", None, linear(1, 8, 2));
    let o = session.aggregation("@o", None, linear(0, 5, 1));
    let q = session.aggregation("@q", None, linear(0, 20, 10));
    session.update(l, &int(1), &[3000, 1025]);
    session.update(m, &[], &[1_500_000]);
    session.update(n, &[], &[3, 8, 7]);
    session.update(o, &[], &[3, 9]);
    session.update(q, &[], &[-5, 150]);
    let expected = "\n\n".to_owned()
        + "@l[1]:\n"
        + &bucket("[1K, 2K)", 1, 52)
        + &bucket("[2K, 3K)", 1, 52)
        + "\n@m:\n"
        + &bucket("[1M, 2M)", 1, 52)
        + "\n@n:\n"
        + &bucket("[3, 5)", 1, 26)
        + &bucket("[5, 7)", 0, 0)
        + &bucket("[7, ...)", 2, 52)
        + "\n@o:\n"
        + &bucket("[3]", 1, 52)
        + &bucket("[4]", 0, 0)
        + &bucket("[5, ...)", 1, 52)
        + "\n@q:\n"
        + &bucket("(..., 0)", 1, 52)
        + &bucket("[0, 10)", 0, 0)
        + &bucket("[10, 20)", 0, 0)
        + &bucket("[20, ...)", 1, 52)
        + "\n";
    assert_eq!(session.output(Style::Text), expected);
}

/// `BEGIN { if (pid == 1) { @c = count(); @ck[1] = count(); @h = hist(1); @i = 5; @st = stats(1); @mn = min(1); } print(@c);
/// print(@h); print(@ck); print(@i); print(@st); print(@mn); }`
#[test]
fn what_was_never_assigned_prints_as_zero_when_asked_for_and_not_at_the_end() {
    let mut session = Session::new();
    let c = session.aggregation("@c", None, Aggregation::Count);
    let ck = session.aggregation("@ck", Some(Shape::I64), Aggregation::Count);
    let h = session.aggregation("@h", None, Aggregation::Hist { bits: 0 });
    let i = session.map("@i", None, Value::Plain(Shape::I64));
    let st = session.aggregation("@st", None, Aggregation::Stats { signed: SIGNED });
    let mn = session.aggregation("@mn", None, Aggregation::Min { signed: SIGNED });
    for map in [c, h, ck, i, st, mn] {
        session.print(map, 0, 0);
    }
    let expected = "@c: 0\n@i: 0\n@st: { .count = 0, .average = 0, .total = 0 }\n@mn: 0\n\n\n";
    assert_eq!(session.output(Style::Text), expected);
}

/// An `hdr` is ours: a line of headings, the keys by their totals, an empty line.
#[test]
fn percentiles_stand_below_each_other() {
    let mut session = Session::new();
    let lat = session.aggregation("@lat", Some(TEXT), Aggregation::Hdr);
    let all = session.aggregation("@all", None, Aggregation::Hdr);
    session.update(lat, &text("read"), &(1..=1000).collect::<Vec<_>>());
    session.update(lat, &text("openat"), &[1_000_000]);
    session.update(lat, &text("getpid"), &[31, 31, 31]);
    session.update(all, &[], &[7]);
    // Of 1 to 1000: 500 lies in the bucket that ends with 511, 900 in that up to 927, 990 and 999 in that up to 991 and 1023,
    // which the exact largest value cuts to 1000.
    let expected = "

              count      p50      p90      p99    p99.9      max
@lat[getpid]      3       31       31       31       31       31
@lat[read]     1000      511      927      991     1000     1000
@lat[openat]      1  1000000  1000000  1000000  1000000  1000000

      count  p50  p90  p99  p99.9  max
@all      1    7    7    7      7    7

";
    assert_eq!(session.output(Style::Text), expected);
}
