//! The facts of the machine that a script is compiled for. Plain data: gathered elsewhere, or made up by a test.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sema::config::Environment;
use super::sema::policy::Level;
use crate::host::btf::Btf;
use crate::host::elf::Binaries;
use crate::host::functions::Function;
use crate::host::tracefs::Format;
use tracer_common::scope::{ProcessFilter, Scope, ScopeKind};

impl Target {
    /// Whether every task on the machine is in scope.
    pub fn sees_everybody(&self) -> bool {
        self.scope.kind == ScopeKind::Host as u32 && self.scope.filter == ProcessFilter::All as u32
    }
}

/// The symbol where the kernel has each CPU's distance from the addresses of variables that every CPU has of its own.
pub const CPU_OFFSETS: &str = "__per_cpu_offset";

/// What the compiler needs to know of the kernel, the scope and the command line.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Major, minor, patch.
    pub kernel: (u32, u32, u32),
    /// CPUs that may ever come on line; per-CPU maps have a value for each.
    pub possible_cpus: u32,
    /// Storage of tasks can be used from tracing programs (5.11, and BTF in the kernel).
    pub task_storage: bool,
    /// `bpf_task_pt_regs` and BTF pointers can be used: registers are read without a helper (5.15, BTF).
    pub task_registers: bool,
    /// The kernel's own types, if it shows them.
    pub types: Option<Arc<Btf>>,
    /// Who is traced.
    pub scope: Scope,
    /// `$1`, `$2`, …
    pub positional: Vec<String>,
    /// What `getopt("name", …)` finds: `--name=VALUE`, or `--name` alone, which is true. Options of a script's header
    /// come here too.
    pub named: Vec<(String, Option<String>)>,
    /// What the environment sets.
    pub environment: Environment,
    /// The pid of the command of `-c`, for `cpid`, as the scope's pid namespace numbers it.
    pub command_pid: Option<u32>,
    /// What is known of the programs and libraries that the script names.
    pub binaries: Binaries,
    /// What is known of the cgroups that the script names: their ids, or why they have none.
    pub cgroups: BTreeMap<String, Result<u64, String>>,
    /// Where the kernel has the symbols that the script names, and those that finding a CPU's own variables takes; none if it
    /// shows us no addresses.
    pub kernel_symbols: BTreeMap<String, u64>,
    /// How far atomic time (`CLOCK_TAI`) is ahead of the time since boot, in ns.
    pub tai_offset: i64,
    /// The functions of the kernel that the script's probes are at.
    pub kernel_functions: Vec<Function>,
    /// The tracepoints that the script's probes are at, as tracefs describes them.
    pub formats: Vec<Format>,
    /// `--unsafe` was given.
    pub allow_unsafe: bool,
    /// `--level`: what the user is trusted with.
    pub level: Level,
}
