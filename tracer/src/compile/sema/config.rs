//! The config block and declarations of maps: what a script sets for all of itself.

use super::check::stacks::MODES;
use super::proposing;
use crate::compile::diagnostics::{Diagnostic, did_you_mean};
use crate::compile::source::Span;
use crate::compile::syntax::ast::{ConfigEntry, Expr, ExprKind, MapDeclaration, Script};
use crate::plan::{FrameStyle, Missing};

/// What is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most keys of a map.
    pub max_map_keys: u32,
    /// Bytes of a text that `str()` reads, its NUL included.
    pub max_strlen: u32,
    /// Whether maps are printed when the script ends.
    pub print_maps_on_exit: bool,
    /// How stacks are shown.
    pub stack_style: FrameStyle,
    /// Whether stacks of processes have lines of source, and functions that the compiler has put into others.
    pub show_debug_info: bool,
    /// Most places that all probes together may have.
    pub max_probes: Option<usize>,
    /// What is to be done where a probe is not there.
    pub missing_probes: Missing,
    /// Bytes of the ring of records.
    pub ring_size: Option<u32>,
    /// The maps that are declared.
    pub maps: Vec<Declared>,
}

/// A map that is declared.
#[derive(Clone, Debug)]
pub struct Declared {
    /// With the `@`.
    pub name: String,
    /// Most keys.
    keys: u32,
    /// A new key takes the place of the one that was not used for the longest time.
    pub drops_oldest: bool,
    /// It is of a kind that is for aggregations.
    pub of_aggregations: bool,
    /// Where its kind is.
    pub place: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_map_keys: 4096,
            max_strlen: 1024,
            print_maps_on_exit: true,
            stack_style: FrameStyle::Named,
            show_debug_info: false,
            max_probes: None,
            missing_probes: Missing::Refuse,
            ring_size: None,
            maps: Vec::new(),
        }
    }
}

impl Missing {
    /// As the config block says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "error",
            Self::Warn => "warn",
            Self::Ignore => "ignore",
        }
    }
}

/// What a setting can be set to.
enum Takes {
    /// A number from here to there.
    Number(u64, u64),
    /// `true`, `false`, 1 or 0.
    Truth,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
}

/// A setting of bpftrace.
struct Setting {
    /// Of the config block; the variable of the environment is `BPFTRACE_` and the same in capitals.
    name: &'static str,
    takes: Takes,
    /// Why it has nothing to act upon here, if that is so.
    unused: Option<&'static str>,
}

const fn setting(name: &'static str, takes: Takes) -> Setting {
    Setting { name, takes, unused: None }
}

const fn unused(name: &'static str, takes: Takes, why: &'static str) -> Setting {
    Setting { name, takes, unused: Some(why) }
}

const STACK_MODES: [&str; MODES.len()] = [MODES[0].0, MODES[1].0, MODES[2].0, MODES[3].0];
const ANY: Takes = Takes::Number(0, u64::MAX);
const FEATURE: Takes = Takes::Word(&["error", "warn", "enable"]);
const ALWAYS_THERE: &str = "what is there is there for every script";

/// All of them.
const SETTINGS: [Setting; 28] = [
    setting("max_map_keys", Takes::Number(1, MOST_KEYS)),
    setting("max_probes", Takes::Number(0, u32::MAX as u64)),
    setting("max_strlen", Takes::Number(1, LONGEST_TEXT)),
    setting("missing_probes", Takes::Word(&["error", "warn", "ignore"])),
    setting("perf_rb_pages", Takes::Number(1, 1 << 18)),
    setting("print_maps_on_exit", Takes::Truth),
    setting("show_debug_info", Takes::Truth),
    setting("stack_mode", Takes::Word(&STACK_MODES)),
    unused(
        "cache_user_symbols",
        Takes::Word(&["PER_PID", "PER_PROGRAM", "NONE", "1", "0"]),
        "symbols are looked up once, when they are printed",
    ),
    unused("cpp_demangle", Takes::Truth, "names are always demangled"),
    unused("debug_output", Takes::Truth, "nothing is printed into the kernel's trace buffer"),
    unused("lazy_symbolication", Takes::Truth, "symbols are looked up when they are printed"),
    unused(
        "license",
        Takes::Word(&["Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"]),
        "programs are always loaded under GPL and MIT",
    ),
    unused("log_size", ANY, "the verifier's log is as long as it needs to be"),
    unused("max_ast_nodes", ANY, "the compiler has its own limits"),
    unused("max_bpf_progs", ANY, "probes share programs, so there are few"),
    unused("max_cat_bytes", ANY, "`cat` has a limit of its own"),
    unused("max_type_res_iterations", ANY, "types are inferred until they are settled"),
    unused("on_stack_limit", ANY, "what is small is kept on the stack, the rest in memory of its own"),
    unused("str_trunc_trailer", Takes::Text, "texts that are cut off are printed as they are"),
    unused("symbol_source", Takes::Text, "functions are found by the kernel's types and the symbols of programs"),
    unused("unstable_addr", FEATURE, ALWAYS_THERE),
    unused("unstable_import", FEATURE, ALWAYS_THERE),
    unused("unstable_map_decl", FEATURE, ALWAYS_THERE),
    unused("unstable_tseries", FEATURE, ALWAYS_THERE),
    unused("unstable_typeinfo", FEATURE, ALWAYS_THERE),
    unused("use_blazesym", Takes::Truth, "there is one way to look up symbols"),
    unused("verify_llvm_ir", Takes::Truth, "no LLVM is in here"),
];

/// Variables of the environment that bpftrace reads besides its settings, and why they say nothing here.
const VARIABLES: [(&str, &str); 4] = [
    ("btf", "types are those of the running kernel"),
    ("kernel_build", "headers are not read"),
    ("kernel_source", "headers are not read"),
    ("vmlinux", "symbols are those of the running kernel"),
];

/// What is before the name of a setting in the environment.
const PREFIX: &str = "BPFTRACE_";

/// Longest text: some of them make up a key or a record, of which each CPU holds several at a time.
const LONGEST_TEXT: u64 = 1 << 16;

/// Most keys: more than any kernel has memory for.
const MOST_KEYS: u64 = 1 << 24;

/// Bytes of a page of the ring.
const PAGE: u64 = 4096;

/// Reads the settings; errors, and warnings about those without effect. What the environment says counts for more than
/// what the script says, as in bpftrace.
pub fn settings(script: &Script, environment: &Environment) -> (Settings, Vec<Diagnostic>) {
    let mut settings = Settings::default();
    let mut diagnostics = Vec::new();
    for entry in &script.config {
        diagnostics.extend(settings.read(entry).err());
    }
    for (name, value) in &environment.0 {
        settings.set(name, value);
    }
    for map in &script.maps {
        diagnostics.extend(settings.declare(map).err());
    }
    (settings, diagnostics)
}

/// What the environment sets.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(&'static str, Value)>);

impl Environment {
    /// What variables say, by their names and values, with remarks on those that say nothing here. An error names the
    /// variable with a value that it cannot have.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<(Self, Vec<String>), String> {
        let (mut environment, mut remarks) = (Self::default(), Vec::new());
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
            if let Some((_, why)) = VARIABLES.iter().find(|(known, _)| *known == name) {
                remarks.push(format!("{variable} has no effect here: {why}"));
                continue;
            }
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                // That one is for whoever prints.
                if name == "color" && !["auto", "always", "never"].contains(&value.as_str()) {
                    return Err(format!("{variable}={value}: one of `auto`, `always`, `never` is expected here"));
                }
                if name != "color" {
                    let near = did_you_mean(&name, SETTINGS.iter().map(|setting| setting.name));
                    let near = near.map(|near| format!("; did you mean {PREFIX}{}?", near.to_ascii_uppercase()));
                    remarks.push(format!("{variable} is not known{}", near.unwrap_or_default()));
                }
                continue;
            };
            let digits = value.strip_prefix("0x");
            let number = digits.map_or_else(|| value.parse(), |digits| u64::from_str_radix(digits, 16));
            let given = number.map_or_else(|_| Value::Word(value.clone()), Value::Number);
            match setting.takes.take(given) {
                Ok(given) if setting.unused.is_none() => environment.0.push((setting.name, given)),
                Ok(_) => remarks.extend(setting.unused.map(|why| format!("{variable} has no effect here: {why}"))),
                Err(expected) => return Err(format!("{variable}={value}: {expected} is expected here")),
            }
        }
        Ok((environment, remarks))
    }
}

/// What a setting is set to.
#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Truth(bool),
    Word(String),
}

impl Takes {
    /// The value that is meant by what is given, or what is expected instead.
    fn take(&self, given: Value) -> Result<Value, String> {
        Ok(match (self, given) {
            (&Takes::Number(least, most), Value::Number(number)) if (least..=most).contains(&number) => {
                Value::Number(number)
            }
            (&Takes::Number(0, u64::MAX), _) => return Err("a number".to_owned()),
            (&Takes::Number(least, most), _) => return Err(format!("a number from {least} to {most}")),
            (Takes::Truth, Value::Truth(value)) => Value::Truth(value),
            (Takes::Truth, Value::Number(value @ (0 | 1))) => Value::Truth(value == 1),
            (Takes::Truth, Value::Word(word)) if word == "true" || word == "false" => Value::Truth(word == "true"),
            (Takes::Truth, _) => return Err("`true` or `false`".to_owned()),
            (Takes::Word(words), Value::Word(word)) if words.contains(&word.as_str()) => Value::Word(word),
            (Takes::Word(words), Value::Number(number)) if words.contains(&number.to_string().as_str()) => {
                Value::Word(number.to_string())
            }
            (Takes::Word(words), _) => {
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                return Err(format!("one of {}", words.join(", ")));
            }
            (Takes::Text, Value::Word(text)) => Value::Word(text),
            (Takes::Text, Value::Number(number)) => Value::Word(number.to_string()),
            (Takes::Text, Value::Truth(value)) => Value::Word(value.to_string()),
        })
    }
}

impl Settings {
    /// An entry of the config block.
    fn read(&mut self, entry: &ConfigEntry) -> Result<(), Diagnostic> {
        let written = entry.name.text.to_ascii_lowercase();
        let name = written.strip_prefix("bpftrace_").unwrap_or(&written);
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let error = Diagnostic::error(entry.name.span, format!("there is no setting `{name}`"));
            return Err(proposing(error, name, SETTINGS.iter().map(|setting| setting.name)));
        };
        let given = match &entry.value.kind {
            ExprKind::Integer { value, .. } => Value::Number(*value),
            ExprKind::Bool(value) => Value::Truth(*value),
            ExprKind::String(word) | ExprKind::Identifier(word) => Value::Word(word.clone()),
            _ => return Ok(()), // the parser has reported it
        };
        let value = setting.takes.take(given);
        let value =
            value.map_err(|expected| Diagnostic::error(entry.value.span, format!("{expected} is expected here")))?;
        if let Some(why) = setting.unused {
            return Err(Diagnostic::warning(entry.name.span, format!("`{name}` has no effect here: {why}")));
        }
        self.set(name, &value);
        Ok(())
    }

    /// Sets what has an effect to a value that it can have.
    fn set(&mut self, name: &str, value: &Value) {
        match (name, value) {
            ("max_map_keys", Value::Number(number)) => self.max_map_keys = *number as u32,
            ("max_probes", Value::Number(number)) => self.max_probes = Some(*number as usize),
            ("max_strlen", Value::Number(number)) => self.max_strlen = *number as u32,
            ("perf_rb_pages", Value::Number(pages)) => {
                self.ring_size = Some((*pages as u32).next_power_of_two() * PAGE as u32);
            }
            ("print_maps_on_exit", Value::Truth(value)) => self.print_maps_on_exit = *value,
            ("show_debug_info", Value::Truth(value)) => self.show_debug_info = *value,
            ("missing_probes", Value::Word(word)) => {
                self.missing_probes = match word.as_str() {
                    "warn" => Missing::Warn,
                    "ignore" => Missing::Ignore,
                    _ => Missing::Refuse,
                }
            }
            ("stack_mode", Value::Word(word)) => {
                let mode = MODES.iter().find(|(known, _)| known == word);
                self.stack_style = mode.map_or(self.stack_style, |&(_, style)| style);
            }
            _ => unreachable!("`{name}` has an effect, and takes what it takes"),
        }
    }

    /// `let @name = kind(size)`. How a map is kept is found out from its uses; its kind says whether old keys are dropped.
    fn declare(&mut self, map: &MapDeclaration) -> Result<(), Diagnostic> {
        const KINDS: [&str; 4] = ["hash", "lruhash", "percpuhash", "percpulruhash"];
        let kind = map.kind.text.as_str();
        if !KINDS.contains(&kind) {
            let error = Diagnostic::error(map.kind.span, format!("there is no kind of map `{kind}`"));
            let error = proposing(error, kind, KINDS);
            let known = KINDS.map(|kind| format!("`{kind}`")).join(", ");
            return Err(if error.help.is_empty() { error.help(format!("there are {known}")) } else { error });
        }
        let Some(size) = &map.size else {
            return Err(Diagnostic::error(map.span, "how many keys the map can have must be said: hash(1000)"));
        };
        let name = format!("@{}", map.name.text);
        if let Some(before) = self.declared(&name) {
            let error = Diagnostic::error(map.name.span, format!("`{name}` is declared already"));
            return Err(error.also(before.place, "here"));
        }
        self.maps.push(Declared {
            name,
            keys: number(size, 1, MOST_KEYS)?,
            drops_oldest: kind.ends_with("lruhash"),
            of_aggregations: kind.starts_with("percpu"),
            place: map.kind.span,
        });
        Ok(())
    }

    /// Pages of the ring of records; 0 where they are as many as usual.
    pub fn ring_pages(&self) -> u64 {
        self.ring_size.map_or(0, |bytes| u64::from(bytes) / PAGE)
    }

    /// What is declared of a map.
    pub fn declared(&self, map: &str) -> Option<&Declared> {
        self.maps.iter().find(|declared| declared.name == map)
    }

    /// Most keys of a map.
    pub fn keys_of(&self, map: &str) -> u32 {
        self.declared(map).map_or(self.max_map_keys, |declared| declared.keys)
    }
}

fn number(value: &Expr, least: u64, most: u64) -> Result<u32, Diagnostic> {
    match value.kind {
        ExprKind::Integer { value, .. } if (least..=most).contains(&value) => Ok(value as u32),
        _ => Err(Diagnostic::error(value.span, format!("a number from {least} to {most} is expected here"))),
    }
}
