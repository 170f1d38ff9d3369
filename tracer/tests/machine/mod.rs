//! The machine that the script of a case is compiled for.
//!
//! A script may begin with comments that set it up: `// positional: a b`, `// option: name=value`, `// cpid: 42`,
//! `// level: user`, `// cpus: 128`, `// functions: vfs_read vfs_write`, `// no task storage`, `// follow forks`.

use tracer::compile::sema::policy::Level;
use tracer::compile::target::Target;
use tracer::host::functions::Function;
use tracer_common::scope::{ProcessFilter, Scope};

/// A two-core machine with a recent kernel, changed as the script's first lines ask.
pub fn target(script: &str) -> Target {
    let mut target = Target {
        kernel: (6, 12, 0),
        possible_cpus: 2,
        task_storage: true,
        task_registers: true,
        types: None,
        scope: Scope::default(),
        positional: Vec::new(),
        named: Vec::new(),
        environment: Default::default(),
        command_pid: None,
        binaries: Default::default(),
        cgroups: Default::default(),
        kernel_symbols: std::collections::BTreeMap::new(),
        tai_offset: 0,
        kernel_functions: Vec::new(),
        formats: Vec::new(),
        allow_unsafe: false,
        level: Level::default(),
    };
    for line in script.lines().map_while(|line| line.strip_prefix("// ")) {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name {
            "positional" => target.positional = value.split(' ').map(String::from).collect(),
            "option" => {
                let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                target.named.push((name.into(), value.map(String::from)));
            }
            "cpid" => target.command_pid = Some(value.parse().expect("a pid")),
            "level" => target.level = Level::ALL.into_iter().find(|level| level.name() == value).expect("a level"),
            "cpus" => target.possible_cpus = value.parse().expect("a number"),
            "functions" => {
                let function = |name: &str| Function { name: name.to_owned(), module: None, ty: None };
                target.kernel_functions = value.split(' ').map(function).collect();
            }
            "no task storage" => target.task_storage = false,
            "follow forks" => target.scope.filter = ProcessFilter::Tree as u32,
            _ => {} // any other comment
        }
    }
    target
}
