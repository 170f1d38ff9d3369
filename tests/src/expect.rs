//! Expected output: exact lines, with two exceptions that a line must ask for.
//!
//! - A line that starts with `~ ` is a regular expression, which the whole printed line must match.
//! - A line `...` stands for any number of lines, none included.
//!
//! Empty lines at the beginning and at the end are not compared; those in between are.

use anyhow::{Context, Result, bail};
use regex_lite::Regex;

/// What must be printed.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
enum Line {
    Exact(String),
    Matching(Regex),
    AnyNumber,
}

impl Expected {
    /// Reads the body of a section.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = trimmed(text).into_iter().map(Line::parse).collect::<Result<_>>()?;
        Ok(Self { lines })
    }

    /// The expectation without the lines for which `drops` holds; it sees them as they are written.
    pub fn without(mut self, drops: impl Fn(&str) -> bool) -> Self {
        self.lines.retain(|line| !drops(line.text()));
        self
    }

    /// Whether `printed` is as expected but for the order of a map's entries; the error shows both.
    pub fn check_unordered(&self, printed: &str) -> Result<()> {
        let mut ordered = self.clone();
        sort_entries(&mut ordered.lines, |line| line.text());
        let mut printed = trimmed(printed);
        sort_entries(&mut printed, |line| line);
        ordered.check(&printed.join("\n"))
    }

    /// Whether `printed` is as expected; the error shows both.
    pub fn check(&self, printed: &str) -> Result<()> {
        let printed = trimmed(printed);
        if !matches(&self.lines, &printed) {
            let expected: Vec<&str> = self.lines.iter().map(Line::text).collect();
            bail!("expected:\n{}\nprinted:\n{}", indented(&expected), indented(&printed));
        }
        Ok(())
    }
}

impl Line {
    fn parse(line: &str) -> Result<Self> {
        Ok(match line.strip_prefix("~ ") {
            _ if line == "..." => Self::AnyNumber,
            None => Self::Exact(line.to_owned()),
            Some(regex) => {
                let anchored = format!("^(?:{regex})$");
                Self::Matching(Regex::new(&anchored).with_context(|| format!("in the line: {line}"))?)
            }
        })
    }

    fn text(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Matching(regex) => regex.as_str(),
            Self::AnyNumber => "...",
        }
    }

    fn matches(&self, printed: &str) -> bool {
        match self {
            Self::Exact(text) => text == printed,
            Self::Matching(regex) => regex.is_match(printed),
            Self::AnyNumber => true,
        }
    }
}

fn matches(expected: &[Line], printed: &[&str]) -> bool {
    match expected {
        [] => printed.is_empty(),
        [Line::AnyNumber, rest @ ..] => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        [line, rest @ ..] => printed.first().is_some_and(|first| line.matches(first)) && matches(rest, &printed[1..]),
    }
}

/// Sorts what lies next to each other and is printed as entries of one map.
fn sort_entries<T>(lines: &mut [T], text: impl Fn(&T) -> &str) {
    let map = |line: &T| {
        text(line).split_once('[').filter(|(name, _)| name.starts_with('@')).map(|(name, _)| name.to_owned())
    };
    let mut rest = lines;
    while !rest.is_empty() {
        let first = map(&rest[0]);
        let same = rest.iter().take_while(|line| first.is_some() && map(line) == first).count();
        let (run, after) = rest.split_at_mut(same.max(1));
        run.sort_by(|a, b| text(a).cmp(text(b)));
        rest = after;
    }
}

/// The lines, without empty ones at both ends.
fn trimmed(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(first, |last| last + 1);
    lines[first..end].to_vec()
}

fn indented(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(expected: &str, printed: &str) -> bool {
        Expected::parse(expected).unwrap().check(printed).is_ok()
    }

    #[test]
    fn lines_are_exact() {
        assert!(accepts("@: 7\n", "@: 7\n"));
        assert!(!accepts("@: 7\n", "@: 70\n"));
        assert!(!accepts("@: 7\n", " @: 7\n"));
        assert!(!accepts("@: .*\n", "@: 7\n"));
        assert!(!accepts("@: 7\n", "@: 7\n@x: 1\n"));
        assert!(!accepts("@: 7\n@x: 1\n", "@: 7\n"));
    }

    #[test]
    fn empty_lines_count_between_others_only() {
        assert!(accepts("\n@a: 1\n\n@b: 2\n\n", "@a: 1\n\n@b: 2\n"));
        assert!(!accepts("@a: 1\n\n@b: 2\n", "@a: 1\n@b: 2\n"));
    }

    #[test]
    fn a_tilde_asks_for_a_regular_expression_on_the_whole_line() {
        assert!(accepts("~ @: [67]\n", "@: 7\n"));
        assert!(!accepts("~ @: [67]\n", "@: 70\n"));
        assert!(!accepts("~ a|b\n", "ab\n"));
    }

    #[test]
    fn dots_stand_for_any_lines() {
        assert!(accepts("a\n...\nb\n", "a\nb\n"));
        assert!(accepts("a\n...\nb\n", "a\nx\nb\ny\nb\n"));
        assert!(!accepts("a\n...\nb\n", "a\nx\n"));
    }

    #[test]
    fn entries_of_a_map_may_come_in_any_order_where_that_is_asked_for() {
        let unordered = |expected: &str, printed| Expected::parse(expected).unwrap().check_unordered(printed).is_ok();
        assert!(unordered("@a[1]: 7\n@a[2]: 7\n", "@a[2]: 7\n@a[1]: 7\n"));
        assert!(!unordered("@a[1]: 7\n@a[2]: 7\n", "@a[2]: 7\n@a[1]: 8\n"));
        assert!(!unordered("@a[1]: 7\n@b[2]: 7\n", "@b[2]: 7\n@a[1]: 7\n"));
        assert!(!unordered("1\n2\n", "2\n1\n"));
    }

    #[test]
    fn the_error_shows_both() {
        let error = Expected::parse("a\n~ b+\n").unwrap().check("a\nc\n").unwrap_err();
        assert_eq!(error.to_string(), "expected:\n    a\n    ^(?:b+)$\nprinted:\n    a\n    c");
    }
}
