//! Every form of an operand, and notes of files well made and not.

use object::write::{Object, StandardSection};
use object::{Architecture, BinaryFormat, SectionKind};

use object::Endianness;

use super::*;

fn argument(text: &str) -> Result<Argument, String> {
    operand::parse(text)?.resolve(|symbol| (symbol == "counter").then_some(0x2000))
}

fn operand_of(text: &str) -> Operand {
    argument(text).unwrap_or_else(|error| panic!("{error}")).operand
}

fn memory(base: &'static str, index: Option<(&'static str, u8)>, offset: i64) -> Operand {
    Operand::Memory { base: Some(base).filter(|base| !base.is_empty()), index, offset }
}

#[test]
fn sizes_and_signs() {
    let size = |text: String| argument(&text).map(|argument| (argument.size, argument.signed));
    for bytes in [1, 2, 4, 8] {
        assert_eq!(size(format!("{bytes}@$0")), Ok((bytes, false)));
        assert_eq!(size(format!("-{bytes}@$0")), Ok((bytes, true)));
    }
}

#[test]
fn numbers() {
    assert_eq!(operand_of("-4@$5"), Operand::Constant(5));
    assert_eq!(operand_of("-4@$-5"), Operand::Constant(-5));
    assert_eq!(operand_of("8@$0x10"), Operand::Constant(16));
    assert_eq!(operand_of("8@$18446744073709551615"), Operand::Constant(-1));
}

#[test]
fn registers_whole_and_in_part() {
    let is = |text: &str| match operand_of(text) {
        Operand::Register { register, shift } => (register, shift),
        other => panic!("{other:?}"),
    };
    for (name, known) in
        [("ax", "ax"), ("bx", "bx"), ("cx", "cx"), ("dx", "dx"), ("si", "si"), ("di", "di"), ("bp", "bp"), ("sp", "sp")]
    {
        assert_eq!(is(&format!("8@%r{name}")), (known, 0));
        assert_eq!(is(&format!("4@%e{name}")), (known, 0));
        assert_eq!(is(&format!("2@%{name}")), (known, 0));
    }
    assert_eq!(["1@%al", "1@%bl", "1@%cl", "1@%dl"].map(is), [("ax", 0), ("bx", 0), ("cx", 0), ("dx", 0)]);
    assert_eq!(["1@%ah", "1@%bh", "1@%ch", "1@%dh"].map(is), [("ax", 8), ("bx", 8), ("cx", 8), ("dx", 8)]);
    assert_eq!(["1@%sil", "1@%dil", "1@%bpl", "1@%spl"].map(is), [("si", 0), ("di", 0), ("bp", 0), ("sp", 0)]);
    assert_eq!(["8@%r8", "4@%r9d", "2@%r10w", "1@%r11b"].map(is), [("r8", 0), ("r9", 0), ("r10", 0), ("r11", 0)]);
    assert_eq!(["8@%r12", "4@%r13d", "2@%r14w", "1@%r15b"].map(is), [("r12", 0), ("r13", 0), ("r14", 0), ("r15", 0)]);
}

#[test]
fn places_in_memory() {
    assert_eq!(operand_of("8@(%rax)"), memory("ax", None, 0));
    assert_eq!(operand_of("4@-8(%rbp)"), memory("bp", None, -8));
    assert_eq!(operand_of("4@0x20(%rsp)"), memory("sp", None, 32));
    assert_eq!(operand_of("-4@8(%rax,%rbx,4)"), memory("ax", Some(("bx", 4)), 8));
    assert_eq!(operand_of("8@(%r8, %r9, 8)"), memory("r8", Some(("r9", 8)), 0));
    assert_eq!(operand_of("8@(%rax,%rbx)"), memory("ax", Some(("bx", 1)), 0));
    assert_eq!(operand_of("8@16(,%rbx,2)"), memory("", Some(("bx", 2)), 16));
}

#[test]
fn places_of_symbols_are_relative_to_the_probe() {
    assert_eq!(operand_of("4@counter(%rip)"), memory("ip", None, 0x2000));
    assert_eq!(operand_of("4@40+counter(%rip)"), memory("ip", None, 0x2028));
    assert_eq!(operand_of("4@counter+40(%rip)"), memory("ip", None, 0x2028));
    assert_eq!(operand_of("4@counter-8(%rip)"), memory("ip", None, 0x1ff8));
    assert_eq!(argument("4@other(%rip)").unwrap_err(), "the file has no symbol `other`");
}

#[test]
fn what_is_not_understood_is_refused() {
    let error = |text| argument(text).expect_err(text);
    assert_eq!(error("8f@%xmm0"), "`8f@%xmm0` is a floating-point number");
    assert_eq!(error("4f@-8(%rbp)"), "`4f@-8(%rbp)` is a floating-point number");
    assert_eq!(error("8@%xmm1"), "`8@%xmm1` is a floating-point number");
    assert_eq!(error("%rax"), "`%rax` has no size");
    assert_eq!(error("3@%rax"), "`3@%rax` has a size that no number has");
    assert_eq!(error("8@%fs:8(%rax)"), "`8@%fs:8(%rax)` is in another segment");
    assert_eq!(error("8@%cr0"), "`8@%cr0` is in a register that cannot be read");
    for text in ["8@", "8@(", "8@8(%rax", "8@$", "8@$x", "8@(%eax)", "8@(%al)", "8@(%rax,%rsp)", "8@(%rax,%rbx,3)"] {
        error(text);
    }
    for text in ["8@counter", "8@counter(%rax)", "8@(%rip)", "8@(%rax,%rbx,4,5)", "8@a+b(%rip)", "8@[rax]", "-@$1"] {
        error(text);
    }
}

#[test]
fn arguments_are_parted_at_spaces() {
    assert_eq!(operand::split(" 8@%rdi  -4@$5 ").collect::<Vec<_>>(), ["8@%rdi", "-4@$5"]);
    assert_eq!(operand::split("8@(%rax, %rbx, 4) 4@%eax").collect::<Vec<_>>(), ["8@(%rax, %rbx, 4)", "4@%eax"]);
    assert_eq!(operand::split("").count(), 0);
}

/// The descriptor of a note.
fn note(place: u64, base: u64, semaphore: u64, texts: &str) -> Vec<u8> {
    let mut bytes = b"\x08\0\0\0\0\0\0\0\x03\0\0\0stapsdt\0".to_vec();
    let description: Vec<u8> =
        [place, base, semaphore].into_iter().flat_map(u64::to_le_bytes).chain(texts.bytes()).collect();
    bytes[4..8].copy_from_slice(&(description.len() as u32).to_le_bytes());
    bytes.extend(description);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An object with a note. It has no segments, as no object has: its probes lie nowhere.
fn file(note: &[u8]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    object.append_section_data(text, &[0x90; 32], 16);
    let section = object.add_section(Vec::new(), b".note.stapsdt".to_vec(), SectionKind::Note);
    object.append_section_data(section, note, 4);
    object.write().expect("a small file")
}

#[test]
fn a_note_is_three_addresses_and_three_texts() {
    let bytes = note(0x1000, 0x3000, 0x4000, "provider\0name\x008@%rdi\0");
    let parsed = parse(&bytes[20..]).expect("it is whole");
    assert_eq!((parsed.place, parsed.base, parsed.semaphore), (0x1000, 0x3000, 0x4000));
    assert_eq!((parsed.provider, parsed.name, parsed.arguments), ("provider", "name", "8@%rdi"));
}

#[test]
fn notes_that_are_wrong_are_an_error_and_no_more() {
    let error = |note: &[u8]| read_from(&*file(note)).unwrap_err();
    assert_eq!(error(&note(0, 0, 0, "p\0n\0\0")), "p:n has a place outside of the file's code");
    assert_eq!(error(&note(0, 0, 1, "p\0n\0\0")), "p:n has a semaphore outside of the file's data");
    let cut = "a note of its probes is cut off or is not text";
    for texts in ["p\0n\0", "p\0", "", "p\0n\x008@%rdi", "\0n\0\0", "p\0\0\0", "p\x1b\0n\0\0"] {
        assert_eq!(error(&note(0, 0, 0, texts)), cut);
    }
    assert_eq!(read_from(&*file(b"")).expect("no notes"), []);
    let whole = file(&note(0, 0, 0, "p\0n\x004@x(%rip)\0"));
    for length in 0..whole.len() {
        let _ = read_from(&whole[..length]);
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            let _ = read_from(&*changed);
        }
    }
}
