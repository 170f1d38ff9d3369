//! The sections of a file with debugging information, read into memory within a bound.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use object::elf;
use object::read::elf::{CompressionHeader, FileHeader, SectionHeader};

use crate::host::elf::bytes::Bytes;
use crate::host::elf::symbols;

/// Most bytes of all of them.
const MOST: usize = 512 << 20;

/// By their names.
pub type Sections = HashMap<&'static str, Rc<[u8]>>;

/// Those that lines and names of functions are in.
const WANTED: [&str; 10] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_types",
];

/// Those of a file, if it has any; with one that is too large, or compressed in a way that is not known, it has none.
pub fn read(file: &File) -> Option<Sections> {
    let data = Bytes::new(file);
    let (header, endian) = symbols::header(&data).ok()?;
    let table = header.sections(endian, &data).ok()?;
    let mut sections = Sections::new();
    let mut left = MOST;
    for section in table.iter() {
        let name = table.section_name(endian, section).ok()?;
        let Some(name) = WANTED.into_iter().find(|wanted| wanted.as_bytes() == name) else { continue };
        let Some((offset, size)) = section.file_range(endian) else { continue };
        let bytes = piece(file, offset, size, &mut left)?;
        let bytes = if section.sh_flags(endian) & u64::from(elf::SHF_COMPRESSED) == 0 {
            bytes
        } else {
            let (header, compressed) = object::pod::from_bytes::<elf::CompressionHeader64<_>>(&bytes).ok()?;
            if header.ch_type(endian) != elf::ELFCOMPRESS_ZLIB {
                return None;
            }
            let plain = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(compressed, left).ok()?;
            left -= plain.len();
            plain
        };
        sections.insert(name, bytes.into());
    }
    sections.contains_key(".debug_info").then_some(sections)
}

fn piece(file: &File, offset: u64, size: u64, left: &mut usize) -> Option<Vec<u8>> {
    let size = usize::try_from(size).ok()?;
    *left = left.checked_sub(size)?;
    // A file that claims more than it has is not made room for.
    (offset.checked_add(size as u64)? <= file.metadata().ok()?.len()).then_some(())?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
