//! Addresses of a file → lines of its source and the functions that the compiler has put into others there (DWARF).
//!
//! Whatever is looked at is looked at where it lies, one entry after the other; nothing is kept but where units and
//! functions are. The entries of a file may refer to one another in circles, and stand in one another a million deep, so
//! there is no recursion here, and each step is counted: a file whose entries take more than any compiler's is given up.

mod sections;

use std::collections::HashMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;

use gimli::{
    Abbreviations, Attribute, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebuggingInformationEntry, Dwarf,
    EndianRcSlice, LittleEndian, Reader, Section, Unit, UnitHeader, UnitOffset,
};

use super::symbols::demangle;

type R = EndianRcSlice<LittleEndian>;

/// Most steps in one file: entries' attributes, ranges, rows of line tables. Seconds.
const MOST_STEPS: u64 = 500_000_000;

/// Most units: a browser has half of it.
const MOST_UNITS: usize = 1 << 17;

/// Most ranges of units, and of the functions of a unit.
const MOST_SPANS: usize = 1 << 20;

/// Most bytes of the abbreviations of a unit.
const LONGEST_ABBREVIATIONS: usize = 1 << 18;

/// Most units that are kept open.
const MOST_OPEN: usize = 64;

/// Most functions inside of one another at a place.
const DEEPEST: usize = 64;

/// Most entries that lead from one to the next to say a function's name.
const LONGEST_CHAIN: usize = 8;

/// Longest name, and longest path, in bytes.
const LONGEST_TEXT: usize = 1 << 14;

/// Ranges before the nearest one that are looked at too, where they overlap.
const OVERLAPPING: usize = 16;

/// A function at a place: innermost first, they make up what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, if it has one.
    pub function: Option<String>,
    /// `file:line`, if that is known.
    pub place: Option<String>,
}

/// What a file has of debugging information.
pub struct Lines {
    dwarf: Dwarf<R>,
    /// In the order of their offsets.
    units: Vec<UnitHeader<R>>,
    spans: Vec<Span<usize>>,
    open: HashMap<usize, Rc<Open>>,
    left: u64,
}

/// A range of addresses, and what is there.
#[derive(Clone, Copy)]
struct Span<T> {
    begin: u64,
    end: u64,
    what: T,
}

/// A unit of compilation.
struct Open {
    unit: Unit<R>,
    functions: Vec<Span<UnitOffset>>,
}

/// A function in another one: its entry, and where the call of it was written.
struct Inlined {
    entry: UnitOffset,
    depth: isize,
    place: Option<String>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("units", &self.units.len()).finish_non_exhaustive()
    }
}

impl Lines {
    /// Looks what there is in the file itself, or in the one with its debugging information.
    pub fn read(file: &File, separate: Option<&File>) -> Option<Self> {
        let sections = [Some(file), separate].into_iter().flatten().find_map(sections::read)?;
        Self::from_sections(sections)
    }

    /// The same from sections by their names.
    pub fn from_sections(mut sections: sections::Sections) -> Option<Self> {
        let load = |id: gimli::SectionId| -> Result<R, gimli::Error> {
            Ok(R::new(sections.remove(id.name()).unwrap_or_else(|| Rc::new([])), LittleEndian))
        };
        let mut lines = Self {
            dwarf: Dwarf::load(load).ok()?,
            units: Vec::new(),
            spans: Vec::new(),
            open: HashMap::new(),
            left: MOST_STEPS,
        };
        let mut units = lines.dwarf.units();
        while let Ok(Some(header)) = units.next() {
            lines.units.push(header);
            if lines.units.len() == MOST_UNITS {
                break;
            }
        }
        for index in 0..lines.units.len() {
            // One that makes no sense is left out.
            let _ = lines.find_unit(index);
        }
        lines.spans.sort_by_key(|span| span.begin);
        Some(lines)
    }

    /// Whether looking has been given up.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    /// What is at an address: the functions there, innermost first, or nothing if that is not known.
    pub fn frames(&mut self, address: u64) -> Vec<Frame> {
        self.find_frames(address).unwrap_or_default()
    }

    fn pay(&mut self, steps: usize) -> Option<()> {
        let left = self.left.checked_sub(steps as u64);
        self.left = left.unwrap_or(0);
        left.map(|_| ())
    }

    /// Notes where the code of a unit is.
    fn find_unit(&mut self, index: usize) -> Option<()> {
        let unit = self.parse(index)?;
        let mut root = DebuggingInformationEntry::null();
        unit.entries_raw(None).ok()?.read_entry(&mut root).ok()?.then_some(())?;
        let mut spans = std::mem::take(&mut self.spans);
        let found = self.ranges(&unit, root.attrs(), |begin, end| {
            if spans.len() < MOST_SPANS {
                spans.push(Span { begin, end, what: index });
            }
        });
        self.spans = spans;
        found
    }

    fn parse(&mut self, index: usize) -> Option<Unit<R>> {
        let header = self.units.get(index)?.clone();
        let mut table = self.dwarf.debug_abbrev.reader().clone();
        table.skip(header.debug_abbrev_offset().0).ok()?;
        table.truncate(table.len().min(LONGEST_ABBREVIATIONS)).ok()?;
        self.pay(1 + table.len() / 64)?;
        let abbreviations: Abbreviations = DebugAbbrev::from(table).abbreviations(DebugAbbrevOffset(0)).ok()?;
        let unit = Unit::new_with_abbreviations(&self.dwarf, header, Arc::new(abbreviations)).ok()?;
        let header = unit.line_program.as_ref().map_or(0, |program| program.header().header_length());
        self.pay(header / 8)?;
        Some(unit)
    }

    /// A unit with its functions.
    fn open(&mut self, index: usize) -> Option<Rc<Open>> {
        if let Some(open) = self.open.get(&index) {
            return Some(Rc::clone(open));
        }
        let unit = self.parse(index)?;
        let mut functions = Vec::new();
        let mut entries = unit.entries_raw(None).ok()?;
        let mut entry = DebuggingInformationEntry::null();
        while !entries.is_empty() {
            // What comes after an entry that makes no sense cannot be told from its rest.
            let Ok(is_entry) = entries.read_entry(&mut entry) else { break };
            self.pay(1 + entry.attrs().len())?;
            if is_entry && entry.tag() == gimli::DW_TAG_subprogram {
                let what = entry.offset();
                self.ranges(&unit, entry.attrs(), |begin, end| {
                    if functions.len() < MOST_SPANS {
                        functions.push(Span { begin, end, what });
                    }
                })?;
            }
        }
        drop(entries);
        functions.sort_by_key(|span| span.begin);
        if self.open.len() == MOST_OPEN {
            self.open.clear();
        }
        let open = Rc::new(Open { unit, functions });
        self.open.insert(index, Rc::clone(&open));
        Some(open)
    }

    /// The ranges of an entry's code.
    fn ranges(&mut self, unit: &Unit<R>, attributes: &[Attribute<R>], mut see: impl FnMut(u64, u64)) -> Option<()> {
        let (mut low, mut high, mut size) = (None, None, None);
        for attribute in attributes {
            let address = |value| self.dwarf.attr_address(unit, value).ok().flatten();
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_low_pc, value) => low = address(value),
                (gimli::DW_AT_high_pc, AttributeValue::Udata(bytes)) => size = Some(bytes),
                (gimli::DW_AT_high_pc, value) => high = address(value),
                (gimli::DW_AT_ranges, value) => {
                    let mut ranges = self.dwarf.attr_ranges(unit, value).ok()??;
                    while let Ok(Some(range)) = ranges.next() {
                        self.pay(1)?;
                        see(range.begin, range.end);
                    }
                    return Some(());
                }
                _ => {}
            }
        }
        if let (Some(low), Some(end)) = (low, size.and_then(|size| low?.checked_add(size)).or(high)) {
            see(low, end);
        }
        Some(())
    }

    fn find_frames(&mut self, address: u64) -> Option<Vec<Frame>> {
        let index = at(&self.spans, address)?;
        let open = self.open(index)?;
        let row = self.row(&open.unit, address);
        let Some(function) = at(&open.functions, address) else {
            return Some(vec![Frame { function: None, place: row }]);
        };
        // Outermost first: where each was called is where the one around it is.
        let chain = self.inlined(&open.unit, function, address)?;
        let mut frames = Vec::new();
        let mut place = row;
        for inlined in chain.into_iter().rev() {
            frames.push(Frame { function: self.name(index, inlined.entry), place });
            place = inlined.place;
        }
        frames.push(Frame { function: self.name(index, function), place });
        Some(frames)
    }

    /// The functions that the compiler has put into another one at an address, outermost first.
    fn inlined(&mut self, unit: &Unit<R>, function: UnitOffset, address: u64) -> Option<Vec<Inlined>> {
        let mut chain: Vec<Inlined> = Vec::new();
        let mut entries = unit.entries_raw(Some(function)).ok()?;
        let mut entry = DebuggingInformationEntry::null();
        entries.read_entry(&mut entry).ok()?;
        let (outermost, mut left_out) = (entry.depth(), None);
        while entries.next_depth() > outermost && !entries.is_empty() {
            let Ok(is_entry) = entries.read_entry(&mut entry) else { break };
            self.pay(1 + entry.attrs().len())?;
            // A function that is written in this one has code of its own.
            if left_out.is_some_and(|depth| entry.depth() > depth) || !is_entry {
                continue;
            }
            left_out = (entry.tag() == gimli::DW_TAG_subprogram).then_some(entry.depth());
            let inside = chain.last().is_none_or(|last| entry.depth() > last.depth);
            if entry.tag() != gimli::DW_TAG_inlined_subroutine || !inside || chain.len() == DEEPEST {
                continue;
            }
            let mut is_here = false;
            self.ranges(unit, entry.attrs(), |begin, end| is_here |= (begin..end).contains(&address))?;
            if is_here {
                let place = call(&self.dwarf, unit, entry.attrs());
                chain.push(Inlined { entry: entry.offset(), depth: entry.depth(), place });
            }
        }
        Some(chain)
    }

    /// The line that an address is of.
    fn row(&mut self, unit: &Unit<R>, address: u64) -> Option<String> {
        let mut rows = unit.line_program.clone()?.rows();
        let mut before: Option<(u64, u64)> = None;
        loop {
            self.pay(1)?;
            let (header, row) = rows.next_row().ok()??;
            match before {
                Some((file, line)) if row.address() > address => return place(&self.dwarf, unit, header, file, line),
                _ => {}
            }
            let is_before = row.address() <= address && !row.end_sequence();
            before = is_before.then(|| (row.file_index(), row.line().map_or(0, Into::into)));
        }
    }

    /// The name of the function of an entry, as its language has it.
    fn name(&mut self, mut index: usize, mut entry: UnitOffset) -> Option<String> {
        for _ in 0..LONGEST_CHAIN {
            let open = self.open(index)?;
            let mut found = DebuggingInformationEntry::null();
            open.unit.entries_raw(Some(entry)).ok()?.read_entry(&mut found).ok()?.then_some(())?;
            self.pay(1 + found.attrs().len())?;
            let linkage = [gimli::DW_AT_linkage_name, gimli::DW_AT_MIPS_linkage_name];
            let mangled = linkage.into_iter().find_map(|name| found.attr_value(name));
            let name = |value| text(&self.dwarf, &open.unit, value);
            if let Some(name) = mangled.and_then(name) {
                return Some(demangle(&name).unwrap_or(name));
            }
            if let Some(name) = found.attr_value(gimli::DW_AT_name).and_then(name) {
                return Some(name);
            }
            let origin = found.attr_value(gimli::DW_AT_abstract_origin);
            match origin.or_else(|| found.attr_value(gimli::DW_AT_specification))? {
                AttributeValue::UnitRef(offset) => entry = offset,
                AttributeValue::DebugInfoRef(offset) => {
                    let after = self.units.partition_point(|unit| start(unit) <= offset.0);
                    index = after.checked_sub(1)?;
                    entry = offset.to_unit_offset(&self.units[index])?;
                }
                _ => return None,
            }
        }
        None
    }
}

fn start(unit: &UnitHeader<R>) -> usize {
    unit.debug_info_offset().map_or(0, |offset| offset.0)
}

/// What is at an address, of spans in the order of their beginnings.
fn at<T: Copy>(spans: &[Span<T>], address: u64) -> Option<T> {
    let behind = spans.partition_point(|span| span.begin <= address);
    spans[..behind].iter().rev().take(OVERLAPPING).find(|span| address < span.end).map(|span| span.what)
}

/// Where a function that stands in another one was called.
fn call(dwarf: &Dwarf<R>, unit: &Unit<R>, attributes: &[Attribute<R>]) -> Option<String> {
    let value = |name| attributes.iter().find(|attribute| attribute.name() == name);
    let file = match value(gimli::DW_AT_call_file)?.value() {
        AttributeValue::FileIndex(file) => file,
        other => other.udata_value()?,
    };
    let line = value(gimli::DW_AT_call_line)?.udata_value()?;
    place(dwarf, unit, unit.line_program.as_ref()?.header(), file, line)
}

/// `folder/file:line`.
fn place(
    dwarf: &Dwarf<R>,
    unit: &Unit<R>,
    header: &gimli::LineProgramHeader<R>,
    file: u64,
    line: u64,
) -> Option<String> {
    let file = header.file(file)?;
    let name = text(dwarf, unit, file.path_name())?;
    let folder = file.directory(header).and_then(|folder| text(dwarf, unit, folder)).unwrap_or_default();
    let base = unit.comp_dir.as_ref().and_then(short).unwrap_or_default();
    let path = std::path::Path::new(&base).join(folder).join(name);
    Some(format!("{}:{line}", path.display()))
}

fn text(dwarf: &Dwarf<R>, unit: &Unit<R>, value: AttributeValue<R>) -> Option<String> {
    short(&dwarf.attr_string(unit, value).ok()?)
}

/// A text that can be printed.
fn short(bytes: &R) -> Option<String> {
    let bytes: &[u8] = bytes;
    let text = str::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))?;
    (!text.is_empty() && text.len() <= LONGEST_TEXT).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
