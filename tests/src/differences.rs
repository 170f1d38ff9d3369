//! Which cases bpftrace runs otherwise than they say, and why: `tests/cases/DIFFERENCES.md`.
//!
//! A line ``- `expressions/division`: reason`` is an entry, and lines below it that are indented are more of its reason.
//! What differs in some runs only has a reason that begins with "at times".
//! Everything else is for readers.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

/// The entries: the case's name, and the reason.
pub type Differences = BTreeMap<String, String>;

/// Whether the reason is one for a case that is not always run otherwise.
pub fn is_at_times(reason: &str) -> bool {
    reason.starts_with("at times")
}

/// Reads the list.
pub fn parse(text: &str) -> Result<Differences> {
    let mut entries = Differences::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let Some(entry) = line.strip_prefix("- `") else {
            let more = line.strip_prefix("  ").and_then(|line| Some((line, entries.get_mut(last.as_ref()?)?)));
            match more {
                Some((line, reason)) => {
                    reason.push(' ');
                    reason.push_str(line.trim());
                }
                None => last = None,
            }
            continue;
        };
        let Some((name, reason)) = entry.split_once("`: ") else {
            bail!("expected ``- `case`: reason``, found: {line}");
        };
        ensure!(!reason.trim().is_empty(), "`{name}` has no reason");
        ensure!(entries.insert(name.to_owned(), reason.trim().to_owned()).is_none(), "`{name}` is listed twice");
        last = Some(name.to_owned());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_may_go_over_several_lines_and_have_text_between_them() {
        let entries = parse("# Differences\n\ntext\n\n- `a/b`: one\n  and more\n- `c`: two\n\n  not more\n").unwrap();
        assert_eq!(
            entries.into_iter().collect::<Vec<_>>(),
            [("a/b".to_owned(), "one and more".to_owned()), ("c".to_owned(), "two".to_owned())]
        );
    }

    #[test]
    fn an_entry_has_a_reason_and_stands_once() {
        assert_eq!(parse("- `a`\n").unwrap_err().to_string(), "expected ``- `case`: reason``, found: - `a`");
        assert_eq!(parse("- `a`: \n").unwrap_err().to_string(), "`a` has no reason");
        assert_eq!(parse("- `a`: x\n- `a`: y\n").unwrap_err().to_string(), "`a` is listed twice");
    }
}
