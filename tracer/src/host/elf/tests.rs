//! Files of every kind, well made and not.

use super::*;

#[test]
fn functions_of_this_program_are_found() {
    let own = std::env::current_exe().expect("it has a path").display().to_string();
    let mention = |function: &str| Mention { path: own.clone(), wanted: Wanted::Function(function.to_owned()) };
    let (binaries, files) = look(&[mention("main+0"), mention("*::tests::*")], &Root::Own);
    let binary = binaries[&own].as_ref().expect("a program");
    assert!(files.contains_key(&own));
    let function = binary.function("main").expect("a symbol");
    assert!(function.size > 0 && !function.indirect && !binary.go);
    assert!(binary.offset(function.address).is_some());
    let starts = &binary.instructions["main"];
    assert_eq!(starts.first(), Some(&function.address));
    assert!(starts.len() > 1 && starts.len() < function.size as usize);
    let demangled = "tracer::host::elf::tests::functions_of_this_program_are_found";
    assert!(binary.functions.iter().any(|function| function.demangled.as_deref() == Some(demangled)));
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_and_no_more() {
    let whole = elf_with_functions();
    let binary = symbols::read_from(&*whole, true).expect("the whole is well made");
    let names: Vec<_> = binary.functions.iter().map(|function| function.demangled.as_deref()).collect();
    assert_eq!((names, binary.build_id), (vec![Some("one::two()"), None], vec![0xab, 0xcd]));
    for length in 0..whole.len() {
        let _ = symbols::read_from(&whole[..length], true);
    }
}

#[test]
fn a_file_with_any_byte_changed_is_an_error_and_no_more() {
    let whole = elf_with_functions();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            let _ = symbols::read_from(&*changed, true);
        }
    }
}

#[test]
fn what_is_no_program_is_named() {
    let folder = std::env::temp_dir().join(format!("ctrace-elf-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder of our own");
    let fifo = folder.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    std::fs::write(folder.join("text"), "#!/bin/sh\n").expect("a file");
    std::fs::write(folder.join("empty"), "").expect("a file");
    let error = |path: &std::path::Path| {
        let mention = Mention { path: path.display().to_string(), wanted: Wanted::Function("main".into()) };
        let (binaries, _) = look(&[mention], &Root::Own);
        let error = binaries.into_values().next().expect("one file").expect_err("not a program");
        error.replace(&folder.display().to_string(), "")
    };
    assert_eq!(error(&fifo), "/fifo is a FIFO, not a file with a program");
    assert_eq!(error(&folder), " is a directory, not a file with a program");
    assert_eq!(error(&folder.join("empty")), "/empty is empty, not a file with a program");
    assert_eq!(
        error(&folder.join("text")),
        "/text is not a program or library for this machine: it is not a 64-bit ELF file"
    );
    assert_eq!(error(&folder.join("none")), "cannot open /none: No such file or directory (os error 2)");
    assert_eq!(error("/dev/null".as_ref()), "/dev/null is a device, not a file with a program");
    assert_eq!(error("/proc/self/maps".as_ref()), "/proc/self/maps is empty, not a file with a program");
    std::fs::remove_dir_all(&folder).expect("it was ours");
}

/// A small library, of two functions.
fn elf_with_functions() -> Vec<u8> {
    use object::write::{Object, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(object::write::StandardSection::Text);
    for (name, value) in [("_ZN3one3twoEv", 16), ("three", 32)] {
        object.append_section_data(text, &[0x90; 32], 16);
        object.add_symbol(Symbol {
            name: name.into(),
            value,
            size: 16,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(text),
            flags: SymbolFlags::None,
        });
    }
    let note = object.add_section(Vec::new(), b".note.gnu.build-id".to_vec(), object::SectionKind::Note);
    object.append_section_data(note, b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\xcd\0\0", 4);
    object.write().expect("a small file")
}

#[test]
fn a_file_that_is_cut_off_while_its_symbols_are_read_has_fewer_and_no_more() {
    let path = std::env::temp_dir().join(format!("ctrace-cut-{}", std::process::id()));
    let whole = std::fs::read("/proc/self/exe").expect("this program");
    std::fs::write(&path, &whole).expect("a copy of our own");
    let file = File::open(&path).expect("it is there");
    std::fs::remove_file(&path).expect("it was ours");
    let writer = File::options().write(true).open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
    let writer = writer.expect("it can be written to");
    let main = |naming: &Naming, address| naming.function(address).map(|(name, _)| name.to_owned());
    let address = symbols::read(&file, false).expect("a program").function("main").expect("a symbol").address;
    assert_eq!(main(&Naming::read(&file, None), address).as_deref(), Some("main"));
    // Someone cuts it off, again and again, at places that grow smaller.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in (1..64).rev() {
                writer.set_len(whole.len() as u64 * part / 64).expect("it is ours");
            }
        });
        for _ in 0..2 {
            let _ = (Naming::read(&file, None), usdt::read(&file), symbols::read(&file, true));
        }
    });
    assert_eq!(main(&Naming::read(&file, None), address), None, "its symbols are gone");
}
