//! Addresses of a file → the functions there: by the file's own symbols, and by those that were put elsewhere when it was
//! stripped.

use std::fs::File;
use std::ops::Range;

use object::read::ReadRef;
use object::read::elf::FileHeader;

use super::bytes::Bytes;
use super::{Segment, debug, symbols};

/// The functions of a file, by where they are.
#[derive(Debug, Default)]
pub struct Naming {
    functions: Vec<Named>,
    /// The names, one after the other.
    names: String,
    code: Vec<Segment>,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    address: u64,
    /// Bytes; 0: up to the next one.
    size: u64,
    name: Range<u32>,
}

impl Naming {
    /// Reads all symbols of a file, and of the one with its debugging information. A file that is not what it should be has
    /// none.
    pub fn read(file: &File, separate: Option<&File>) -> Self {
        let mut naming = Self::default();
        let data = Bytes::new(file);
        if naming.add(&data).is_err() {
            return Self::default();
        }
        let code = std::mem::take(&mut naming.code);
        // What is wrong with the others leaves the file's own.
        if let Some(other) = separate {
            let _ = naming.add(&Bytes::new(other));
        }
        if let Some(other) = debug::embedded(&data) {
            let _ = naming.add(&*other);
        }
        naming.code = code;
        naming.sort();
        naming
    }

    fn add<'d, R: ReadRef<'d>>(&mut self, data: R) -> Result<(), String> {
        let (header, endian) = symbols::header(data)?;
        self.code = symbols::code(symbols::segments(header, endian, data)?, endian);
        let sections = header.sections(endian, data).map_err(symbols::malformed)?;
        symbols::each(&sections, endian, data, |symbol| {
            // Those for the dynamic linker are few: what is behind one without a size is most likely something else.
            let size = if symbol.dynamic { symbol.size.max(1) } else { symbol.size };
            let start = self.names.len();
            let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(start + symbol.name.len())) else { return };
            if symbol.is_function() {
                self.names.push_str(symbol.name);
                self.functions.push(Named { address: symbol.address, size, name: start..end });
            }
        })
    }

    /// By their addresses. Of several in one place it is the longest that it is named by, and then the one for everybody:
    /// `malloc`, not `__libc_malloc`.
    fn sort(&mut self) {
        let Self { functions, names, .. } = self;
        let name = |function: &Named| &names[function.name.start as usize..function.name.end as usize];
        let underscores = |function: &Named| name(function).bytes().take_while(|&byte| byte == b'_').count();
        functions.sort_by(|a, b| {
            let place = a.address.cmp(&b.address).then(b.size.cmp(&a.size));
            place.then_with(|| underscores(a).cmp(&underscores(b))).then_with(|| name(a).cmp(name(b)))
        });
        functions.dedup_by(|a, b| a.address == b.address);
    }

    /// The address of a place in the file, before it is moved anywhere.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let inside = |segment: &&Segment| offset.checked_sub(segment.offset).is_some_and(|at| at < segment.size);
        let segment = self.code.iter().find(inside)?;
        segment.address.checked_add(offset - segment.offset)
    }

    /// The function that an address lies in, and how far behind its beginning.
    pub fn function(&self, address: u64) -> Option<(&str, u64)> {
        let behind = self.functions.partition_point(|function| function.address <= address);
        let function = &self.functions[behind.checked_sub(1)?];
        let offset = address - function.address;
        let name = &self.names[function.name.start as usize..function.name.end as usize];
        (function.size == 0 || offset < function.size).then_some((name, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::super::code_offset;
    use super::*;

    fn naming(functions: &[(u64, u64, &str)]) -> Naming {
        let mut naming = Naming::default();
        for &(address, size, name) in functions {
            let start = naming.names.len() as u32;
            naming.names += name;
            naming.functions.push(Named { address, size, name: start..naming.names.len() as u32 });
        }
        naming.sort();
        naming
    }

    #[test]
    fn an_address_lies_in_the_function_before_it_if_that_is_long_enough() {
        let naming = naming(&[(100, 10, "b"), (50, 20, "a"), (200, 0, "c"), (u64::MAX - 1, u64::MAX, "end")]);
        assert_eq!(naming.function(49), None);
        assert_eq!(naming.function(50), Some(("a", 0)));
        assert_eq!(naming.function(69), Some(("a", 19)));
        assert_eq!(naming.function(70), None);
        assert_eq!(naming.function(109), Some(("b", 9)));
        assert_eq!(naming.function(5000), Some(("c", 4800)), "one without a size goes on to the next");
        assert_eq!(naming.function(u64::MAX), Some(("end", 1)), "a size that goes round is no matter");
    }

    #[test]
    fn of_several_names_of_a_place_the_one_for_everybody_is_taken() {
        let naming = naming(&[(8, 4, "__libc_malloc"), (8, 4, "malloc"), (8, 4, "_malloc"), (8, 2, "short")]);
        assert_eq!(naming.function(9), Some(("malloc", 1)));
    }

    #[test]
    fn functions_of_this_program_are_named_by_their_places() {
        let file = File::open("/proc/self/exe").expect("it runs");
        let naming = Naming::read(&file, None);
        let binary = symbols::read(&file, false).expect("a program");
        let main = binary.function("main").expect("a symbol");
        let offset = binary.offset(main.address).expect("code");
        let address = naming.address(offset).expect("code");
        assert_eq!(naming.function(address), Some(("main", 0)));
        assert_eq!(code_offset(&naming.code, address), Some(offset));
    }
}
