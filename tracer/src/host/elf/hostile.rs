//! A real file, changed in the ways that somebody who means harm would: all that reads files must stand it. What they make
//! of such a file is nobody's business, as long as they come to an end, in bounded memory, and without a panic.

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, memfd_create};

use super::*;

/// See `hostile/small.c`.
const SMALL: &[u8] = include_bytes!("hostile/small.elf");

/// Where its sections' headers begin, and how many there are; the same of its program headers.
const SECTIONS: (usize, usize) = (0x2c08, 21);
const SEGMENTS: (usize, usize) = (64, 6);

/// Parts of it that are read with care: their places and sizes.
const PARTS: [(usize, usize); 9] = [
    (0, 64),         // the header
    (0x190, 0x24),   // the note of its build
    (0x203c, 0xb0),  // notes of probes
    (0x211c, 0x13d), // .debug_info
    (0x2259, 0xe8),  // .debug_abbrev
    (0x2341, 0x95),  // .debug_line
    (0x24f8, 0x17),  // .debug_rnglists
    (0x250f, 0x4bc), // the file that is packed into it
    (0x29d0, 0x145), // symbols and their names
];

fn file(bytes: &[u8]) -> File {
    use std::io::Write;
    let mut file = File::from(memfd_create("small", MemfdFlags::CLOEXEC).expect("memory"));
    file.write_all(bytes).expect("there is room");
    file
}

/// All that reads it.
fn read_all(bytes: &[u8]) {
    let file = file(bytes);
    let binary = symbols::read(&file, true);
    let _ = (usdt::read(&file), build_id(&file));
    let wanted = BTreeSet::from(["counter", "four_times"]);
    let _ = addresses_of(&file, &wanted, &Root::Own);
    for function in binary.iter().flat_map(|binary| &binary.functions) {
        let _ = boundaries::instructions(&file, function.address, function);
    }
    let naming = Naming::read(&file, None);
    let mut lines = Lines::read(&file, None);
    for address in (0x401000..0x401048).chain([0, u64::MAX]) {
        let _ = (naming.address(address - address.min(0x400000)), naming.function(address));
        let _ = lines.as_mut().map(|lines| lines.frames(address));
    }
    let mut binary = Binary::default();
    debug::add_functions(&mut binary, &file, true, &Root::Own);
}

#[test]
fn all_that_is_in_it_is_found_when_nobody_has_changed_it() {
    let file = file(SMALL);
    let binary = symbols::read(&file, false).expect("a program");
    let names: Vec<&str> = binary.functions.iter().map(|function| &*function.name).collect();
    assert_eq!(names, ["_start", "four_times"]);
    assert_eq!(binary.build_id.len(), 20);
    let markers = usdt::read(&file).expect("it has probes");
    let offsets: Vec<u64> = markers.iter().map(|marker| marker.offset).collect();
    assert_eq!((offsets, markers[0].semaphore), (vec![0x1000, 0x100c], Some(0x2010)));
    let counter = addresses_of(&file, &BTreeSet::from(["counter"]), &Root::Own).expect("it has symbols");
    assert_eq!(counter["counter"], Address { address: 0x403008, size: 8 });
    let packed = debug::embedded(&Bytes::new(&file)).expect("a file is packed into it");
    assert_eq!(symbols::read_from(&*packed, false).map(|binary| binary.functions), Ok(binary.functions));

    let mut lines = Lines::read(&file, None).expect("it has lines");
    let frame = |function: &str, line: u32| Frame {
        function: Some(function.to_owned()),
        place: Some(format!("/src/small.c:{line}")),
    };
    // As addr2line(1) has it: the second `nop` is of the outer one of two calls that are written in one line.
    assert_eq!(lines.frames(0x40100c), [frame("twice", 12), frame("four_times", 26)]);
    assert_eq!(lines.frames(0x401027), [frame("_start", 30)]);
}

#[test]
fn a_file_cut_off_anywhere_is_read_without_harm() {
    for length in (0..SMALL.len()).step_by(7) {
        read_all(&SMALL[..length]);
    }
}

/// A number that somebody would put where a size, a place or a count is.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(i64::MAX as u64),
        Just(u64::from(u32::MAX)),
        (0..64u32).prop_map(|bit| 1 << bit),
        0..SMALL.len() as u64,
        any::<u64>(),
    ]
}

/// Where something is changed: a field of a header, or any place of a part.
fn place() -> impl Strategy<Value = usize> {
    let part = |(start, size): (usize, usize)| (start..start + size).boxed();
    prop_oneof![
        (0..SECTIONS.1, 0..16usize).prop_map(|(header, field)| SECTIONS.0 + header * 64 + field * 4),
        (0..SEGMENTS.1, 0..14usize).prop_map(|(header, field)| SEGMENTS.0 + header * 56 + field * 4),
        proptest::strategy::Union::new(PARTS.map(part)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_that_somebody_has_changed_is_read_without_harm(
        changes in prop::collection::vec((place(), number(), 1..9usize), 1..4),
        cut in prop::option::weighted(0.1, 0..SMALL.len()),
    ) {
        let mut bytes = SMALL.to_vec();
        for (at, number, size) in changes {
            let end = (at + size).min(bytes.len());
            bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
        }
        bytes.truncate(cut.unwrap_or(SMALL.len()));
        read_all(&bytes);
    }
}
