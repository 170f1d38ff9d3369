//! Counts are exact: what ctrace counts is what strace counts.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::world::{PRIVILEGED, World, exec, json};

/// The load: two million calls that are known, and those of any program's start and end.
const LOAD: [&str; 4] = ["/usr/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1"];
const TIMES: &str = "count=1000000";

/// Calls, and those of them that failed, by name.
type Counts = BTreeMap<String, (u64, u64)>;

/// For every system call of the same command, in the same container.
pub fn equal_strace(world: &World) -> Result<()> {
    let image = world.application_with(&["/usr/bin/strace", LOAD[0]])?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    let load = [&LOAD[..], &[TIMES]].concat();

    let ours = exec(&app, &["ctrace", "syscall-latency", "-f", "json", "-c", &load.join(" ")])?;
    let ours = from_table(&ours)?;
    exec(&app, &[&["strace", "-f", "-c", "-o", "/tmp/counts"], &load[..]].concat())?;
    let theirs = from_strace(&exec(&app, &["cat", "/tmp/counts"])?)?;

    ensure!(ours == theirs, "ctrace and strace differ:\n{ours:?}\n{theirs:?}");
    // Neither has seen nothing.
    ensure!(ours["write"].0 >= 1_000_000, "{} writes of a million", ours["write"].0);
    Ok(())
}

fn from_table(printed: &str) -> Result<Counts> {
    let losses = &json(printed, "summary")?["losses"];
    let lost: u64 = losses.as_object().context("no losses")?.values().filter_map(|lost| lost.as_u64()).sum();
    ensure!(lost == 0, "lost: {losses}");
    let table = json(printed, "table")?;
    let rows = table["rows"].as_array().context("a table has rows")?;
    rows.iter()
        .map(|row| {
            let name = row["key"][0].as_str().context("a row has a name")?;
            let calls = row["@latency"]["count"].as_u64().context("a row has a count")?;
            Ok((name.to_owned(), (calls, row["@errors"].as_u64().unwrap_or(0))))
        })
        .collect()
}

/// Lines of `% time, seconds, usecs/call, calls, [errors,] syscall` between two rules.
fn from_strace(printed: &str) -> Result<Counts> {
    let rows = printed.split("------\n").nth(1).and_then(|rows| rows.rsplit_once("\n------"));
    let rows = rows.with_context(|| format!("no rows in:\n{printed}"))?.0;
    rows.lines()
        .map(|row| {
            let words: Vec<&str> = row.split_whitespace().collect();
            let errors = if words.len() == 6 { words[4].parse()? } else { 0 };
            let name = words.last().context("a row has a name")?;
            Ok(((*name).to_owned(), (words.get(3).context("a row has a count")?.parse()?, errors)))
        })
        .collect()
}
