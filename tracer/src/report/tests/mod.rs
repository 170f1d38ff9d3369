//! The reporter as its session sees it: updates and records go in, text or NDJSON comes out.
//!
//! What bpftrace prints too is compared with what bpftrace 0.27.1 has printed for the script above the case.

mod emptying;
mod json;
mod maps;
mod merging;
mod outputs;
mod tables;
mod values;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tracer_common::stack::StackId;
use tracer_common::{agg, bucket};

use super::{Error, Flow, Location, Maps, Reporter, Style, World};
use crate::plan::{Aggregation, Frames, Map, MapId, Place, Plan, Record, Shape, Storage, Unit, Value};

/// An aggregation map that is read and written as the kernel's are: partial values by CPU, emptied when drained.
#[derive(Default)]
pub struct Kernel {
    plan: Plan,
    /// By map and key: one partial value for each CPU, as words.
    partials: BTreeMap<(MapId, Vec<u8>), [Vec<u64>; CPUS]>,
    plain: BTreeMap<(MapId, Vec<u8>), Vec<u8>>,
}

const CPUS: usize = 2;

impl Kernel {
    /// Runs `@map[key] = aggregation(value)` on a CPU.
    pub fn update(&mut self, map: MapId, key: &[u8], cpu: usize, value: i64) {
        let Value::Aggregation(kind) = self.plan.maps[map.0 as usize].value else { panic!("not an aggregation") };
        let words = kind.size() as usize / 8;
        let partial = &mut self.partials.entry((map, key.to_vec())).or_default()[cpu];
        partial.resize(words, 0);
        let (first, number) = (partial[0] == 0, value as u64);
        partial[0] += 1;
        match kind {
            Aggregation::Count => {}
            Aggregation::Hist { bits } => partial[1 + bucket::log2_index(value, bits) as usize] += 1,
            Aggregation::Linear { min, max, step } => {
                partial[1 + bucket::linear_index(value, min, max, step) as usize] += 1;
            }
            Aggregation::Series(_) => partial[1] = number,
            Aggregation::Min { signed } => partial[2] = partial[2].max(agg::rank(number, signed, true)),
            Aggregation::Max { signed } => partial[3] = partial[3].max(agg::rank(number, signed, false)),
            _ => {
                let less = |a: u64, b: u64| if kind.signed() { (a as i64) < b as i64 } else { a < b };
                partial[1] = partial[1].wrapping_add(number);
                if first || less(number, partial[2]) {
                    partial[2] = number;
                }
                if first || less(partial[3], number) {
                    partial[3] = number;
                }
                if kind == Aggregation::Hdr {
                    partial[4 + bucket::hdr_index(number) as usize] += 1;
                }
            }
        }
    }
}

impl Maps for Kernel {
    fn drain(&mut self, map: MapId, _emptied: bool, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let words = self.plan.maps[map.0 as usize].value_size() as usize / 8;
        for ((_, key), mut partials) in self.partials.extract_if(.., |(of, _), _| *of == map) {
            partials.iter_mut().for_each(|partial| partial.resize(words, 0));
            let bytes: Vec<u8> = partials.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
            merge(&key, &bytes);
        }
        Ok(())
    }

    fn read(&mut self, map: MapId, merge: &mut dyn FnMut(&[u8], &[u8])) -> io::Result<()> {
        let words = self.plan.maps[map.0 as usize].value_size() as usize / 8;
        for ((_, key), [whole, _]) in self.partials.iter().filter(|((of, _), _)| *of == map) {
            let mut whole = whole.clone();
            whole.resize(words, 0);
            merge(key, &whole.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
        }
        Ok(())
    }

    fn restore(&mut self, map: MapId, keys: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        for key in keys {
            self.partials.entry((map, key.clone())).or_default();
        }
        Ok(Vec::new())
    }

    fn entries(&mut self, map: MapId) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.plain.iter().filter(|((of, _), _)| *of == map);
        Ok(entries.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn lookup(&mut self, map: MapId, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.plain.get(&(map, key.to_vec())).cloned())
    }

    fn clear(&mut self, map: MapId) -> io::Result<()> {
        self.plain.retain(|(of, _), _| *of != map);
        Ok(())
    }

    fn zero(&mut self, map: MapId) -> io::Result<()> {
        self.plain.iter_mut().filter(|((of, _), _)| *of == map).for_each(|(_, value)| value.fill(0));
        Ok(())
    }
}

/// A machine that is made up.
pub struct Made;

impl World for Made {
    fn user(&self, uid: u32) -> Option<String> {
        (uid == 0).then(|| "root".to_owned())
    }

    fn cgroup(&self, id: u64, hierarchies: &str) -> String {
        format!("{hierarchies}:/{id}")
    }

    fn time(&self, format: &str, since_boot: Option<u64>) -> String {
        since_boot.map_or_else(|| format.to_owned(), |time| format!("{format} at {time}"))
    }

    fn atomic_time(&self, _: &str, time: u64) -> String {
        format!("2026-11-25 00:00:{:02}", time / 1_000_000_000)
    }

    fn stack(&self, id: StackId, frames: Frames) -> String {
        format!("\n        {} of {:?}\n", id.digest, frames.style)
    }

    fn kernel_symbol(&self, address: u64) -> String {
        format!("function_{address}")
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == "/none" { Err(io::ErrorKind::NotFound.into()) } else { Ok(format!("in {path}\n").into_bytes()) }
    }

    fn run(&self, command: &str) -> io::Result<(Vec<u8>, ExitStatus)> {
        Ok((format!("ran {command}\n").into_bytes(), ExitStatus::from_raw(i32::from(command == "false") << 8)))
    }

    fn locate(&self, place: Place) -> Location {
        let (line, column) = (1, place.start + 1);
        Location { file: "stdin".to_owned(), line, column, text: format!("stdin:1:{column}-{}", place.end + 1) }
    }

    fn warn(&self, _: Place, _: &str, _: Option<&str>) {}

    fn complain(&self, _: &str) {}
}

/// A script's session. Maps and records are declared as they are needed.
pub struct Session {
    kernel: Kernel,
    /// What happened, to be told to the reporter at the end: it borrows the plan, which grows until then.
    steps: Vec<Step>,
}

enum Step {
    Update { map: MapId, key: Vec<u8>, cpu: usize, value: i64 },
    Assign { map: MapId, key: Vec<u8>, value: Vec<u8> },
    Record(Vec<u8>),
    Interval,
}

impl Session {
    pub fn new() -> Session {
        Session { kernel: Kernel::default(), steps: Vec::new() }
    }

    /// Declares a map that is printed at the end.
    pub fn map(&mut self, name: &str, key: Option<Shape>, value: Value) -> MapId {
        let maps = &mut self.kernel.plan.maps;
        let id = MapId(maps.len() as u32);
        maps.push(Map {
            name: name.to_owned(),
            storage: Storage::PerCpuHash,
            key,
            value,
            max_keys: 4096,
            max_entries: 4096,
        });
        self.kernel.plan.print_at_end.push(id);
        id
    }

    pub fn aggregation(&mut self, name: &str, key: Option<Shape>, kind: Aggregation) -> MapId {
        self.map(name, key, Value::Aggregation(kind))
    }

    /// One that is whole in the kernel.
    pub fn live(&mut self, name: &str, key: Option<Shape>, kind: Aggregation) -> MapId {
        let id = self.aggregation(name, key, kind);
        self.kernel.plan.maps[id.0 as usize].storage = Storage::LiveHash { drops_oldest: false };
        id
    }

    /// `@map[key] = count()`, so many times, of an aggregation that is whole in the kernel.
    pub fn update_live(&mut self, map: MapId, key: &[u8], times: usize) {
        self.steps.extend((0..times).map(|_| Step::Update { map, key: key.to_vec(), cpu: 0, value: 0 }));
    }

    /// `@map[key] = aggregation(value)`, on one CPU after the other.
    pub fn update(&mut self, map: MapId, key: &[u8], values: &[i64]) {
        for (index, &value) in values.iter().enumerate() {
            self.steps.push(Step::Update { map, key: key.to_vec(), cpu: index % CPUS, value });
        }
    }

    /// `@map[key] = value`.
    pub fn assign(&mut self, map: MapId, key: &[u8], value: &[u8]) {
        self.steps.push(Step::Assign { map, key: key.to_vec(), value: value.to_vec() });
    }

    /// A program writes a record.
    pub fn record(&mut self, record: Record, payload: &[u8]) {
        let id = self.kernel.plan.records.len() as u32;
        self.kernel.plan.records.push(record);
        let header = [id.to_le_bytes(), [0; 4]].concat();
        self.steps.push(Step::Record([&header, payload].concat()));
    }

    /// `print(@map, top, div)`.
    pub fn print(&mut self, map: MapId, top: u32, div: u32) {
        self.record(Record::PrintMap { map, top, div, emptied: false }, &[]);
    }

    /// `table(@maps…, top)`.
    pub fn table(&mut self, maps: &[MapId], headings: &[&str], top: u32, unit: Unit) {
        let headings = headings.iter().map(|&heading| heading.to_owned()).collect();
        self.record(Record::PrintTable { maps: maps.to_vec(), headings, top, unit, emptied: Vec::new() }, &[]);
    }

    /// The plan, for what the other functions do not declare.
    pub fn plan(&mut self) -> &mut Plan {
        &mut self.kernel.plan
    }

    /// An interval of `--interval` is over.
    pub fn interval(&mut self) {
        self.steps.push(Step::Interval);
    }

    /// What has been printed before the end.
    pub fn printed(&mut self, style: Style) -> String {
        self.run(style, false).expect("the session is well-formed")
    }

    /// What has been printed, with the maps at the end.
    pub fn output(&mut self, style: Style) -> String {
        self.run(style, true).expect("the session is well-formed")
    }

    /// Tells the reporter all steps, once.
    pub fn run(&mut self, style: Style, end: bool) -> Result<String, Error> {
        let plan = self.kernel.plan.clone();
        let mut out = Vec::new();
        let mut reporter = Reporter::new(&plan, &Made, style, &mut out);
        for step in self.steps.drain(..) {
            match step {
                Step::Update { map, key, cpu, value } => self.kernel.update(map, &key, cpu, value),
                Step::Assign { map, key, value } => drop(self.kernel.plain.insert((map, key), value)),
                Step::Interval => reporter.maps_at_interval(&mut self.kernel)?,
                Step::Record(record) => assert_eq!(reporter.record(&record, &mut self.kernel)?, Flow::Continue),
            }
        }
        if end {
            reporter.maps_at_end(&mut self.kernel)?;
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

/// The key or value of an `int64`.
pub fn int(value: i64) -> [u8; 8] {
    value.to_le_bytes()
}

/// The key or value of a string of 16 bytes.
pub fn text(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

pub const TEXT: Shape = Shape::Str { size: 16 };
