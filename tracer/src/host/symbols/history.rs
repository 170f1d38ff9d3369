//! What the kernel has noted of processes, for those that have ended before their mappings could be read.
//!
//! In: side-band records of perf events (perf_event_open(2)), from any CPU in any order. Out: what a process had mapped at
//! a time. Times are of CLOCK_MONOTONIC, in ns.

use std::collections::{HashMap, VecDeque};
use std::fs;

use bytes::Buf;

use super::maps::{self, Mapping};

/// Most processes that are remembered after their end.
const MOST_ENDED: usize = 1024;

/// The history of all processes.
#[derive(Debug, Default)]
pub struct History {
    processes: HashMap<u32, Process>,
    /// Those that have ended, in the order of their ends.
    ended: VecDeque<u32>,
    /// How many notes the kernel had no room for.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Process {
    /// What has become of it, by time.
    events: Vec<(u64, Event)>,
}

#[derive(Debug)]
enum Event {
    /// Another program: whatever was mapped is gone.
    Exec,
    /// Begun by this process, with the same mappings.
    Fork(u32),
    /// Code that has been mapped.
    Map(Mapping),
}

/// `enum perf_event_type`, in include/uapi/linux/perf_event.h.
mod kinds {
    pub const LOST: u32 = 2;
    pub const COMM: u32 = 3;
    pub const EXIT: u32 = 4;
    pub const FORK: u32 = 7;
    pub const MMAP2: u32 = 10;
    /// `PERF_RECORD_MISC_COMM_EXEC`: a new name because of an exec.
    pub const COMM_EXEC: u16 = 1 << 13;
}

/// PROT_EXEC
const EXECUTABLE: u32 = 4;

/// Most forks that mappings are followed back through.
const MOST_FORKS: u32 = 64;

impl History {
    /// Takes in a record.
    pub fn note(&mut self, record: &[u8]) {
        // What is cut off is nothing that the kernel writes.
        let _ = self.try_note(record);
    }

    fn try_note(&mut self, mut record: &[u8]) -> Result<(), bytes::TryGetError> {
        // Behind each record is its time, as that is all that was asked for.
        let time = record.split_last_chunk().map_or(0, |(_, time)| u64::from_le_bytes(*time));
        let (kind, misc, _) = (record.try_get_u32_le()?, record.try_get_u16_le()?, record.try_get_u16_le()?);
        if kind == kinds::LOST {
            record.try_get_u64_le()?;
            self.lost += record.try_get_u64_le()?;
            return Ok(());
        }
        let pid = record.try_get_u32_le()?;
        // Processes of other namespaces have no number here.
        if pid == 0 || pid == u32::MAX {
            return Ok(());
        }
        match kind {
            kinds::MMAP2 => {
                record.try_get_u32_le()?;
                let (start, length, offset) =
                    (record.try_get_u64_le()?, record.try_get_u64_le()?, record.try_get_u64_le()?);
                let (major, minor) = (record.try_get_u32_le()?, record.try_get_u32_le()?);
                let (inode, _) = (record.try_get_u64_le()?, record.try_get_u64_le()?);
                let (protection, _) = (record.try_get_u32_le()?, record.try_get_u32_le()?);
                let path = record.split(|&byte| byte == 0).next().unwrap_or_default();
                if protection & EXECUTABLE != 0 {
                    let path = String::from_utf8_lossy(path).into_owned();
                    let file = (format!("{major:02x}:{minor:02x}"), inode);
                    let mapping = Mapping { start, end: start.saturating_add(length), offset, file, path };
                    self.add(pid, time, Event::Map(mapping));
                }
            }
            kinds::COMM if misc & kinds::COMM_EXEC != 0 => self.add(pid, time, Event::Exec),
            kinds::FORK | kinds::EXIT => {
                let (parent, thread) = (record.try_get_u32_le()?, record.try_get_u32_le()?);
                match kind {
                    // A new thread is no new process.
                    kinds::FORK if pid != parent => self.add(pid, time, Event::Fork(parent)),
                    kinds::EXIT if pid == thread => self.end(pid),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, pid: u32, time: u64, event: Event) {
        let events = &mut self.processes.entry(pid).or_default().events;
        let at = events.partition_point(|(other, _)| *other <= time);
        events.insert(at, (time, event));
    }

    fn end(&mut self, pid: u32) {
        self.ended.push_back(pid);
        if self.ended.len() > MOST_ENDED
            && let Some(oldest) = self.ended.pop_front()
            && !self.ended.contains(&oldest)
        {
            self.processes.remove(&oldest);
        }
    }

    /// The code that a process had mapped at a time, so far as that is known.
    pub fn mappings(&self, pid: u32, time: u64) -> Vec<Mapping> {
        self.mappings_through(pid, time, MOST_FORKS)
    }

    fn mappings_through(&self, pid: u32, time: u64, forks: u32) -> Vec<Mapping> {
        let events = self.processes.get(&pid).map_or(&[][..], |process| &process.events);
        let before = &events[..events.partition_point(|(other, _)| *other <= time)];
        // The last program that it ran, or what it began with.
        let begin = before.iter().rposition(|(_, event)| !matches!(event, Event::Map(_)));
        let mut mappings = match begin.map(|at| &before[at]) {
            Some((_, Event::Exec)) => Vec::new(),
            Some(&(forked, Event::Fork(parent))) if forks > 0 => self.mappings_through(parent, forked, forks - 1),
            // It is older than the notes.
            _ => maps::parse(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default()),
        };
        let since = &before[begin.map_or(0, |at| at + 1)..];
        mappings.extend(since.iter().filter_map(|(_, event)| match event {
            Event::Map(mapping) => Some(mapping.clone()),
            Event::Exec | Event::Fork(_) => None,
        }));
        mappings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, misc: u16, body: &[u8], time: u64) -> Vec<u8> {
        let size = (8 + body.len() + 8) as u16;
        [&kind.to_le_bytes()[..], &misc.to_le_bytes(), &size.to_le_bytes(), body, &time.to_le_bytes()].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn mmap(pid: u32, start: u64, path: &str, time: u64) -> Vec<u8> {
        let mut body = words(&[pid, pid]);
        [start, 0x1000, 0x2000].iter().for_each(|number| body.extend(number.to_le_bytes()));
        body.extend(words(&[8, 1, 77, 0, 0, 0, 5, 2]));
        body.extend(path.bytes());
        body.resize(body.len() + 8 - path.len() % 8, 0);
        record(10, 0, &body, time)
    }

    const NOBODY: u32 = 4_000_000_000; // more than any pid

    #[test]
    fn a_process_has_mapped_what_it_has_since_its_last_exec() {
        let mut history = History::default();
        history.note(&mmap(NOBODY, 0x1000, "/bin/old", 10));
        history.note(&mmap(NOBODY, 0x5000, "/bin/new", 30));
        // From another CPU, and so later, but of before.
        history.note(&record(3, 1 << 13, &words(&[NOBODY, NOBODY, 0, 0]), 20));
        history.note(&record(4, 0, &words(&[NOBODY, 1, NOBODY, 1, 0, 0]), 40));
        let paths =
            |time| -> Vec<String> { history.mappings(NOBODY, time).into_iter().map(|mapping| mapping.path).collect() };
        assert_eq!(paths(15), ["/bin/old"]);
        assert_eq!(paths(35), ["/bin/new"]);
        let mapping = &history.mappings(NOBODY, 35)[0];
        assert_eq!((mapping.start, mapping.end, mapping.offset), (0x5000, 0x6000, 0x2000));
        assert_eq!(mapping.file, ("08:01".to_owned(), 77));
    }

    #[test]
    fn a_forked_process_has_what_its_parent_had_then() {
        let mut history = History::default();
        history.note(&record(3, 1 << 13, &words(&[NOBODY, NOBODY, 0, 0]), 5));
        history.note(&mmap(NOBODY, 0x1000, "/bin/parent", 10));
        history.note(&record(7, 0, &words(&[NOBODY + 1, NOBODY, NOBODY + 1, NOBODY, 0, 0]), 20));
        history.note(&mmap(NOBODY, 0x9000, "/lib/later", 30));
        history.note(&mmap(NOBODY + 1, 0x3000, "/lib/own", 40));
        let paths: Vec<String> = history.mappings(NOBODY + 1, 50).into_iter().map(|mapping| mapping.path).collect();
        assert_eq!(paths, ["/bin/parent", "/lib/own"]);
    }

    #[test]
    fn what_is_not_of_this_namespace_or_cut_off_is_left_alone() {
        let mut history = History::default();
        history.note(&mmap(0, 0x1000, "/bin/elsewhere", 10));
        history.note(&mmap(u32::MAX, 0x1000, "/bin/elsewhere", 10));
        let whole = mmap(5, 0x1000, "/bin/here", 10);
        for end in 0..40 {
            history.note(&whole[..end]);
        }
        assert!(history.processes.is_empty());
        history.note(&record(2, 0, &[7u64.to_le_bytes(), 3u64.to_le_bytes()].concat(), 1));
        assert_eq!(history.lost, 3);
    }
}
