//! Counts tests from what the harnesses print, line by line, and remembers which tests ran at all.

use std::collections::BTreeSet;

/// The sums over everything that ran.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, and steps that failed without saying which test.
    pub failed: u64,
    /// Tests that were not run, because the machine lacks what they need.
    pub skipped: u64,
    /// What failed, for the end of the output.
    pub failures: Vec<String>,
    ran: BTreeSet<String>,
    not_run: BTreeSet<String>,
}

impl Tally {
    /// Counts one step that has no tests of its own.
    pub fn step(&mut self, name: &str, succeeded: bool) {
        if succeeded {
            self.passed += 1;
        } else {
            self.fail(name.to_owned());
        }
    }

    /// Counts one failure.
    pub fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    /// Counts what a line of a test harness says; `suite` is for the list of failures.
    pub fn line(&mut self, suite: &str, line: &str) {
        let Some((test, outcome)) = line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... ")) else {
            return;
        };
        let name = test.trim_end();
        // "ignored" may be followed by its reason.
        match outcome.split([',', ' ']).next().unwrap_or(outcome) {
            "ok" => {
                self.passed += 1;
                self.ran.insert(name.to_owned());
            }
            "FAILED" => {
                self.fail(format!("{suite}: {name}"));
                self.ran.insert(name.to_owned());
            }
            "ignored" => {
                self.skipped += 1;
                self.not_run.insert(name.to_owned());
            }
            _ => {}
        }
    }

    /// Tests that were skipped wherever they could have run.
    pub fn never_run(&self) -> Vec<&str> {
        self.not_run.difference(&self.ran).map(String::as_str).collect()
    }

    /// The closing line.
    pub fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_harnesses_are_counted() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test syntax::lexer::tests::numbers ... ok",
            "test syntax::lexer::tests::strings ... FAILED",
            "test src/lib.rs - Plan (line 7) ... ok",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tally.line("unit", line);
        }
        for line in [
            "test maps/count                                            ... ok",
            "test probes/kprobe ... ignored (needs kprobes, which this kernel lacks)",
            "test probes/multi  ... ignored (needs kernel 6.6, runs 6.1)",
        ] {
            tally.line("6.1", line);
        }
        tally.line("6.12", "test probes/kprobe ... ok");
        assert_eq!(tally.summary(), "4 passed, 1 failed, 2 skipped");
        assert_eq!(tally.failures, ["unit: syntax::lexer::tests::strings"]);
        assert_eq!(tally.never_run(), ["probes/multi"]);
    }
}
