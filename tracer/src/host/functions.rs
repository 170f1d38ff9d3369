//! The functions of the kernel that a script's probes may be at.
//!
//! In: what a script names, and the kernel's types. Out: [`Function`]s. ftrace's own list says which functions can be
//! probed; where it cannot be read, as in a container, the kernel's symbols do, which everybody may see without their
//! addresses. The symbols that are known not to be functions that are called are left out; what the kernel refuses in
//! spite of that is found when it is attached to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::ops::Range;

use super::btf::{Btf, TypeId};
use super::names::matches;

/// Where ftrace lists what it can be attached to.
const TRACEABLE: [&str; 2] =
    ["/sys/kernel/tracing/available_filter_functions", "/sys/kernel/debug/tracing/available_filter_functions"];

/// All symbols of the kernel.
const SYMBOLS: &str = "/proc/kallsyms";

/// The kernel itself, where a module is named.
pub const VMLINUX: &str = "vmlinux";

/// What a script wants to know of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The module, in which `*` stands for any text; `None` where the script names none.
    pub module: Option<String>,
    /// The function, in which `*` stands for any text.
    pub function: String,
}

/// A function of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// Its symbol.
    pub name: String,
    /// The module that it is in; `None` for the kernel itself.
    pub module: Option<String>,
    /// Its type, if the kernel describes it (BTF).
    pub ty: Option<TypeId>,
}

impl Function {
    /// The module's name, `vmlinux` for the kernel itself.
    pub fn module(&self) -> &str {
        self.module.as_deref().unwrap_or(VMLINUX)
    }
}

impl Mention {
    /// Whether a function is meant.
    pub fn means(&self, name: &str, module: Option<&str>) -> bool {
        matches(&self.function, name)
            && self.module.as_deref().is_none_or(|wanted| matches(wanted, module.unwrap_or(VMLINUX)))
    }

    /// Whether it can only be this one function of the kernel itself.
    fn is_exact(&self) -> bool {
        !self.function.contains('*') && self.module.as_deref().is_none_or(|module| module == VMLINUX)
    }
}

/// The functions that are meant, sorted by name, each once.
pub fn look(mentions: &[Mention], types: Option<&Btf>) -> Vec<Function> {
    let mut found = BTreeSet::new();
    // Lists are long: what the kernel's types tell needs none.
    let has_type = |name: &str| types.is_some_and(|types| types.function(name).is_ok());
    let (known, mut unknown): (Vec<&Mention>, Vec<&Mention>) =
        mentions.iter().partition(|mention| mention.is_exact() && has_type(&mention.function));
    found.extend(known.iter().map(|mention| Function { name: mention.function.clone(), module: None, ty: None }));

    let mut add = |unknown: &mut Vec<&Mention>, functions: Vec<Function>| {
        let meant = |mention: &Mention, function: &Function| mention.means(&function.name, function.module.as_deref());
        let met: Vec<bool> =
            unknown.iter().map(|mention| functions.iter().any(|function| meant(mention, function))).collect();
        found.extend(functions.into_iter().filter(|function| unknown.iter().any(|mention| meant(mention, function))));
        let mut met = met.into_iter();
        unknown.retain(|_| met.next() == Some(false));
    };
    if !unknown.is_empty() {
        add(&mut unknown, probeable(types));
    }
    // One that ftrace does not know can be probed by a breakpoint, if it is named.
    unknown.retain(|mention| mention.is_exact());
    if !unknown.is_empty() {
        add(&mut unknown, fs::read_to_string(SYMBOLS).map(|text| symbols(&text)).unwrap_or_default());
    }
    describe(found.into_iter().collect(), types)
}

/// The same with their types, as far as the kernel describes them.
fn describe(mut functions: Vec<Function>, types: Option<&Btf>) -> Vec<Function> {
    let Some(types) = types else { return functions };
    let known: HashMap<&str, TypeId> = if functions.is_empty() { HashMap::new() } else { types.functions().collect() };
    for function in functions.iter_mut().filter(|function| function.module.is_none()) {
        function.ty = known.get(function.name.as_str()).copied();
    }
    functions
}

/// All functions of the kernel that can be probed and are described, sorted by name.
pub fn described(types: &Btf) -> Vec<Function> {
    let mut functions = describe(probeable(Some(types)), Some(types));
    functions.retain(|function| function.ty.is_some());
    functions.sort_unstable();
    functions.dedup();
    functions
}

/// All functions that can be probed, as far as that can be told from here.
pub fn probeable(types: Option<&Btf>) -> Vec<Function> {
    if let Some(text) = TRACEABLE.iter().find_map(|path| fs::read_to_string(path).ok()) {
        return traceable(&text);
    }
    let names: Option<HashSet<&str>> = types.map(|types| types.functions().map(|(name, _)| name).collect());
    // Clones of a function have a dot in their names, and no type of their own.
    let is_called = |function: &Function| {
        let typed = names.as_ref().is_none_or(|names| names.contains(function.name.as_str()));
        function.module.is_some() || typed || function.name.contains('.')
    };
    let mut functions = fs::read_to_string(SYMBOLS).map(|text| symbols(&text)).unwrap_or_default();
    functions.retain(is_called);
    functions
}

/// ftrace's list: `NAME` or `NAME [MODULE]` a line.
fn traceable(text: &str) -> Vec<Function> {
    text.lines().filter(|line| !line.starts_with("__ftrace_invalid_address___")).map(named).collect()
}

/// The functions among the kernel's symbols: `ADDRESS TYPE NAME` and, of a module, `[MODULE]` a line.
fn symbols(text: &str) -> Vec<Function> {
    let gone = init_code(text);
    let function = |line: &str| {
        let (address, line) = line.split_once(' ')?;
        let (kind, line) = line.split_once(' ')?;
        if !matches!(kind, "t" | "T" | "w" | "W") {
            return None;
        }
        if !gone.is_empty() && u64::from_str_radix(address, 16).is_ok_and(|address| gone.contains(&address)) {
            return None;
        }
        let function = named(&line.replace('\t', " "));
        // What is generated at run time has no module of its own; the rest is padding, cold parts and data among code.
        let generated =
            function.module.as_deref().is_some_and(|module| module == "bpf" || module.starts_with("__builtin"));
        let prefixes = ["__pfx_", "__cfi_", "__SCT__", "__SCK__", "__initstub__", "__ksymtab"];
        let none = prefixes.iter().any(|prefix| function.name.starts_with(prefix))
            || function.name.ends_with(".cold")
            || function.name.contains(".cold.");
        (!generated && !none).then_some(function)
    };
    text.lines().filter_map(function).collect()
}

/// Where the code lay that the kernel frees once it has started: its symbols stay in the list, and one of them spoils a
/// link to many functions. Empty where the list shows no addresses.
fn init_code(text: &str) -> Range<u64> {
    let address = |name: &str| {
        let line = text.lines().find(|line| line.ends_with(name))?;
        u64::from_str_radix(line.split_once(' ')?.0, 16).ok()
    };
    match (address(" T _sinittext"), address(" T _einittext")) {
        (Some(start), Some(end)) => start..end,
        _ => 0..0,
    }
}

/// `NAME` or `NAME [MODULE]`.
fn named(line: &str) -> Function {
    match line.split_once(' ') {
        None => Function { name: line.to_owned(), module: None, ty: None },
        Some((name, module)) => {
            let module = module.trim().trim_start_matches('[').trim_end_matches(']');
            Function { name: name.to_owned(), module: Some(module.to_owned()), ty: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, module: Option<&str>) -> Function {
        Function { name: name.to_owned(), module: module.map(str::to_owned), ty: None }
    }

    #[test]
    fn ftraces_list_names_functions_and_modules() {
        let text = "do_one_initcall\n__ftrace_invalid_address___16\ndummy_xmit [dummy]\n";
        assert_eq!(traceable(text), [function("do_one_initcall", None), function("dummy_xmit", Some("dummy"))]);
    }

    #[test]
    fn symbols_that_are_no_functions_are_left_out() {
        let text = "\
0000000000000000 T vfs_read
0000000000000000 t __pfx_vfs_read
0000000000000000 t vfs_read.cold
0000000000000000 D jiffies
0000000000000000 t tcp_ack.isra.0
0000000000000000 t dummy_xmit\t[dummy]
0000000000000000 t bpf_prog_6deef7357e7b4530\t[bpf]
";
        let expected =
            [function("vfs_read", None), function("tcp_ack.isra.0", None), function("dummy_xmit", Some("dummy"))];
        assert_eq!(symbols(text), expected);
    }

    #[test]
    fn functions_that_only_start_the_kernel_are_gone() {
        let text = "\
ffffffff81000000 T tcp_sendmsg
ffffffff83783000 T _sinittext
ffffffff83783000 t tcp_init
ffffffff837f8900 t tcp_congestion_default
ffffffff837f8910 T _einittext
ffffffffc0000000 t tcp_diag_dump\t[tcp_diag]
";
        let names: Vec<String> = symbols(text).into_iter().map(|function| function.name).collect();
        assert_eq!(names, ["tcp_sendmsg", "_einittext", "tcp_diag_dump"]);
    }

    /// Without CAP_SYSLOG all addresses are 0, which are nobody's.
    #[test]
    fn where_addresses_are_hidden_nothing_is_taken_for_gone() {
        let text = "0000000000000000 T _sinittext\n0000000000000000 t tcp_init\n0000000000000000 T _einittext\n";
        assert!(symbols(text).contains(&function("tcp_init", None)));
    }

    #[test]
    fn a_module_is_asked_for_by_its_name() {
        let mention = |module: Option<&str>, function: &str| Mention {
            module: module.map(str::to_owned),
            function: function.to_owned(),
        };
        assert!(mention(None, "vfs_*").means("vfs_read", None));
        assert!(mention(None, "dummy_*").means("dummy_xmit", Some("dummy")));
        assert!(mention(Some("vmlinux"), "vfs_read").means("vfs_read", None));
        assert!(mention(Some("*"), "vfs_read").means("vfs_read", None));
        assert!(!mention(Some("dummy"), "vfs_read").means("vfs_read", None));
    }

    /// Whatever this kernel is built with, it shows its symbols, and has this function.
    #[test]
    fn this_kernel_has_functions() {
        let vfs_read = Mention { module: None, function: "vfs_read".to_owned() };
        assert_eq!(look(&[vfs_read], None), [function("vfs_read", None)]);
        let none = Mention { module: None, function: "no_such_function_here".to_owned() };
        assert_eq!(look(&[none], None), []);
    }
}
