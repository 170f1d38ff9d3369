//! `#ifdef`, `#ifndef`, `#if`, `#else`, `#endif`: which parts of the text are left out.
//!
//! Published scripts guard their `#include`s with `#ifndef BPFTRACE_HAVE_BTF`; that name is defined here, and so are
//! the names of earlier `#define`s. `#if` takes `0`, `1`, `defined(NAME)` and `!` before them.

use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;
use std::collections::HashSet;

/// The ranges of a text that give no tokens: what a condition leaves out, and the lines of the conditions themselves.
#[derive(Default)]
pub(super) struct Inactive {
    /// In order, none touching another's inside.
    ranges: Vec<Span>,
}

impl Inactive {
    /// Where the range ends that `offset` is in.
    pub(super) fn end_of_range_at(&self, offset: usize) -> Option<usize> {
        let index = self.ranges.partition_point(|range| range.range().end <= offset);
        self.ranges.get(index).filter(|range| range.range().start <= offset).map(|range| range.range().end)
    }
}

/// An `#if…` whose `#endif` has not come.
struct Open {
    /// Its line.
    span: Span,
    /// What stands outside of it is in force.
    outer: bool,
    /// One of its branches has been in force.
    taken: bool,
    /// The branch read now is in force.
    active: bool,
}

/// Finds what is left out of a file, which is a range of `text`, and reports conditions that are not understood.
pub(super) fn find_inactive(text: &str, file: Span) -> (Inactive, Vec<Diagnostic>) {
    let mut errors = Vec::new();
    let mut inactive = Inactive::default();
    let mut defined = HashSet::from(["BPFTRACE_HAVE_BTF"]);
    let mut open: Vec<Open> = Vec::new();
    // Where the text that is being left out began.
    let mut left_out_from = None;

    for span in directive_lines(&text[file.range()], file.range().start) {
        let line = &text[span.range()];
        let (keyword, rest) = split_directive(line);
        let was_active = open.last().is_none_or(|condition| condition.active);
        match keyword {
            "define" => {
                if was_active {
                    defined.insert(rest.split(|c: char| !is_name(c)).next().unwrap_or_default());
                }
                continue;
            }
            "if" | "ifdef" | "ifndef" => {
                let holds = condition_holds(keyword, rest, &defined).unwrap_or_else(|| {
                    if was_active {
                        errors.push(
                            Diagnostic::error(span, format!("`#{keyword}` does not understand `{rest}`"))
                                .label("expected 0, 1, NAME or defined(NAME)"),
                        );
                    }
                    false
                });
                let active = was_active && holds;
                open.push(Open { span, outer: was_active, taken: holds, active });
            }
            "else" | "elif" | "endif" => match open.last_mut() {
                None => errors.push(Diagnostic::error(span, format!("`#{keyword}` without an `#if`"))),
                Some(_) if keyword == "endif" => {
                    open.pop();
                }
                Some(condition) => {
                    let holds = keyword == "else" || condition_holds("if", rest, &defined).unwrap_or(false);
                    condition.active = condition.outer && !condition.taken && holds;
                    condition.taken |= holds;
                }
            },
            _ => continue,
        }
        let is_active = open.last().is_none_or(|condition| condition.active);
        let from = left_out_from.take().unwrap_or(span.range().start);
        if is_active {
            inactive.ranges.push(Span::new(from, span.range().end));
        } else {
            left_out_from = Some(from);
        }
    }
    if let Some(condition) = open.first() {
        errors.push(Diagnostic::error(condition.span, "this condition is never closed").label("no `#endif` follows"));
    }
    if let Some(from) = left_out_from {
        inactive.ranges.push(Span::new(from, file.range().end));
    }
    (inactive, errors)
}

/// `# define X 1` → (`define`, `X 1`).
pub(super) fn split_directive(line: &str) -> (&str, &str) {
    let line = line.trim_start_matches('#').trim_start();
    let keyword_end = line.find(|c| !is_name(c)).unwrap_or(line.len());
    let (keyword, rest) = line.split_at(keyword_end);
    let comment = [rest.find("//"), rest.find("/*")].into_iter().flatten().min().unwrap_or(rest.len());
    let rest = if keyword == "define" { rest } else { &rest[..comment] };
    (keyword, rest.trim())
}

/// `None`: not understood.
fn condition_holds(keyword: &str, condition: &str, defined: &HashSet<&str>) -> Option<bool> {
    let named = |name: &str| (!name.is_empty() && name.chars().all(is_name)).then(|| defined.contains(name));
    match keyword {
        "ifdef" => return named(condition),
        "ifndef" => return named(condition).map(|holds| !holds),
        _ => {}
    }
    let mut rest = condition;
    let mut negated = false;
    while let Some(after) = rest.strip_prefix('!') {
        negated = !negated;
        rest = after.trim_start();
    }
    let holds = match rest {
        "0" => false,
        "1" => true,
        _ => {
            let name = rest.strip_prefix("defined")?.trim();
            let name = name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).unwrap_or(name);
            named(name.trim())?
        }
    };
    Some(holds != negated)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The lines that begin with `#`, without those inside comments; from the `#` to the end of the line. The text begins
/// at `start`.
fn directive_lines(text: &str, mut start: usize) -> Vec<Span> {
    let mut lines = Vec::new();
    let mut in_comment = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let at = start + line.len() - trimmed.len();
        start += line.len();
        if !in_comment && trimmed.starts_with('#') && !trimmed.starts_with("#!") {
            lines.push(Span::new(at, at + trimmed.trim_end().len()));
        }
        in_comment = comment_open_after(line, in_comment);
    }
    lines
}

/// Whether a `/* … */` is open at the end of a line.
fn comment_open_after(line: &str, mut in_comment: bool) -> bool {
    let mut rest = line;
    loop {
        if in_comment {
            let Some(end) = rest.find("*/") else { return true };
            rest = &rest[end + 2..];
            in_comment = false;
            continue;
        }
        let Some(next) = rest.find(['"', '/']) else { return false };
        rest = &rest[next..];
        if rest.starts_with("//") {
            return false;
        } else if rest.starts_with("/*") {
            rest = &rest[2..];
            in_comment = true;
        } else if rest.starts_with('"') {
            rest = after_string(&rest[1..]);
        } else {
            rest = &rest[1..];
        }
    }
}

/// What follows a string's closing quote, on its line.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return &text[at + 1..],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text without what is left out.
    fn active(text: &str) -> String {
        let (inactive, errors) = find_inactive(text, Span::new(0, text.len()));
        assert_eq!(errors, [], "{text}");
        let mut kept = String::new();
        let mut at = 0;
        while at < text.len() {
            match inactive.end_of_range_at(at) {
                Some(end) => at = end,
                None => {
                    kept.push_str(&text[at..at + 1]);
                    at += 1;
                }
            }
        }
        kept.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn btf_is_there() {
        assert_eq!(active("a\n#ifndef BPFTRACE_HAVE_BTF\nb\n#else\nc\n#endif\nd"), "a c d");
        assert_eq!(active("#ifdef BPFTRACE_HAVE_BTF\na\n#else // not\nb\n#endif"), "a");
    }

    #[test]
    fn conditions_nest_and_know_earlier_defines() {
        let text =
            "#define X 1\n#ifdef Y\n#ifdef X\na\n#endif\nb\n#elif defined(X)\nc\n#else\nd\n#endif\n#if 0\ne\n#endif";
        assert_eq!(active(text), "#define X 1 c");
        assert_eq!(active("#if !defined BPFTRACE_HAVE_BTF\na\n#elif 1\nb\n#elif 1\nc\n#endif"), "b");
        assert_eq!(active("#if 0\n#define X\n#endif\n#ifdef X\na\n#endif\nb"), "b");
    }

    #[test]
    fn comments_and_strings_hold_no_conditions() {
        assert_eq!(active("/*\n#if 0\n*/\na"), "/* #if 0 */ a");
        assert_eq!(active("\"/*\"\n#if 0\nb\n#endif\na"), "\"/*\" a");
    }

    #[test]
    fn what_is_not_understood_is_reported() {
        let errors = |text: &str| find_inactive(text, Span::new(0, text.len())).1;
        let messages = |text| errors(text).into_iter().map(|error| error.message).collect::<Vec<_>>();
        assert_eq!(messages("#if LINUX > 5\n#endif"), ["`#if` does not understand `LINUX > 5`"]);
        assert_eq!(messages("#endif"), ["`#endif` without an `#if`"]);
        assert_eq!(messages("#if 1\na"), ["this condition is never closed"]);
    }
}
