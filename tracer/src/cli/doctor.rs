//! `ctrace doctor`: the whole picture of what may be traced here, for people or as one JSON object.

use serde::Serialize;

use crate::compile::sema::policy::{Level, RULES};
use crate::host::facts::{Facts, Layout, Runtime};
use crate::host::privilege::{Check, Verdict, examine, remedies};
use crate::host::{advice, privilege};
use crate::report::Style;

/// What doctor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Of ctrace.
    version: &'static str,
    /// As `uname -r` prints it.
    kernel: String,
    /// Whether this is a container, as far as it can be told.
    container: bool,
    /// Which container runtime has left traces.
    runtime: Option<Runtime>,
    /// How the machine's cgroups are laid out.
    cgroups: Layout,
    /// Whether scripts can be run here.
    pub allowed: bool,
    /// Who would be traced; `None` where that cannot be found out.
    scope: Option<String>,
    /// One for each thing that can stand in the way.
    checks: Vec<Check>,
    /// One for each kind of probe: what stands in its way besides.
    probes: Vec<Check>,
    /// The way out, line by line; empty where nothing stands in the way.
    advice: Vec<String>,
    /// The policy's table: what the levels of `--level` allow.
    levels: Vec<Allowed>,
}

/// A row of the policy's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Allowed {
    /// The least level that allows it.
    level: &'static str,
    /// What.
    what: &'static str,
}

impl Diagnosis {
    /// From the facts, and the scope that was found: who is traced, in words, or why that cannot be said.
    pub fn new(facts: &Facts, scope: Option<Result<String, String>>) -> Self {
        let mut checks = examine(facts);
        let scope = scope.and_then(|scope| match scope {
            Ok(sentence) => Some(sentence),
            Err(why) => {
                checks.push(privilege::no_scope(why));
                None
            }
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            kernel: facts.kernel.release.clone(),
            container: facts.in_container(),
            runtime: facts.runtime,
            cgroups: facts.cgroup.layout(),
            allowed: checks.iter().all(|check| check.verdict != Verdict::Blocked),
            scope,
            advice: advice::lines(&remedies(&checks), facts),
            probes: privilege::probes::examine(facts),
            checks,
            levels: RULES.iter().map(|rule| Allowed { level: rule.level.name(), what: rule.summary }).collect(),
        }
    }

    /// As text or JSON; ends with a newline.
    pub fn render(&self, style: Style) -> Result<String, serde_json::Error> {
        match style {
            Style::Text => Ok(self.text()),
            Style::Json => Ok(serde_json::to_string(self)? + "\n"),
        }
    }

    fn text(&self) -> String {
        let place = match (self.container, self.runtime) {
            (true, Some(Runtime::Kubernetes)) => "in a container of Kubernetes",
            (true, Some(Runtime::Docker)) => "in a container of Docker",
            (true, Some(Runtime::Podman)) => "in a container of Podman",
            (true, None) => "in a container",
            (false, _) => "outside of containers",
        };
        let cgroups = match self.cgroups {
            Layout::Unified => "v2",
            Layout::Hybrid => "v1 with v2 beside it",
            Layout::Legacy => "v1",
        };
        let mut lines =
            vec![format!("ctrace {}, Linux {}, {place}; cgroups {cgroups}", self.version, self.kernel), String::new()];
        lines.extend(table(&self.checks));
        lines.push(String::new());
        lines.push(match (&self.scope, self.allowed) {
            (Some(scope), true) => format!("Scripts and tools can be run here. They trace {scope}."),
            (None, true) => "Scripts and tools can be run here.".to_owned(),
            (_, false) => "Scripts and tools cannot be run here.".to_owned(),
        });
        lines.extend(self.advice.iter().cloned());
        if self.allowed {
            lines.extend([String::new(), "What their probes can be:".to_owned()]);
            lines.extend(table(&self.probes));
        }

        lines.push(String::new());
        lines.push(format!(
            "What --level allows; {} is the default, and each includes those before it:",
            Level::default()
        ));
        for level in Level::ALL {
            let rows: Vec<_> = self.levels.iter().filter(|row| row.level == level.name()).collect();
            for (index, row) in rows.iter().enumerate() {
                let name = if index == 0 { level.name() } else { "" };
                lines.push(format!("  {name:7}  {}", row.what));
            }
        }
        lines.join("\n") + "\n"
    }
}

/// A line for each check.
fn table(checks: &[Check]) -> Vec<String> {
    let width = checks.iter().map(|check| check.subject.len()).max().unwrap_or(0);
    let line = |check: &Check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Blocked => "BLOCKED",
        };
        format!("  {verdict:7}  {:width$}  {}", check.subject, check.found)
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
