//! Functions that a stripped file does not name itself: from a separate file with debugging information of the same build,
//! and from the small one that Fedora's packages and their like carry inside, compressed (`.gnu_debugdata`).

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use object::Endianness;
use object::elf::FileHeader64;
use object::read::ReadRef;
use object::read::elf::{FileHeader, SectionHeader};
use xz4rust::{XzDecoder, XzReader};

use super::bytes::Bytes;
use super::open::{self, Root};
use super::{Binary, Function, symbols};

/// Most bytes of a file inside of a file, and of what its decompression may look back on.
const MOST: usize = 64 << 20;

/// Adds the functions that are named elsewhere.
pub fn add_functions(binary: &mut Binary, file: &File, demangled: bool, root: &Root) {
    let separate = separate(&binary.build_id, root).and_then(|file| symbols::read(&file, demangled).ok());
    let embedded = embedded(&Bytes::new(file)).and_then(|bytes| symbols::read_from(&*bytes, demangled).ok());
    for other in [separate, embedded].into_iter().flatten() {
        let new = other.functions.into_iter().filter(|function| binary.function(&function.name).is_none());
        let new: Vec<Function> = new.collect();
        binary.functions.extend(new);
        binary.functions.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// The file with debugging information of the same build, where packages put it.
pub fn separate(build_id: &[u8], root: &Root) -> Option<File> {
    let [first, rest @ ..] = build_id else { return None };
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = PathBuf::from(format!("/usr/lib/debug/.build-id/{first:02x}/{rest}.debug"));
    // Most programs have none, and one that cannot be read tells as much.
    let file = open::open(&path, root).ok()?;
    (super::build_id(&file).as_deref() == Some(build_id)).then_some(file)
}

/// The file inside of a file, if there is one that can be read.
pub fn embedded<'d, R: ReadRef<'d>>(data: R) -> Option<Vec<u8>> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (_, section) = sections.section_by_name(endian, b".gnu_debugdata")?;
    decompress(section.data(endian, data).ok()?)
}

/// What xz(1) has compressed, if it is whole and not too large.
fn decompress(compressed: &[u8]) -> Option<Vec<u8>> {
    let decoder = XzDecoder::in_heap_with_alloc_dict_size(1 << 16, MOST);
    let source = std::io::Cursor::new(compressed.to_vec());
    let reader = XzReader::new_with_buffer_size_and_decoder(source, NonZeroUsize::new(1 << 16)?, decoder);
    let mut bytes = Vec::new();
    reader.take(MOST as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= MOST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use object::write::Object;
    use object::{Architecture, BinaryFormat, SectionKind};

    use super::*;

    /// `printf 'what is inside' | xz -9`
    const COMPRESSED: &[u8] = include_bytes!("debug/inside.xz");

    fn file(inside: &[u8]) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, object::Endianness::Little);
        let section = object.add_section(Vec::new(), b".gnu_debugdata".to_vec(), SectionKind::Other);
        object.append_section_data(section, inside, 1);
        object.write().expect("a small file")
    }

    #[test]
    fn what_is_inside_of_a_file_is_decompressed() {
        assert_eq!(embedded(&*file(COMPRESSED)).expect("it is whole"), b"what is inside");
    }

    #[test]
    fn what_is_no_compressed_file_is_left_out() {
        assert_eq!(embedded(&*file(b"nothing of the kind")), None);
        assert_eq!(embedded(&*file(&COMPRESSED[..COMPRESSED.len() - 1])), None);
        for at in 0..COMPRESSED.len() {
            let mut changed = COMPRESSED.to_vec();
            changed[at] ^= 0x55;
            assert_ne!(embedded(&*file(&changed)).as_deref(), Some(&b"what is insidf"[..]));
        }
    }
}
