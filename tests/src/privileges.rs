//! The table of privileges, `tests/cases/privileges.md`, as script cases: one for each cell.
//!
//! A cell is `yes`, or the exit status and a part of what is said on stderr: `4: CAP_BPF missing`. The columns are sets of
//! capabilities, as `peer only=SET` takes them, and `root`, which has all. Sections are named after kernels; those with settings
//! behind the name (`## 6.1, kernel.perf_event_paranoid = 2`) have the kinds that these matter for.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::case::{self, Case};

/// The cases for a kernel, by names such as `privileges/kprobe/sys_admin`; none if the table has no section for it.
pub fn cases(table: &str, release: &str) -> Result<Vec<(String, Case)>> {
    let mut sections = table.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let scripts: BTreeMap<&str, &str> = sections
        .next()
        .filter(|(name, _)| *name == "Scripts")
        .map(|(_, text)| {
            rows(text).into_iter().skip(1).filter_map(|row| Some((*row.first()?, row.get(1)?.trim_matches('`'))))
        })
        .context("the table has no scripts")?
        .collect();
    let of_kernel = |name: &str| {
        let rest = release.strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    };
    let mut cases = Vec::new();
    for (title, section) in sections {
        let (name, settings) = match title.split_once(", ") {
            Some((name, settings)) => (name, case::settings(settings)?),
            None => (title, Vec::new()),
        };
        if of_kernel(name) {
            cases.extend(of_section(section, &settings, &scripts).with_context(|| format!("below `## {title}`"))?);
        }
    }
    Ok(cases)
}

/// The cases of one section.
fn of_section(
    section: &str,
    settings: &[(String, String)],
    scripts: &BTreeMap<&str, &str>,
) -> Result<Vec<(String, Case)>> {
    let rows = rows(section);
    let (head, rows) = rows.split_first().context("a section without a table")?;
    let set = settings.iter().map(|(name, value)| format!("/{name}={value}")).collect::<String>();
    let mut cases = Vec::new();
    for row in rows {
        ensure!(row.len() == head.len(), "a row of {} cells under {}: {row:?}", row.len(), head.len());
        let script = scripts.get(row[0]).with_context(|| format!("`{}` has no script", row[0]))?;
        for (who, cell) in head.iter().zip(row).skip(1) {
            let case = Case { sysctl: settings.to_vec(), ..case(who, script, cell)? };
            cases.push((format!("privileges{set}/{}/{who}", row[0]), case));
        }
    }
    let missing: Vec<&&str> = scripts.keys().filter(|kind| !rows.iter().any(|row| row[0] == **kind)).collect();
    ensure!(missing.is_empty() || !settings.is_empty(), "there is no row for {missing:?}");
    Ok(cases)
}

/// The rows of a table, its head first, without the line below it.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

fn case(set: &str, script: &str, cell: &str) -> Result<Case> {
    let becomes = match set {
        "root" => String::new(),
        "none" => "peer only= exec ".to_owned(),
        set => format!("peer only={set} exec "),
    };
    let (exit, stderr) = match cell {
        "yes" => ("0", String::new()),
        refused => {
            let (status, said) = refused.split_once(": ").with_context(|| format!("not a cell: {refused}"))?;
            (status, format!("--- stderr\n...\n~ .*{}.*\n...\n", said.replace(['(', ')'], ".")))
        }
    };
    Case::parse(&format!(
        "run: {becomes}ctrace -q -c 'peer getppid=3 call=3' $SCRIPT\nexit: {exit}\n\n--- script\n{script}\n\n{stderr}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Table

## Scripts

| kind | script |
|---|---|
| begin | `BEGIN { exit(); }` |

## 6.1

| kind | root | bpf,perfmon |
|---|---|---|
| begin | yes | 4: is missing |

## 6.1, kernel.perf_event_paranoid = 2

Other words.

| kind | bpf,perfmon |
|---|---|
| begin | yes |
";

    #[test]
    fn a_cell_is_a_case() {
        let cases = cases(TABLE, "6.1.0-56-amd64").unwrap();
        let names: Vec<&str> = cases.iter().map(|(name, _)| name.as_str()).collect();
        let set = "privileges/kernel.perf_event_paranoid=2/begin/bpf,perfmon";
        assert_eq!(names, ["privileges/begin/root", "privileges/begin/bpf,perfmon", set]);
        assert_eq!(cases[2].1.sysctl, [("kernel.perf_event_paranoid".to_owned(), "2".to_owned())]);
        assert!(cases[0].1.sysctl.is_empty());
        assert_eq!((cases[0].1.exit, cases[1].1.exit), (0, 4));
        assert!(cases[1].1.run.starts_with("peer only=bpf,perfmon exec ctrace "), "{}", cases[1].1.run);
        assert!(cases[1].1.stderr.as_ref().unwrap().check("a\nCAP_BPF is missing here\nb\n").is_ok());
        assert!(cases[1].1.stderr.as_ref().unwrap().check("other\n").is_err());
    }

    #[test]
    fn a_kernel_is_told_by_its_first_two_numbers() {
        assert!(cases(TABLE, "6.12.1").unwrap().is_empty());
        assert_eq!(cases(TABLE, "6.1").unwrap().len(), 3);
    }

    /// Whatever is added to the scripts must be in the table of every kernel.
    #[test]
    fn the_table_has_every_kind_for_every_kernel() {
        let table = include_str!("../cases/privileges.md");
        for kernel in ["6.1.0", "6.12.0", "6.18.0"] {
            assert!(!cases(table, kernel).unwrap().is_empty(), "{kernel}");
        }
    }
}
