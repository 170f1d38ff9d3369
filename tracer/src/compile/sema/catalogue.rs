//! The catalogue of the kernel's events: whose each is, and what its fields are, so that a tracepoint means the same with
//! and without tracefs, and in every kernel.
//!
//! `events.txt` is the table, and says how it reads. What it says is resolved against the running kernel's types: an
//! event is there if its raw tracepoint is, and a field if the event's record has it.

use std::sync::LazyLock;

use super::words;
use crate::host::btf::{Btf, TypeId};

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Before the second colon of a probe.
    pub category: &'static str,
    /// Behind it; the raw tracepoint is called so, too.
    pub name: &'static str,
    /// Whose it is.
    pub subject: Subject,
    /// The records that its fields may be described by, the first that there is.
    records: Vec<&'static str>,
    /// Names and expressions.
    fields: Vec<(&'static str, &'static str)>,
}

/// Whose an event is. Names are those of the raw tracepoint's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The current task's.
    Current,
    /// That task's.
    Task(&'static str),
    /// The current task's and that task's.
    Either(&'static str),
    /// Those who made the socket.
    Socket(&'static str),
    /// Those who made the packet's socket.
    Packet(&'static str),
    /// Those who made the request, or the current task.
    Request(&'static str),
    /// Those who made the request or part of one.
    Done(&'static str),
    /// Those who made the request, which was noted when it began.
    Started(&'static str),
    /// Nobody's but the machine's.
    Nobody,
}

/// A field of an event's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'b> {
    /// Its name.
    pub name: &'b str,
    /// Its type; of a text of any length, where in the record that is.
    pub ty: TypeId,
    /// Whether it is a text of any length.
    pub text: bool,
}

/// Before the name of the type that describes a record.
const RECORD: &str = "trace_event_raw_";
/// Before the name of a member that says where a text of any length is.
const TEXT: &str = "__data_loc_";

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| parse(include_str!("events.txt")));

/// All events.
pub fn all() -> &'static [Row] {
    &TABLE
}

/// The event of this place in the table.
pub fn row(index: usize) -> &'static Row {
    &TABLE[index]
}

/// Whose the event of a raw tracepoint is, if the catalogue knows it.
pub fn subject(raw_tracepoint: &str) -> Option<Subject> {
    TABLE.iter().find(|row| row.name == raw_tracepoint).map(|row| row.subject)
}

impl Row {
    /// `sched:sched_switch`.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.category, self.name)
    }

    /// What a field may be, the likeliest first, as expressions of the language over the raw tracepoint's arguments.
    pub fn expressions(&self, field: &str) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter(move |(name, _)| *name == field).map(|&(_, expression)| expression)
    }

    /// All of them, of all fields.
    #[cfg(test)]
    pub fn all_expressions(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|&(_, expression)| expression)
    }

    /// The fields that there are in this kernel and in the catalogue, in their order.
    pub fn members<'b>(&self, btf: &'b Btf) -> Vec<Member<'b>> {
        let Some(function) = words::raw_tracepoint(btf, self.name) else { return Vec::new() };
        let arguments = words::names(btf, function, 1);
        let mut records = self.records.iter().copied().chain([self.name]);
        let Some(record) = records.find_map(|name| btf.composite(&format!("{RECORD}{name}")).ok()) else {
            return Vec::new();
        };
        let members = btf.members(record).map(|(member, _)| match member.name.strip_prefix(TEXT) {
            Some(name) => Member { name, ty: member.ty, text: true },
            None => Member { name: member.name, ty: member.ty, text: false },
        });
        let known =
            |member: &Member<'_>| self.expressions(member.name).next().is_some() || arguments.contains(&member.name);
        members.filter(|member| !["", "ent", "__data"].contains(&member.name) && known(member)).collect()
    }
}

/// The table, which is part of the program and tested whole.
fn parse(text: &'static str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    // How many rows the lines at hand are for.
    let mut alike = 0;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(field) = line.strip_prefix(' ') {
            let (name, expression) = field.split_once('=').expect("a field has a name and an expression");
            let start = rows.len() - alike;
            rows[start..].iter_mut().for_each(|row| row.fields.push((name.trim(), expression.trim())));
            continue;
        }
        let mut words = line.split(' ');
        let (category, names) = words.next().and_then(|name| name.split_once(':')).expect("an event has a category");
        let subject = subject_of(&mut words);
        let records: Vec<&str> = words.collect();
        let before = rows.len();
        rows.extend(names.split(',').map(|name| Row {
            category,
            name,
            subject,
            records: records.clone(),
            fields: Vec::new(),
        }));
        alike = rows.len() - before;
    }
    rows
}

fn subject_of(words: &mut impl Iterator<Item = &'static str>) -> Subject {
    let kind = words.next().expect("an event has a subject");
    let mut argument = || words.next().expect("the subject is an argument");
    match kind {
        "current" => Subject::Current,
        "task" => Subject::Task(argument()),
        "either" => Subject::Either(argument()),
        "socket" => Subject::Socket(argument()),
        "packet" => Subject::Packet(argument()),
        "request" => Subject::Request(argument()),
        "done" => Subject::Done(argument()),
        "started" => Subject::Started(argument()),
        "nobody" => Subject::Nobody,
        other => unreachable!("{other} is no subject"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_row() {
        for (at, row) in all().iter().enumerate() {
            assert!(all()[at + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
        }
        assert!(all().len() > 40, "published tools use more than {}", all().len());
    }

    #[test]
    fn the_lines_of_a_row_are_for_all_its_events() {
        let wakeups = ["sched_wakeup", "sched_wakeup_new"].map(|name| {
            let row = all().iter().find(|row| row.name == name).unwrap();
            (row.subject, row.expressions("comm").collect::<Vec<_>>())
        });
        assert_eq!(wakeups[0], (Subject::Task("p"), vec!["args.p.comm"]));
        assert_eq!(wakeups[0], wakeups[1]);
        assert_eq!(subject("softirq_entry"), Some(Subject::Nobody));
        assert_eq!(subject("anything"), None);
    }
}
