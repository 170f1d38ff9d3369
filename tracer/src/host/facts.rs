//! Everything that is read of the machine, as plain data. Gathered in one place and in about a millisecond.

use std::path::Path;
use std::{env, fs, io};

use serde::Serialize;
use thiserror::Error;

use super::btf;
use super::procfs::{self, CgroupPaths, Status};
use crate::run::sys;

/// Numbers of the initial namespaces, which never change (include/linux/proc_ns.h).
mod initial {
    pub const CGROUP: u32 = 0xeffffffb;
    pub const PID: u32 = 0xeffffffc;
    pub const USER: u32 = 0xeffffffd;
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Version, types, settings.
    pub kernel: Kernel,
    /// What this process may do.
    pub process: Status,
    /// Whether its user namespace is the initial one. In another, capabilities do not count for tracing.
    pub initial_user_namespace: bool,
    /// Its pid namespace.
    pub pid_namespace: PidNamespace,
    /// Its cgroups.
    pub cgroup: Cgroup,
    /// Which container runtime has left traces.
    pub runtime: Option<Runtime>,
    /// What bpf(2) answered when it was tried.
    pub trial: Trial,
}

/// The kernel and its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// Major, minor, patch.
    pub version: (u32, u32, u32),
    /// CPUs that may ever come on line; `None` where /sys does not say.
    pub possible_cpus: Option<u32>,
    /// Whether it shows its types at [`btf::VMLINUX`].
    pub btf: bool,
    /// kernel.unprivileged_bpf_disabled.
    pub unprivileged_bpf_disabled: Option<i64>,
    /// kernel.perf_event_paranoid.
    pub perf_event_paranoid: Option<i64>,
    /// kernel.bpf_stats_enabled.
    pub bpf_stats_enabled: Option<i64>,
    /// `none`, `integrity` or `confidentiality`, where the kernel has lockdown and shows it.
    pub lockdown: Option<String>,
    /// Whether the events of tracefs can be listed.
    pub tracefs: bool,
    /// Whether it was built with probes in its functions.
    pub kprobes: bool,
}

/// The pid namespace of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidNamespace {
    /// Its number.
    pub inum: u32,
    /// Whether it is the machine's own.
    pub initial: bool,
}

/// The cgroups of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Where it is, seen from its cgroup-namespace root.
    pub paths: CgroupPaths,
    /// Whether its cgroup namespace is not the machine's own.
    pub private: bool,
}

/// How the machine's cgroups are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// v2 only.
    Unified,
    /// v1 controllers, and v2 beside them.
    Hybrid,
    /// v1 only.
    Legacy,
}

impl Cgroup {
    /// How the machine's cgroups are laid out.
    pub fn layout(&self) -> Layout {
        match (&self.paths.unified, self.paths.legacy.is_empty()) {
            (None, _) => Layout::Legacy,
            (Some(_), true) => Layout::Unified,
            (Some(_), false) => Layout::Hybrid,
        }
    }
}

/// A container runtime, as far as it can be told from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A pod of Kubernetes, whatever runs it.
    Kubernetes,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

/// What the kernel, or whatever stands before it, answered to harmless uses of bpf(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// To a call that needs no privilege: only a seccomp filter, or a kernel without bpf(2), refuses it.
    pub call: Answer,
    /// To making a map.
    pub map: Answer,
    /// To loading a tracing program.
    pub program: Answer,
    /// What was tried for single kinds of probes; `None` where none of these is asked for.
    pub probes: Option<ProbeTrial>,
}

/// What the kernel answered to harmless tries of what single kinds of probes take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeTrial {
    /// To making a perf event for all processes.
    pub perf: Answer,
    /// To making one of what the processor counts.
    pub counter: Answer,
    /// To watching a place in memory.
    pub watchpoint: Answer,
    /// One link can hold many places in a file, and no perf event is wanted for that.
    pub many_uprobes: bool,
    /// One link can hold many functions of the kernel.
    pub many_kprobes: bool,
    /// To loading a program for calls of a function of the kernel; `None` where no function is known.
    pub fentry: Option<Answer>,
    /// To loading a program for what the kernel goes over; `None` where the kernel's types are not known.
    pub iterator: Option<Answer>,
}

/// Functions of the kernel that programs are loaded for, as a try, by their numbers among its types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// One whose calls may be traced by trampolines.
    pub call: Option<u32>,
    /// One that stands for programs of what the kernel goes over.
    pub iterator: Option<u32>,
}

/// Success, or an error number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It worked.
    #[default]
    Yes,
    /// It did not.
    No(i32),
}

impl Answer {
    fn of(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Yes,
            Err(error) => Self::No(error.raw_os_error().unwrap_or(0)),
        }
    }

    /// Whether it worked.
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// A file without which nothing can be said.
#[derive(Debug, Error)]
#[error("cannot read {path}: {error}; ctrace needs /proc to be mounted")]
pub struct FactsError {
    path: &'static str,
    error: io::Error,
}

impl Facts {
    /// Looks at the machine.
    pub fn gather() -> Result<Self, FactsError> {
        let status = required("/proc/self/status", procfs::status)?;
        let release = required("/proc/sys/kernel/osrelease", |text| Some(text.trim().to_owned()))?;
        let version = required("/proc/sys/kernel/osrelease", procfs::kernel_version)?;
        let pid_namespace = namespace("/proc/self/ns/pid")?;
        let paths = required("/proc/self/cgroup", |text| Some(procfs::cgroup_paths(text)))?;
        // A kernel without these has one namespace for all.
        let user_namespace = namespace("/proc/self/ns/user").unwrap_or(initial::USER);
        let cgroup_namespace = namespace("/proc/self/ns/cgroup").unwrap_or(initial::CGROUP);
        let runtime = Runtime::find(&paths);
        Ok(Self {
            kernel: Kernel {
                release,
                version,
                possible_cpus: read("/sys/devices/system/cpu/possible").and_then(|text| procfs::cpu_count(&text)),
                btf: Path::new(btf::VMLINUX).exists(),
                unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
                perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
                bpf_stats_enabled: number("/proc/sys/kernel/bpf_stats_enabled"),
                lockdown: read("/sys/kernel/security/lockdown")
                    .and_then(|text| procfs::chosen(&text).map(str::to_owned)),
                tracefs: ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"]
                    .iter()
                    .any(|events| fs::read_dir(events).is_ok()),
                kprobes: Path::new("/sys/bus/event_source/devices/kprobe").exists(),
            },
            process: status,
            initial_user_namespace: user_namespace == initial::USER,
            pid_namespace: PidNamespace { inum: pid_namespace, initial: pid_namespace == initial::PID },
            cgroup: Cgroup { paths, private: cgroup_namespace != initial::CGROUP },
            runtime,
            trial: Trial {
                call: Answer::of(sys::try_call()),
                map: Answer::of(sys::try_map()),
                program: Answer::of(sys::try_program()),
                probes: None,
            },
        })
    }

    /// Tries, besides, what single kinds of probes take.
    pub fn try_probes(&mut self, tried: Tried) {
        self.trial.probes = Some(ProbeTrial {
            perf: Answer::of(sys::perf::try_event()),
            counter: Answer::of(sys::perf::try_counter()),
            watchpoint: Answer::of(sys::perf::try_watchpoint()),
            many_uprobes: sys::uprobe::has_uprobe_multi(),
            many_kprobes: sys::kprobe::has_kprobe_multi(),
            fentry: tried.call.map(|function| Answer::of(sys::fentry::try_load(function))),
            iterator: tried.iterator.map(|function| Answer::of(sys::iter::try_load(function))),
        });
    }

    /// Whether namespaces or cgroups say that this process is in a container.
    pub fn in_container(&self) -> bool {
        !self.pid_namespace.initial
            || self.cgroup.private
            || self
                .cgroup
                .paths
                .unified
                .iter()
                .chain(&self.cgroup.paths.legacy)
                .any(|path| container_id(path).is_some())
    }
}

impl Runtime {
    fn find(paths: &CgroupPaths) -> Option<Self> {
        let in_pod = paths.unified.iter().chain(&paths.legacy).any(|path| path.contains("kubepods"));
        if in_pod || env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            Some(Self::Kubernetes)
        } else if Path::new("/run/.containerenv").exists() {
            Some(Self::Podman)
        } else if Path::new("/.dockerenv").exists() {
            Some(Self::Docker)
        } else {
            None
        }
    }
}

/// The id that container runtimes put into a cgroup's name: 64 hexadecimal digits.
pub fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|name| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let id = name.rsplit('-').next()?;
        (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    })
}

/// A file's text; `None` where it cannot be read, for facts that may be missing.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn number(path: &str) -> Option<i64> {
    read(path)?.trim().parse().ok()
}

fn required<T>(path: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, FactsError> {
    let text = fs::read_to_string(path).map_err(|error| FactsError { path, error })?;
    parse(&text).ok_or_else(|| unexpected(path))
}

fn namespace(path: &'static str) -> Result<u32, FactsError> {
    let link = fs::read_link(path).map_err(|error| FactsError { path, error })?;
    link.to_str().and_then(procfs::namespace).ok_or_else(|| unexpected(path))
}

fn unexpected(path: &'static str) -> FactsError {
    FactsError { path, error: io::Error::new(io::ErrorKind::InvalidData, "not in the kernel's form") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_of_docker_systemd_and_kubernetes() {
        let id = "3f1c0d6f0a9e4d8f8b1f2d0c5a7e9b3c1d2e3f405162738495a6b7c8d9e0f1a2";
        for path in [
            format!("/docker/{id}"),
            format!("/docker/{id}/sub"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
        ] {
            assert_eq!(container_id(&path), Some(id), "{path}");
        }
        for path in ["/", "/user.slice/user-1000.slice/session-2.scope", "/docker", "/process_api/13c146008a364fd330ad"]
        {
            assert_eq!(container_id(path), None, "{path}");
        }
    }

    #[test]
    fn layouts() {
        let layout = |text| Cgroup { paths: procfs::cgroup_paths(text), private: false }.layout();
        assert_eq!(layout("0::/init.scope\n"), Layout::Unified);
        assert_eq!(layout("2:cpu:/\n0::/\n"), Layout::Hybrid);
        assert_eq!(layout("2:cpu:/\n1:name=systemd:/\n"), Layout::Legacy);
    }

    /// The machine that runs the test: the kernel's own texts must be understood.
    #[test]
    fn this_machine_is_understood() {
        let facts = Facts::gather().unwrap();
        assert!(facts.kernel.version >= (4, 0, 0) && facts.kernel.possible_cpus > Some(0), "{:?}", facts.kernel);
        assert!(facts.pid_namespace.inum >= initial::PID || !facts.pid_namespace.initial);
    }
}
