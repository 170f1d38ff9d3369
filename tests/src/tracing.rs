//! The kernel's own recorder: an instance of tracefs that records events as the kernel lays them out, for what ctrace
//! says of the same events to be held against.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;

/// Where tracefs is mounted.
pub const TRACING: &str = "/sys/kernel/tracing";

/// KiB of records for each processor.
const ROOM: u32 = 32 * 1024;

/// A recorder of its own; it is gone when its guard is.
pub struct Recorder {
    path: PathBuf,
}

impl Recorder {
    /// Makes one that records nothing yet.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("{TRACING}/instances/ctrace-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let recorder = Self { path };
        // What comes when it is full is counted, and does not replace what has come before.
        recorder.set("options/overwrite", "0")?;
        recorder.set("buffer_size_kb", &ROOM.to_string())?;
        Ok(recorder)
    }

    /// From here on, records only what this thread does, and what it starts does.
    pub fn only_this_thread(&self) -> Result<()> {
        let own = fs::read_link("/proc/thread-self")?;
        let thread = own.file_name().context("a thread has a number")?.to_string_lossy().into_owned();
        self.set("options/event-fork", "1")?;
        self.set("set_event_pid", &thread)
    }

    /// Starts to record an event, `CATEGORY:NAME`.
    pub fn record(&self, event: &str) -> Result<()> {
        self.set(&format!("events/{}/enable", event.replace(':', "/")), "1")
    }

    /// Stops, and gives what has been recorded: each processor's in its order. It is an error if there was no room.
    pub fn finish(self) -> Result<Vec<Record>> {
        self.set("tracing_on", "0")?;
        let mut records = Vec::new();
        for entry in fs::read_dir(self.path.join("per_cpu"))? {
            let folder = entry?.path();
            let stats = fs::read_to_string(folder.join("stats"))?;
            if let Some(lost) = stats.lines().filter_map(lost).find(|lost| *lost != "0") {
                bail!("the kernel's recorder lost {lost} records:\n{stats}");
            }
            let file = folder.join("trace_pipe_raw");
            // It would wait for more.
            let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
            let mut pages = OpenOptions::new().read(true).custom_flags(flags).open(&file)?;
            while let Some(page) = next_page(&mut pages)? {
                read_page(&page, &mut records).with_context(|| format!("in {}", file.display()))?;
            }
        }
        Ok(records)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It cannot be removed while it records.
        let removed = fs::write(self.path.join("events/enable"), "0").and_then(|()| fs::remove_dir(&self.path));
        if let Err(error) = removed {
            eprintln!("left behind: {}: {error}", self.path.display());
        }
    }
}

/// How many records were lost, if a line of the recorder's statistics says it.
fn lost(line: &str) -> Option<&str> {
    ["overrun: ", "dropped events: "].into_iter().find_map(|key| line.strip_prefix(key))
}

/// One event as the kernel has laid it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
}

impl Record {
    /// The number of the event, as in its format.
    pub fn event(&self) -> u16 {
        // `common_type` is the first field of all records.
        u16::from_le_bytes([self.bytes[0], self.bytes[1]])
    }

    /// These bytes of it.
    pub fn at(&self, offset: usize, size: usize) -> Result<&[u8]> {
        self.bytes.get(offset..offset + size).with_context(|| format!("the record ends before {offset} + {size}"))
    }

    /// The text that the word at an offset tells the place of (`__data_loc`), without its NUL.
    pub fn text(&self, offset: usize) -> Result<String> {
        let place = u32::from_le_bytes(self.at(offset, 4)?.try_into()?);
        let bytes = self.at((place & 0xffff) as usize, (place >> 16) as usize)?;
        Ok(until_nul(bytes))
    }
}

/// The text that ends at the first NUL, or fills all bytes.
pub fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The largest page of the kernel's buffer that is expected, bytes.
const PAGE: usize = 4096;

fn next_page(pages: &mut File) -> Result<Option<Vec<u8>>> {
    let mut page = vec![0; PAGE];
    match pages.read(&mut page) {
        Ok(0) => Ok(None),
        Ok(length) => {
            page.truncate(length);
            Ok(Some(page))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A page of the kernel's ring buffer (`include/linux/ring_buffer.h`): 8 bytes of time, 8 whose lower 20 bits are the
/// length, and then events, each with a word of which the lower 5 bits are its kind.
fn read_page(page: &[u8], records: &mut Vec<Record>) -> Result<()> {
    let word = |at: usize| -> Result<u32> {
        let bytes = page.get(at..at + 4).context("the page ends within a word")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    let end = 16 + (word(8)? & 0xf_ffff) as usize;
    ensure!(end <= page.len(), "a page of {} bytes says that it has {end}", page.len());
    let mut at = 16;
    while at < end {
        let header = word(at)?;
        let kind = header & 31;
        at += 4;
        match kind {
            // Padding, to the end of the page if it has no time.
            29 if header >> 5 == 0 => break,
            29 => at += word(at)? as usize,
            // More bits of time.
            30 | 31 => at += 4,
            // Small events have their length, in words, in the place of a kind; large ones have it in front.
            _ => {
                let length = if kind == 0 { word(at)? as usize } else { kind as usize * 4 };
                let start = if kind == 0 { at + 4 } else { at };
                let bytes = page.get(start..at + length).context("an event ends beyond its page")?;
                ensure!(bytes.len() >= 8, "an event of {} bytes", bytes.len());
                records.push(Record { bytes: bytes.to_vec() });
                at += length;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(events: &[u32]) -> Vec<u8> {
        let length = (events.len() * 4) as u32;
        // Records that were lost before the page are said in the length's upper bits.
        let header = [1, 0, length | 1 << 31, 0];
        header.iter().chain(events).flat_map(|word| word.to_le_bytes()).collect()
    }

    fn records(events: &[u32]) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        read_page(&page(events), &mut records)?;
        Ok(records)
    }

    #[test]
    fn events_are_found_between_times_and_padding() {
        let small = [3 | 7 << 5, 512, 1, 2];
        let large = [0, 16, 513, 3, 4];
        let events = [&[30, 9][..], &small, &[29 | 1 << 5, 8, 0], &large, &[29, 77]].concat();
        let found = records(&events).unwrap();
        assert_eq!(found.iter().map(Record::event).collect::<Vec<_>>(), [512, 513]);
        assert_eq!(found[0].bytes.len(), 12);
        assert_eq!(found[1].at(8, 4).unwrap(), [4, 0, 0, 0]);
        assert!(found[1].at(8, 8).is_err());
    }

    #[test]
    fn a_text_of_any_length_is_where_its_word_says() {
        let record = &records(&[4, 1, 0, 8 << 16 | 12, u32::from_le_bytes(*b"ab\0c")]).unwrap()[0];
        assert!(record.text(8).is_err(), "8 bytes from 12 on are more than there are");
        let record = &records(&[4, 1, 0, 4 << 16 | 12, u32::from_le_bytes(*b"ab\0c")]).unwrap()[0];
        assert_eq!(record.text(8).unwrap(), "ab");
    }

    #[test]
    fn a_page_that_contradicts_itself_is_an_error() {
        assert!(records(&[28, 1, 2]).is_err());
        assert!(records(&[0]).is_err());
        let mut short = page(&[3, 512, 1, 2]);
        short.truncate(20);
        assert!(read_page(&short, &mut Vec::new()).is_err());
    }
}
