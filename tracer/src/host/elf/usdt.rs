//! Probes that a program's authors have put into it (USDT): the notes of `.note.stapsdt`.
//!
//! A note says where the probe is, where the program looks whether anybody listens (its semaphore), and where the
//! arguments are at that place: a probe that the compiler has copied to several places has a note for each, with
//! arguments of their own. Addresses are those of link time; `.stapsdt.base` tells whether prelink(8) has moved the file
//! since. (<https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>)

mod operand;

use std::collections::BTreeSet;
use std::fs::File;

use object::elf;
use object::read::ReadRef;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::bytes::Bytes;
use super::symbols::{self, malformed};
use crate::pattern::matches;
use operand::Parsed;

/// The owner and the type of the notes.
const OWNER: &[u8] = b"stapsdt";
const KIND: u32 = 3;

/// Most arguments of a probe: `arg0` to `arg11` are what the macros of `<sys/sdt.h>` can make.
const MOST_ARGUMENTS: usize = 12;

/// Most notes of a file: a thousand times what a database has.
const MOST_NOTES: usize = 1 << 17;

/// A place where a program offers to be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Whose it is: `python`.
    pub provider: String,
    /// What it is called: `function__entry`.
    pub name: String,
    /// Where the instruction lies in the file.
    pub offset: u64,
    /// Where the file has the counter of those who listen, if the program looks at one.
    pub semaphore: Option<u64>,
    /// Where its arguments are, or why that is not understood.
    pub arguments: Vec<Result<Argument, String>>,
}

/// Where an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Two's complement.
    pub signed: bool,
    /// Where.
    pub operand: Operand,
}

/// An operand of an instruction. Registers have the names that the kernel's `struct pt_regs` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A number.
    Constant(i64),
    /// A register, or a part of one.
    Register {
        /// Which.
        register: &'static str,
        /// The bit of it that is the argument's first: 8 for `%ah` and its like.
        shift: u8,
    },
    /// In memory, at the sum of all of these.
    Memory {
        /// A register.
        base: Option<&'static str>,
        /// A register, and what it is multiplied by.
        index: Option<(&'static str, u8)>,
        /// Bytes.
        offset: i64,
    },
}

/// The markers of a file, by provider and name. The error is what is wrong with the file.
pub fn read(file: &File) -> Result<Vec<Marker>, String> {
    read_from(&Bytes::new(file))
}

/// Whether a script's path means any number of files.
pub fn is_pattern(path: &str) -> bool {
    path.is_empty() || path.contains('*')
}

/// Whether a pattern of that kind, or a path, means a file.
pub fn is_meant(pattern: &str, file: &str) -> bool {
    pattern.is_empty() || matches(pattern, file)
}

/// A note as it is.
struct Note<'d> {
    place: u64,
    base: u64,
    semaphore: u64,
    provider: &'d str,
    name: &'d str,
    arguments: &'d str,
}

/// The same from anything that can be read.
pub fn read_from<'d, R: ReadRef<'d>>(data: R) -> Result<Vec<Marker>, String> {
    let (header, endian) = symbols::header(data)?;
    let sections = header.sections(endian, data).map_err(malformed)?;
    let (mut notes, mut base) = (Vec::new(), None);
    for section in sections.iter() {
        match sections.section_name(endian, section) {
            Ok(b".stapsdt.base") => base = Some(section.sh_addr(endian)),
            Ok(b".note.stapsdt") => {
                let Some(mut found) = section.notes(endian, data).map_err(malformed)? else { continue };
                while let Some(note) = found.next().map_err(malformed)? {
                    if note.name() == OWNER && note.n_type(endian) == KIND {
                        if notes.len() == MOST_NOTES {
                            return Err(format!("it has more than {MOST_NOTES} places of probes"));
                        }
                        notes.push(parse(note.desc()).ok_or("a note of its probes is cut off or is not text")?);
                    }
                }
            }
            _ => {}
        }
    }

    let parsed: Vec<Vec<Result<Parsed<'_>, String>>> = notes
        .iter()
        .map(|note| operand::split(note.arguments).take(MOST_ARGUMENTS).map(operand::parse).collect())
        .collect();
    let wanted: BTreeSet<&str> = parsed.iter().flatten().flatten().filter_map(|parsed| parsed.symbol).collect();
    let symbols = symbols::addresses(&sections, endian, data, &wanted)?;

    // A file offset for an address: of code for the probe, of data for its semaphore.
    let segments = symbols::segments(header, endian, data)?;
    let in_file = |address: u64, code: bool| {
        let mut loaded = segments.iter().filter(|segment| {
            let is_code = segment.p_flags(endian) & elf::PF_X != 0;
            segment.p_type(endian) == elf::PT_LOAD && is_code == code
        });
        loaded.find_map(|segment| {
            let distance = address.checked_sub(segment.p_vaddr(endian))?;
            (distance < segment.p_filesz(endian)).then(|| segment.p_offset(endian).checked_add(distance))?
        })
    };
    let markers = notes.iter().zip(parsed).map(|(note, arguments)| {
        // How far the file was moved since the note was written.
        let moved = base.map_or(0, |base| base.wrapping_sub(note.base));
        let place = note.place.wrapping_add(moved);
        let wrong = |what: &str| format!("{}:{} has {what}", note.provider, note.name);
        let semaphore = match note.semaphore {
            0 => None,
            address => {
                let at = in_file(address.wrapping_add(moved), false);
                Some(at.ok_or_else(|| wrong("a semaphore outside of the file's data"))?)
            }
        };
        let place_of = |symbol: &str| symbols.get(symbol).map(|symbol| symbol.address.wrapping_sub(place) as i64);
        Ok(Marker {
            provider: note.provider.to_owned(),
            name: note.name.to_owned(),
            offset: in_file(place, true).ok_or_else(|| wrong("a place outside of the file's code"))?,
            semaphore,
            arguments: arguments.into_iter().map(|parsed| parsed?.resolve(place_of)).collect(),
        })
    });
    let mut markers = markers.collect::<Result<Vec<Marker>, String>>()?;
    markers.sort_by(|a, b| (&a.provider, &a.name, a.offset).cmp(&(&b.provider, &b.name, b.offset)));
    Ok(markers)
}

/// Three addresses and three texts, each text ended by NUL.
fn parse(note: &[u8]) -> Option<Note<'_>> {
    let (addresses, texts) = note.split_at_checked(24)?;
    let mut addresses = addresses.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let mut rest = texts;
    let mut text = || {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let text = str::from_utf8(&rest[..end]).ok().filter(|text| !text.contains(char::is_control))?;
        rest = &rest[end + 1..];
        Some(text)
    };
    Some(Note {
        place: addresses.next()?,
        base: addresses.next()?,
        semaphore: addresses.next()?,
        provider: text().filter(|text| !text.is_empty())?,
        name: text().filter(|text| !text.is_empty())?,
        arguments: text()?,
    })
}

#[cfg(test)]
mod tests;
