//! The config block and declarations of maps: what a script sets for all of itself.

use super::check::stacks::MODES;
use super::proposing;
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast::{ConfigEntry, Expr, ExprKind, MapDeclaration, Script};
use crate::plan::FrameStyle;

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
    /// Bytes of the ring of records.
    pub ring_size: Option<u32>,
    /// Most keys of the maps that are declared, by their names with the `@`.
    pub map_sizes: Vec<(String, u32)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_map_keys: 4096,
            max_strlen: 1024,
            print_maps_on_exit: true,
            stack_style: FrameStyle::Named,
            ring_size: None,
            map_sizes: Vec::new(),
        }
    }
}

/// Settings of bpftrace that have nothing to act upon here, and why.
const WITHOUT_EFFECT: [(&str, &str); 16] = [
    ("cache_user_symbols", "symbols are looked up when they are printed"),
    ("cpp_demangle", "names are always demangled"),
    ("lazy_symbolication", "symbols are looked up when they are printed"),
    ("license", "programs are always loaded under GPL and MIT"),
    ("log_size", "the verifier's log is as long as it needs to be"),
    ("max_ast_nodes", "the parser has its own limits"),
    ("max_bpf_progs", "probes share programs, so there are few"),
    ("max_cat_bytes", "only `cat` reads files"),
    ("max_probes", "probes share programs, so there is no limit"),
    ("max_type_res_iterations", "types are inferred until they are settled"),
    ("missing_probes", "a probe that is not there is always an error"),
    ("on_stack_limit", "what is small is kept on the stack, the rest in memory of its own"),
    ("show_debug_info", "there is no debug information in what is loaded"),
    ("str_trunc_trailer", "texts that are cut off are printed as they are"),
    ("unstable_import", "nothing is imported"),
    ("use_blazesym", "there is one way to look up symbols"),
];

/// Names of those that have an effect.
const EFFECTIVE: [&str; 5] = ["max_map_keys", "max_strlen", "perf_rb_pages", "print_maps_on_exit", "stack_mode"];

/// Longest text: some of them make up a key or a record, of which each CPU holds several at a time.
const LONGEST_TEXT: u64 = 1 << 16;

/// Most keys: more than any kernel has memory for.
const MOST_KEYS: u64 = 1 << 24;

/// Bytes of a page of the ring.
const PAGE: u64 = 4096;

/// Reads the settings; errors, and warnings about those without effect.
pub fn settings(script: &Script) -> (Settings, Vec<Diagnostic>) {
    let mut settings = Settings::default();
    let mut diagnostics = Vec::new();
    for entry in &script.config {
        diagnostics.extend(settings.set(entry).err());
    }
    for map in &script.maps {
        diagnostics.extend(settings.declare(map).err());
    }
    (settings, diagnostics)
}

impl Settings {
    fn set(&mut self, entry: &ConfigEntry) -> Result<(), Diagnostic> {
        let written = entry.name.text.to_ascii_lowercase();
        let name = written.strip_prefix("bpftrace_").unwrap_or(&written);
        match name {
            "max_map_keys" => self.max_map_keys = number(&entry.value, 1, MOST_KEYS)?,
            "max_strlen" => {
                self.max_strlen = number(&entry.value, 1, LONGEST_TEXT)?;
            }
            "perf_rb_pages" => {
                let pages: u32 = number(&entry.value, 1, 1 << 18)?;
                self.ring_size = Some(pages.next_power_of_two() * PAGE as u32);
            }
            "stack_mode" => self.stack_style = stack_mode(&entry.value)?,
            "print_maps_on_exit" => self.print_maps_on_exit = truth(&entry.value)?,
            _ => {
                let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(known, _)| *known == name) else {
                    let error = Diagnostic::error(entry.name.span, format!("there is no setting `{name}`"));
                    let known = EFFECTIVE.into_iter().chain(WITHOUT_EFFECT.iter().map(|(known, _)| *known));
                    return Err(proposing(error, name, known));
                };
                return Err(Diagnostic::warning(entry.name.span, format!("`{name}` has no effect here: {why}")));
            }
        }
        Ok(())
    }

    /// `let @name = kind(size)`. How a map is kept is found out from its uses, so its kind says no more than its size.
    fn declare(&mut self, map: &MapDeclaration) -> Result<(), Diagnostic> {
        match map.kind.text.as_str() {
            "hash" | "percpuhash" => {}
            "lruhash" | "percpulruhash" => {
                let error =
                    Diagnostic::error(map.kind.span, "maps that drop their oldest entries are not supported yet");
                return Err(error.help("use `hash`: what does not fit is counted and told"));
            }
            other => {
                let error = Diagnostic::error(map.kind.span, format!("there is no kind of map `{other}`"));
                return Err(proposing(error, other, ["hash", "percpuhash"]));
            }
        }
        let Some(size) = &map.size else {
            return Err(Diagnostic::error(map.span, "how many keys the map can have must be said: hash(1000)"));
        };
        self.map_sizes.push((format!("@{}", map.name.text), number(size, 1, MOST_KEYS)?));
        Ok(())
    }

    /// Most keys of a map.
    pub fn keys_of(&self, map: &str) -> u32 {
        let declared = self.map_sizes.iter().find(|(name, _)| name == map);
        declared.map_or(self.max_map_keys, |(_, size)| *size)
    }
}

fn number(value: &Expr, least: u64, most: u64) -> Result<u32, Diagnostic> {
    match value.kind {
        ExprKind::Integer { value, .. } if (least..=most).contains(&value) => Ok(value as u32),
        _ => Err(Diagnostic::error(value.span, format!("a number from {least} to {most} is expected here"))),
    }
}

/// A way to show stacks, as a word or as text.
fn stack_mode(value: &Expr) -> Result<FrameStyle, Diagnostic> {
    let (ExprKind::Identifier(word) | ExprKind::String(word)) = &value.kind else {
        return Err(Diagnostic::error(value.span, "a way to show stacks is expected here, such as `perf`"));
    };
    let known = MODES.iter().find(|(known, _)| known == word);
    known.map(|&(_, style)| style).ok_or_else(|| {
        let error = Diagnostic::error(value.span, format!("there is no way `{word}` to show stacks"));
        error.help(format!("there are {}", MODES.map(|(known, _)| format!("`{known}`")).join(", ")))
    })
}

fn truth(value: &Expr) -> Result<bool, Diagnostic> {
    match &value.kind {
        ExprKind::Bool(value) => Ok(*value),
        ExprKind::Integer { value: value @ (0 | 1), .. } => Ok(*value == 1),
        ExprKind::String(word) if word == "true" => Ok(true),
        ExprKind::String(word) if word == "false" => Ok(false),
        _ => Err(Diagnostic::error(value.span, "`true` or `false` is expected here")),
    }
}
