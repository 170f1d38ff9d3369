use super::*;
use crate::host::facts::{Cgroup, PidNamespace};
use crate::host::procfs::CgroupPaths;

const ID: &str = "3f1c0d6f0a9e4d8f8b1f2d0c5a7e9b3c1d2e3f405162738495a6b7c8d9e0f1a2";

/// Somebody at `path` of the v2 hierarchy with these cgroup ids from the root down.
struct Caller {
    facts: Facts,
    identity: Identity,
}

impl Caller {
    fn at(path: &str, ids: &[u64]) -> Self {
        let mut identity = Identity::default();
        identity.cgroups[..ids.len()].copy_from_slice(ids);
        let facts = Facts {
            cgroup: Cgroup {
                paths: CgroupPaths { unified: Some(path.to_owned()), legacy: Vec::new() },
                private: false,
            },
            pid_namespace: PidNamespace { inum: 4_026_531_836, initial: true },
            ..Facts::default()
        };
        Self { facts, identity }
    }

    fn in_pid_namespace(mut self) -> Self {
        self.facts.pid_namespace = PidNamespace { inum: 4_026_532_201, initial: false };
        self.identity.pidns_level = 1;
        self
    }

    fn in_cgroup_namespace(mut self) -> Self {
        self.facts.cgroup.private = true;
        self
    }

    fn legacy(mut self, path: &str) -> Self {
        self.facts.cgroup.paths.legacy.push(path.to_owned());
        self
    }

    fn resolve(&self, asked: Option<Asked>, processes: Processes) -> Resolved {
        let offsets = KernelOffsets { upid_size: 16, ..KernelOffsets::default() };
        resolve(asked.as_ref(), processes, &self.facts, &self.identity, offsets).unwrap()
    }

    fn default(&self) -> Resolved {
        self.resolve(None, Processes::All)
    }
}

fn cgroup(resolved: &Resolved) -> (u64, u32) {
    assert_eq!(resolved.scope.kind, ScopeKind::Cgroup as u32, "{}", resolved.description);
    (resolved.scope.cgroup_id, resolved.scope.cgroup_level)
}

#[test]
fn a_container_on_a_hybrid_host_is_its_own_cgroup() {
    let path = format!("/docker/{ID}");
    let resolved = Caller::at(&path, &[1, 40, 4711]).legacy(&path).in_pid_namespace().default();
    assert_eq!(cgroup(&resolved), (4711, 2));
    assert_eq!((resolved.scope.pidns_inum, resolved.scope.pidns_level), (4_026_532_201, 1));
    assert_eq!(resolved.scope.offsets.upid_size, 16);
    assert_eq!(resolved.description, "this container (cgroup 4711, /docker/3f1c0d6f0a9e…)");
}

#[test]
fn a_private_cgroup_namespace_is_its_root() {
    let root = Caller::at("/", &[1, 40, 4711]).in_pid_namespace().in_cgroup_namespace();
    assert_eq!(cgroup(&root.default()), (4711, 2));
    assert_eq!(root.default().description, "this container (cgroup 4711, the root of its cgroup namespace)");
    let below = Caller::at("/app/worker", &[1, 40, 4711, 5000, 5001]).in_pid_namespace().in_cgroup_namespace();
    assert_eq!(cgroup(&below.default()), (4711, 2));
}

#[test]
fn a_process_moved_out_of_its_cgroup_namespace_is_its_own_cgroup() {
    let caller = Caller::at("/../other", &[1, 40, 4712]).in_pid_namespace().in_cgroup_namespace();
    assert_eq!(cgroup(&caller.default()), (4712, 2));
}

#[test]
fn v1_is_the_pid_namespace() {
    let path = format!("/docker/{ID}");
    for caller in [
        // v2 was never mounted, or everybody is in its root.
        Caller::at("/", &[1]).legacy(&path),
        // Every container is in the service's cgroup.
        Caller::at("/system.slice/docker.service", &[1, 7, 8]).legacy(&path),
    ] {
        let resolved = caller.in_pid_namespace().default();
        assert_eq!(resolved.scope.kind, ScopeKind::PidNamespace as u32);
        assert_eq!(resolved.description, "this container (pid namespace 4026532201)");
    }
}

#[test]
fn v1_with_the_machines_pid_namespace_is_refused() {
    let caller = Caller::at("/", &[1]).legacy(&format!("/docker/{ID}"));
    let result = resolve(None, Processes::All, &caller.facts, &caller.identity, KernelOffsets::default());
    assert!(matches!(result, Err(ScopeError::Indistinct)), "{result:?}");
}

#[test]
fn outside_containers_it_is_the_callers_cgroup() {
    let resolved = Caller::at("/user.slice/session-1.scope", &[1, 20, 300]).default();
    assert_eq!(cgroup(&resolved), (300, 2));
    assert_eq!(resolved.scope.pidns_level, 0);
    assert_eq!(
        resolved.description,
        "processes of this cgroup; --scope host for the machine (cgroup 300, /user.slice/session-1.scope)"
    );
    let root = Caller::at("/", &[1]).legacy("/custom").default();
    assert_eq!(root.scope.kind, ScopeKind::Host as u32);
    assert_eq!(root.description, "the whole machine (this is the root cgroup)");
}

#[test]
fn the_machine_has_the_machines_pids() {
    let caller = Caller::at("/", &[1, 40]).in_pid_namespace().in_cgroup_namespace();
    let all = caller.resolve(Some(Asked::Host), Processes::All);
    assert_eq!((all.scope.kind, all.scope.pidns_level), (ScopeKind::Host as u32, 0));
    assert_eq!(all.description, "the whole machine");
    // A pid that was typed here is one of this namespace.
    let one = caller.resolve(Some(Asked::Host), Processes::One(7));
    assert_eq!((one.scope.tgid, one.scope.pidns_level), (7, 1));
    assert_eq!(one.description, "process 7 in the whole machine");
}

#[test]
fn processes_within_the_scope() {
    let caller = Caller::at("/a", &[1, 9]);
    let one = caller.resolve(None, Processes::One(7));
    assert_eq!((one.scope.filter, one.scope.tgid), (ProcessFilter::Process as u32, 7));
    assert_eq!(cgroup(&one), (9, 1));
    let tree = caller.resolve(Some(Asked::Container), Processes::Tree(8));
    assert_eq!((tree.scope.filter, tree.scope.tgid), (ProcessFilter::Tree as u32, 8));
}

/// The test's own process: what the file system shows must agree with what /proc says.
#[test]
fn a_process_of_ones_own_cgroup_needs_no_tree() {
    let mut caller = Caller::at("/", &[1]);
    caller.facts = Facts::gather().unwrap();
    let own = caller.facts.cgroup.paths.unified.clone().unwrap();
    let ids: Vec<u64> = (1..).take(1 + components(&own)).collect();
    caller.identity.cgroups[..ids.len()].copy_from_slice(&ids);
    let resolved = caller.resolve(Some(Asked::Pid(std::process::id())), Processes::All);
    assert!(resolved.description.starts_with("the container of process "), "{}", resolved.description);
}
