//! Whether ctrace prints of an event what the kernel records of it: events are provoked, ctrace prints all fields of each,
//! and the kernel's own recorder writes down the same events meanwhile. Whatever is printed must have been recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Completion, Trial};
use serde_json::Value as Json;
use tests::cgroup::Cgroup;
use tests::needs;
use tests::process::{self, NOTIFY, Process};
use tests::programs;
use tests::tracing::{Record, Recorder, until_nul};
use tracer::host::tracefs::{self, Field, Format, Mention};

use super::workloads::{GROUPS, Group, Recorded};
use super::{failed, gaps};

/// How long a group may take, emulated machines included.
const LIMIT: Duration = Duration::from_secs(300);

/// One test an event. Those of a group are made, and looked at, at once.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for group in GROUPS {
        let observed: Arc<OnceLock<Result<Observed>>> = Arc::default();
        for &event in group.events {
            let observed = Arc::clone(&observed);
            let test = move || {
                if let Some(why) = group.unmet() {
                    return Ok(Completion::ignored_with(why));
                }
                let observed = observed.get_or_init(|| observe(group));
                match observed {
                    Ok(observed) => observed.check(event).map_err(|error| failed(&error)),
                    Err(error) => Err(failed(error)),
                }
            };
            trials.push(Trial::ignorable_test(format!("catalogue/values/{event}"), test));
        }
    }
    trials
}

/// What tells when processors become idle, and stop being so.
const TURNS: &str = "sched:sched_switch";

/// The processors that the recorder has seen become idle twice, and never stop being so in between: a defect of the running
/// kernel, which leaves out what they do then.
fn left_out_when_idle(records: &[Record]) -> Result<BTreeSet<u32>> {
    let formats = tracefs::look(&[mention(TURNS)?]);
    let format = formats.first().context("this kernel has no switches")?;
    let field = |name| format.fields.iter().find(|field| field.name == name).context("a switch is from one to another");
    let ends = [field("prev_comm")?, field("next_comm")?];
    let mut turns = BTreeMap::<u32, [u32; 2]>::new();
    for record in records.iter().filter(|record| u64::from(record.event()) == format.id) {
        for (end, field) in ends.into_iter().enumerate() {
            let name = until_nul(record.at(field.offset as usize, field.size as usize)?);
            if let Some(cpu) = name.strip_prefix("swapper/") {
                turns.entry(cpu.parse()?).or_default()[end] += 1;
            }
        }
    }
    Ok(turns.into_iter().filter(|(_, [from, to])| *from == 0 && *to > 1).map(|(cpu, _)| cpu).collect())
}

fn mention(event: &str) -> Result<Mention> {
    let (category, event) = event.split_once(':').context("not CATEGORY:NAME")?;
    Ok(Mention { category: category.to_owned(), event: event.to_owned() })
}

/// What a field of one event was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i128),
    Numbers(Vec<i128>),
    Text(String),
}

/// What was seen of a group's events.
struct Observed {
    formats: Vec<Format>,
    /// By event, the processor that it happened on, and its fields in the order of the format, as ctrace printed them.
    printed: BTreeMap<String, Vec<(u32, Vec<Value>)>>,
    /// The same fields as recorded.
    recorded: BTreeMap<String, Vec<Vec<Value>>>,
    /// The processors of which the recorder may have left out what they did.
    left_out: BTreeSet<u32>,
}

/// Lets the events of a group happen while both look.
fn observe(group: &Group) -> Result<Observed> {
    let mentions: Vec<Mention> = group.events.iter().map(|event| mention(event)).collect::<Result<_>>()?;
    let formats = tracefs::look(&mentions);
    ensure!(!formats.is_empty(), "this kernel has none of these events");

    let (scope, beside) = (Cgroup::new("workload")?, Cgroup::new("ctrace")?);
    let name = scope.path().file_name().context("a cgroup has a name")?.to_owned();
    let script = env::temp_dir().join(name).with_extension("bt");
    fs::write(&script, text(group, &formats))?;
    let outcome = run(group, &formats, &scope, &beside, &script.display().to_string());
    fs::remove_file(&script)?;
    let (stdout, records) = outcome?;
    beside.remove()?;
    scope.remove()?;

    let mut recorded = BTreeMap::<String, Vec<Vec<Value>>>::new();
    for record in &records {
        let of = |format: &&Format| format.id == u64::from(record.event());
        let Some(format) = formats.iter().find(of) else { continue };
        let values = shown(format).map(|field| recorded_value(record, field)).collect::<Result<_>>();
        recorded.entry(format.full_name()).or_default().push(values.with_context(|| format.full_name())?);
    }
    Ok(Observed { printed: printed(&stdout, &formats)?, recorded, formats, left_out: left_out_when_idle(&records)? })
}

/// What ctrace printed, and what the kernel recorded.
fn run(
    group: &Group,
    formats: &[Format],
    scope: &Cgroup,
    beside: &Cgroup,
    script: &str,
) -> Result<(String, Vec<Record>)> {
    let deadline = Instant::now() + LIMIT;
    let option = match group.recorded {
        Recorded::Machine => "host".to_owned(),
        Recorded::Workload | Recorded::Scope => format!("cgroup:{}", scope.path().display()),
    };
    let mut command = process::command(beside, &format!("exec ctrace -f json --scope '{option}' '{script}'"));
    command.env("PATH", programs::path()?).env(NOTIFY, "1");
    let process = Process::spawn(command)?;
    if !process.wait_attached(deadline)? {
        let ended = process.finish(beside, deadline)?;
        bail!("ctrace ended with {}:\n{}", ended.status, ended.stderr);
    }
    // What is printed must have been recorded: that begins before, as nothing is in scope yet, or the gate is closed, and
    // it ends after.
    let recorder = Recorder::new()?;
    if group.recorded == Recorded::Workload {
        recorder.only_this_thread()?;
    }
    formats.iter().try_for_each(|format| recorder.record(&format.full_name()))?;
    recorder.record(TURNS)?;
    let mut workload = process::command(scope, &format!("kill -0 {} && {}", std::process::id(), group.workload));
    workload.env("PATH", programs::path()?).env("SCOPE", scope.path()).env_remove(NOTIFY);
    workload.envs(needs::disk().map(|disk| ("DISK", disk)));
    process::run(workload, deadline).with_context(|| format!("the workload `{}` failed", group.workload))?;
    process.interrupt()?;
    let ended = process.finish(beside, deadline)?;
    ensure!(ended.status.success(), "ctrace ended with {}:\n{}", ended.status, ended.stderr);
    Ok((ended.stdout, recorder.finish()?))
}

/// The fields that are compared.
fn shown(format: &Format) -> impl Iterator<Item = &Field> {
    format.fields.iter().filter(|field| gaps::reason(&format.event, &field.name).is_none())
}

/// How many events of a name are printed where everybody's are: what prints them makes some more.
const ENOUGH: u32 = 1000;

/// The script, which prints events with all their fields. Where they are everybody's, from the workload's beginning on.
fn text(group: &Group, formats: &[Format]) -> String {
    let everybody = group.recorded == Recorded::Machine;
    let gate = format!(
        "tracepoint:syscalls:sys_enter_kill /args.pid == {} && !args.sig/ {{ @open = 1 }}\n",
        std::process::id()
    );
    let clauses = formats.iter().enumerate().map(|(at, format)| {
        let name = format.full_name();
        let fields: String = shown(format).map(|field| format!(", {}", expression(field))).collect();
        let print = format!("print((\"{name}\", cpu{fields}));");
        match everybody {
            true => format!("tracepoint:{name} /@open && @times{at} < {ENOUGH}/ {{ @times{at}++; {print} }}\n"),
            false => format!("tracepoint:{name} {{ {print} }}\n"),
        }
    });
    clauses.chain(everybody.then_some(gate)).collect()
}

fn expression(field: &Field) -> String {
    let name = &field.name;
    match field.count {
        Some(_) => format!("args.{name}"),
        None if is_text(field) => format!("args.{name}"),
        // Not as the name of an enumerator, nor as an address.
        None if field.signed => format!("(int64)args.{name}"),
        None => format!("(uint64)args.{name}"),
    }
}

fn is_text(field: &Field) -> bool {
    let characters = field.count.is_some() && field.ty.trim_start_matches("const ") == "char";
    characters || field.ty.starts_with("__data_loc")
}

fn recorded_value(record: &Record, field: &Field) -> Result<Value> {
    let offset = field.offset as usize;
    if field.ty.starts_with("__data_loc") {
        return Ok(Value::Text(record.text(offset)?));
    }
    let bytes = record.at(offset, field.size as usize)?;
    if is_text(field) {
        return Ok(Value::Text(until_nul(bytes)));
    }
    let numbers = bytes.chunks(field.unit() as usize).map(|bytes| number(bytes, field.signed));
    let numbers: Vec<i128> = numbers.collect::<Result<_>>()?;
    Ok(match (field.count, &numbers[..]) {
        (None, [number]) => Value::Number(*number),
        _ => Value::Numbers(numbers),
    })
}

/// A number of 1 to 8 bytes.
fn number(bytes: &[u8], signed: bool) -> Result<i128> {
    ensure!(matches!(bytes.len(), 1 | 2 | 4 | 8), "a number of {} bytes", bytes.len());
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let value = u64::from_le_bytes(wide);
    let above = 64 - 8 * bytes.len();
    Ok(if signed { i128::from((value << above).cast_signed() >> above) } else { i128::from(value) })
}

/// By event, what ctrace printed.
fn printed(stdout: &str, formats: &[Format]) -> Result<BTreeMap<String, Vec<(u32, Vec<Value>)>>> {
    let mut events = BTreeMap::<String, Vec<(u32, Vec<Value>)>>::new();
    for line in stdout.lines() {
        let json: Json = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        if json["type"] != "value" {
            continue;
        }
        let [name, cpu, values @ ..] = json["data"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            bail!("no event: {line}");
        };
        let name = name.as_str().with_context(|| format!("no event: {line}"))?;
        let format = formats.iter().find(|format| format.full_name() == name).context("an event of another name")?;
        let fields: Vec<&Field> = shown(format).collect();
        ensure!(fields.len() == values.len(), "{} values of {} fields: {line}", values.len(), fields.len());
        let values = fields.iter().zip(values).map(|(field, value)| printed_value(value, is_text(field)));
        let values = values.collect::<Result<_>>().with_context(|| line.to_owned())?;
        let cpu = cpu.as_u64().and_then(|cpu| cpu.try_into().ok()).with_context(|| format!("no processor: {line}"))?;
        events.entry(name.to_owned()).or_default().push((cpu, values));
    }
    Ok(events)
}

fn printed_value(json: &Json, text: bool) -> Result<Value> {
    // Numbers that a double does not hold are printed as texts.
    let number = |json: &Json| match json {
        Json::String(digits) => digits.parse::<i128>().with_context(|| format!("no number: {digits}")),
        Json::Number(number) => {
            number.to_string().parse::<i128>().with_context(|| format!("no whole number: {number}"))
        }
        other => bail!("no number: {other}"),
    };
    Ok(match json {
        Json::String(value) if text => Value::Text(value.clone()),
        Json::Array(elements) => Value::Numbers(elements.iter().map(number).collect::<Result<_>>()?),
        other => Value::Number(number(other)?),
    })
}

/// Fields that change by themselves between the two looks, and by how much: the time, in ticks, while which an emulated
/// machine may stand still.
const MOVING: &[(&str, &str, i128)] = &[("timer:timer_start", "now", 250), ("timer:timer_expire_entry", "now", 250)];

impl Observed {
    /// Whether all that was printed of an event was recorded just so, but for what the recorder left out, and anything was.
    fn check(&self, event: &str) -> Result<Completion> {
        let Some(format) = self.formats.iter().find(|format| format.full_name() == event) else {
            return Ok(Completion::ignored_with("this kernel does not have it"));
        };
        let fields: Vec<&Field> = shown(format).collect();
        let printed = self.printed.get(event).map(Vec::as_slice).unwrap_or_default();
        let recorded = self.recorded.get(event).map(Vec::as_slice).unwrap_or_default();
        if printed.is_empty() && recorded.is_empty() {
            return Ok(Completion::ignored_with("it did not happen"));
        }
        ensure!(!printed.is_empty(), "nothing was printed of it; {} were recorded", recorded.len());
        // How often each was recorded, less how often it was printed.
        let mut left = BTreeMap::<&Vec<Value>, usize>::new();
        let recorded: Vec<Vec<Value>> = recorded.iter().flat_map(|values| as_seen(event, values)).collect();
        recorded.iter().for_each(|values| *left.entry(values).or_default() += 1);
        let mut wrong = Vec::new();
        // Those that have to be there come first, for others may be the same.
        let (may_lack, must_have): (Vec<_>, Vec<_>) = printed.iter().partition(|(cpu, _)| self.left_out.contains(cpu));
        for (cpu, values) in must_have.into_iter().chain(may_lack) {
            let found = match left.contains_key(values) {
                true => Some(values),
                false => left.keys().copied().find(|other| moved(format, &fields, values, other)),
            };
            match found.and_then(|found| left.get_mut(found)) {
                Some(times) if *times > 0 => *times -= 1,
                _ if self.left_out.contains(cpu) => {}
                _ => wrong.push(values),
            }
        }
        if let Some(first) = wrong.first() {
            let alike = |other: &&Vec<Value>| first.iter().zip(*other).filter(|(a, b)| a == b).count();
            let nearest = recorded.iter().max_by_key(alike);
            let show = |values: &Vec<Value>| {
                let shown = fields.iter().zip(values).map(|(field, value)| format!("{}={value:?}", field.name));
                shown.collect::<Vec<_>>().join(" ")
            };
            bail!(
                "{} of {} events were not recorded so; the first:\n{}\nthe most alike that was recorded:\n{}",
                wrong.len(),
                printed.len(),
                show(first),
                nearest.map_or_else(|| "none".to_owned(), show),
            );
        }
        Ok(Completion::Completed)
    }
}

/// An event that two tasks have part in, as it is printed where both are in scope, and where one of them is not.
fn as_seen(event: &str, values: &[Value]) -> Vec<Vec<Value>> {
    let empty = || Value::Text(String::new());
    let hidden: &[&[(usize, Value)]] = match event {
        "sched:sched_switch" => &[
            &[(0, empty()), (1, Value::Number(0)), (2, Value::Number(0)), (3, Value::Number(0x80))],
            &[(4, empty()), (5, Value::Number(0)), (6, Value::Number(0))],
        ],
        "signal:signal_generate" => &[&[(3, empty()), (4, Value::Number(0))]],
        _ => &[],
    };
    let without = |replaced: &&[(usize, Value)]| {
        let mut values = values.to_vec();
        replaced.iter().for_each(|(at, value)| values[*at] = value.clone());
        values
    };
    std::iter::once(values.to_vec()).chain(hidden.iter().map(without)).collect()
}

/// Whether two looks at an event differ by no more than what changes by itself.
fn moved(format: &Format, fields: &[&Field], printed: &[Value], recorded: &[Value]) -> bool {
    let event = format.full_name();
    fields.iter().zip(printed).zip(recorded).all(|((field, a), b)| match (a, b) {
        (a, b) if a == b => true,
        (Value::Number(a), Value::Number(b)) => {
            let by = MOVING.iter().find(|(of, name, _)| *of == event && *name == field.name);
            by.is_some_and(|(.., by)| (a - b).abs() <= *by)
        }
        _ => false,
    })
}
