//! The kernel's functions: /proc/kallsyms.

use std::collections::BTreeMap;
use std::fs;

use super::Symbol;

/// The addresses of these symbols; none where the kernel does not show us addresses.
pub fn addresses(names: &[String]) -> BTreeMap<String, u64> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    parse_addresses(&fs::read_to_string(KALLSYMS).unwrap_or_default(), names)
}

fn parse_addresses(text: &str, names: &[String]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut shown = false;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        shown |= address >> 32 != 0;
        // The kernel's own come before those of modules.
        if names.iter().any(|wanted| wanted == name) {
            found.entry(name.to_owned()).or_insert(address);
        }
    }
    if shown { found } else { BTreeMap::new() }
}

/// Functions by their addresses; none where the kernel does not show us addresses.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Sorted by address; of several at one address, the last is the one that counts.
    functions: Vec<Function>,
    /// All names, one behind the other.
    names: String,
    /// The names of modules.
    modules: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Function {
    address: u64,
    /// Where in `names` its name begins.
    name: u32,
    length: u16,
    /// Which of `modules` it lies in; 0: none.
    module: u16,
}

/// Where the kernel lists its symbols.
const KALLSYMS: &str = "/proc/kallsyms";

impl Kernel {
    /// Those of the running kernel. Without CAP_SYSLOG all addresses are shown as 0, and there are none.
    pub fn read() -> Self {
        Self::parse(&fs::read_to_string(KALLSYMS).unwrap_or_default())
    }

    /// Lines of `address type name`, and `[module]` where it lies in one.
    fn parse(text: &str) -> Self {
        let mut kernel = Self { modules: vec![String::new()], ..Self::default() };
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            // Functions, weak ones included; not data.
            if !matches!(kind, "t" | "T" | "w" | "W") {
                continue;
            }
            let Some(address) = u64::from_str_radix(address, 16).ok().filter(|&address| address != 0) else { continue };
            let module = fields.next().map_or(0, |module| kernel.module_index(module.trim_matches(['[', ']'])));
            let start = kernel.names.len() as u32;
            kernel.names.push_str(name);
            kernel.functions.push(Function { address, name: start, length: name.len() as u16, module });
        }
        kernel.functions.sort_by_key(|function| function.address);
        kernel
    }

    fn module_index(&mut self, name: &str) -> u16 {
        let at = self.modules.iter().rposition(|known| known == name).unwrap_or_else(|| {
            self.modules.push(name.to_owned());
            self.modules.len() - 1
        });
        at as u16
    }

    /// Whether no address is known.
    pub fn is_hidden(&self) -> bool {
        self.functions.is_empty()
    }

    fn function(&self, address: u64) -> Option<&Function> {
        let at = self.functions.partition_point(|function| function.address <= address).checked_sub(1)?;
        self.functions.get(at)
    }

    /// The function that an address lies in, or behind.
    pub fn symbol(&self, address: u64) -> Option<Symbol> {
        let function = self.function(address)?;
        let name = &self.names[function.name as usize..][..function.length.into()];
        Some(Symbol { name: name.to_owned(), offset: address - function.address })
    }

    /// The module that an address lies in.
    pub fn module(&self, address: u64) -> Option<String> {
        let module = self.function(address)?.module;
        (module != 0).then(|| self.modules[usize::from(module)].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\nffffffff81000000 T _text\n\
                        ffffffff81000200 t reader\nffffffff81000100 D data\nffffffffc0000010 t probe\t[mod]\n";

    #[test]
    fn an_address_lies_in_the_function_before_it() {
        let kernel = Kernel::parse(TEXT);
        let name = |address| kernel.symbol(address).map(|symbol| format!("{}+{}", symbol.name, symbol.offset));
        assert_eq!(name(0xffff_ffff_8100_0000).as_deref(), Some("_text+0"), "the last of several");
        assert_eq!(name(0xffff_ffff_8100_0150).as_deref(), Some("_text+336"), "data is no function");
        assert_eq!(name(0xffff_ffff_8100_0203).as_deref(), Some("reader+3"));
        assert_eq!(name(5), None);
        assert_eq!(kernel.module(0xffff_ffff_8100_0203), None);
        assert_eq!(kernel.module(0xffff_ffff_c000_0011).as_deref(), Some("mod"));
    }

    #[test]
    fn addresses_that_are_hidden_are_no_addresses() {
        let kernel = Kernel::parse("0000000000000000 T _stext\n0000000000000000 t reader\n");
        assert!(kernel.is_hidden());
        assert_eq!(kernel.symbol(0xffff_ffff_8100_0000), None);
    }
}
