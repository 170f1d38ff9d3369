//! Who is traced: from what was asked, and who is asking, to the configuration that every program checks first.
//!
//! The rules, where nothing else was asked for:
//!
//! | the caller is in | the scope is |
//! |---|---|
//! | a cgroup namespace of its own | the cgroup that is the namespace's root |
//! | the machine's cgroup namespace | its own cgroup (v2) |
//! | the root cgroup (v2), or one shared with other containers: cgroup v1 | its pid namespace |
//! | the root cgroup and the initial pid namespace | the machine |
//!
//! Descendants are always included.

use std::fmt;

use thiserror::Error;
use tracer_common::identity::Identity;
use tracer_common::scope::{KernelOffsets, ProcessFilter, Scope, ScopeKind};

use super::cgroupfs;
use super::facts::{Facts, container_id};

/// What `--scope` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The caller's container.
    Container,
    /// Everything on the machine.
    Host,
    /// The container of a process.
    Pid(u32),
    /// A cgroup (v2), as a path in its hierarchy or in the file system.
    Cgroup(String),
    /// The container whose id begins with this.
    ContainerId(String),
}

/// Which processes within the scope are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processes {
    /// All.
    All,
    /// One, with all its threads (`-p`).
    One(u32),
    /// One, and whatever it forks (`-c`).
    Tree(u32),
}

/// A cgroup of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id, which is its inode.
    pub id: u64,
    /// How far it lies below the root.
    pub level: u32,
    /// What people know it by.
    pub name: String,
}

/// The answer: for the programs, and for the person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// What the programs check.
    pub scope: Scope,
    /// Who is traced, in words.
    pub description: String,
}

/// Why the scope that was asked for cannot be had.
#[derive(Debug, Error)]
pub enum ScopeError {
    /// Tracing would see more than the container.
    #[error(
        "nothing tells this container from the rest of the machine: it shares the pid namespace, and its cgroup (v2) is \
         not its own; `--scope host` traces the whole machine"
    )]
    Indistinct,
    /// There is no such process, cgroup or container here.
    #[error("{0}")]
    NotFound(String),
}

/// What the scope's edge is.
enum Edge {
    Machine,
    Cgroup(Place),
    PidNamespace,
}

/// Decides who is traced. `offsets` are the running kernel's.
pub fn resolve(
    asked: Option<&Asked>,
    processes: Processes,
    facts: &Facts,
    identity: &Identity,
    offsets: KernelOffsets,
) -> Result<Resolved, ScopeError> {
    let (edge, owner) = match asked {
        None | Some(Asked::Container) => (own_container(facts, identity)?, Owner::of_caller(facts)),
        Some(Asked::Host) => (Edge::Machine, Owner::Machine),
        Some(Asked::Pid(pid)) => (Edge::Cgroup(cgroupfs::of_process(*pid, facts, identity)?), Owner::Process(*pid)),
        Some(Asked::Cgroup(path)) => (Edge::Cgroup(cgroupfs::of_path(path, identity)?), Owner::Cgroup),
        Some(Asked::ContainerId(id)) => (Edge::Cgroup(cgroupfs::of_container(id, identity)?), Owner::Container),
    };

    let mut scope = Scope { pidns_inum: facts.pid_namespace.inum, offsets, ..Scope::default() };
    (scope.filter, scope.tgid) = match processes {
        Processes::All => (ProcessFilter::All as u32, 0),
        Processes::One(pid) => (ProcessFilter::Process as u32, pid),
        Processes::Tree(pid) => (ProcessFilter::Tree as u32, pid),
    };
    match &edge {
        Edge::Machine => scope.kind = ScopeKind::Host as u32,
        Edge::PidNamespace => scope.kind = ScopeKind::PidNamespace as u32,
        Edge::Cgroup(place) => {
            scope.kind = ScopeKind::Cgroup as u32;
            scope.cgroup_id = place.id;
            scope.cgroup_level = place.level;
        }
    }
    // Only the initial namespace has a number for every process of the machine.
    let all_of_the_machine = matches!(edge, Edge::Machine) && processes == Processes::All;
    scope.pidns_level = if all_of_the_machine { 0 } else { identity.pidns_level as u32 };
    Ok(Resolved { scope, description: describe(&edge, owner, processes, facts) })
}

/// The rules at the head of this module.
fn own_container(facts: &Facts, identity: &Identity) -> Result<Edge, ScopeError> {
    let lineage = identity.lineage();
    let path = facts.cgroup.paths.unified.as_deref().unwrap_or("/");
    let own = lineage.len().saturating_sub(1);
    let level = match facts.cgroup.private {
        // A process that was moved out of its namespace's root sees itself below `..`.
        true if !path.starts_with("/..") => own.saturating_sub(components(path)),
        _ => own,
    };

    let known_to_v1_only =
        container_id(path).is_none() && facts.cgroup.paths.legacy.iter().any(|path| container_id(path).is_some());
    if level == 0 || (known_to_v1_only && !facts.cgroup.private) {
        return match (facts.pid_namespace.initial, known_to_v1_only) {
            (false, _) => Ok(Edge::PidNamespace),
            (true, false) => Ok(Edge::Machine),
            (true, true) => Err(ScopeError::Indistinct),
        };
    }
    let name = match facts.cgroup.private {
        true => "the root of its cgroup namespace".to_owned(),
        false => short(path),
    };
    Ok(Edge::Cgroup(Place { id: lineage[level], level: level as u32, name }))
}

/// Whose the scope is, for the description.
enum Owner {
    Machine,
    ThisContainer,
    ThisCgroup,
    Process(u32),
    Cgroup,
    Container,
}

impl Owner {
    fn of_caller(facts: &Facts) -> Self {
        if facts.in_container() { Self::ThisContainer } else { Self::ThisCgroup }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the whole machine"),
            Self::ThisContainer => f.write_str("this container"),
            Self::ThisCgroup => f.write_str("processes of this cgroup; --scope host for the machine"),
            Self::Process(pid) => write!(f, "the container of process {pid}"),
            Self::Cgroup => f.write_str("a cgroup"),
            Self::Container => f.write_str("a container"),
        }
    }
}

fn describe(edge: &Edge, owner: Owner, processes: Processes, facts: &Facts) -> String {
    let who = match processes {
        Processes::All => String::new(),
        Processes::One(pid) => format!("process {pid} in "),
        Processes::Tree(pid) => format!("process {pid} and what it forks in "),
    };
    match edge {
        Edge::Machine if matches!(owner, Owner::Machine) => format!("{who}{owner}"),
        Edge::Machine => format!("{who}the whole machine (this is the root cgroup)"),
        Edge::PidNamespace => format!("{who}{owner} (pid namespace {})", facts.pid_namespace.inum),
        Edge::Cgroup(place) => format!("{who}{owner} (cgroup {}, {})", place.id, place.name),
    }
}

/// How many folders a path goes down.
pub(super) fn components(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}

/// A cgroup's path with container ids cut to the twelve digits that people use.
pub(super) fn short(path: &str) -> String {
    match container_id(path) {
        Some(id) => path.replace(id, &format!("{}…", &id[..12])),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
