use super::*;

/// A shell in a default Docker container.
const CONTAINER_STATUS: &str = "\
Name:\tcat
Umask:\t0022
State:\tR (running)
Pid:\t7
Uid:\t0\t0\t0\t0
NSpid:\t7
CapInh:\t0000000000000000
CapPrm:\t00000000a80425fb
CapEff:\t00000000a80425fb
CapBnd:\t00000000a80425fb
CapAmb:\t0000000000000000
NoNewPrivs:\t0
Seccomp:\t2
Seccomp_filters:\t1
";

#[test]
fn status_of_a_default_container() {
    let status = status(CONTAINER_STATUS).unwrap();
    assert_eq!((status.uid, status.seccomp, status.no_new_privileges), (0, Seccomp::Filter, false));
    assert_eq!(status.effective, CapabilitySet(0xa80425fb));
    assert!(!status.effective.allows(Capability::Bpf));
    assert_eq!(super::status("Uid:\t0\t0\t0\t0\nCapEff:\tzz\n"), None);
}

#[test]
fn sys_admin_allows_what_the_younger_capabilities_allow() {
    let admin = CapabilitySet(1 << 21);
    assert!(admin.allows(Capability::Bpf) && admin.allows(Capability::Perfmon) && !admin.has(Capability::Bpf));
    let bpf = CapabilitySet(1 << 39);
    assert!(bpf.allows(Capability::Bpf) && !bpf.allows(Capability::Perfmon));
}

#[test]
fn cgroups_of_a_hybrid_host() {
    let text = "12:cpuset:/docker/ab\n1:name=systemd:/docker/ab\n0::/docker/ab\n";
    let paths = cgroup_paths(text);
    assert_eq!(paths.unified.as_deref(), Some("/docker/ab"));
    assert_eq!(paths.legacy, ["/docker/ab", "/docker/ab"]);
}

#[test]
fn cgroups_of_a_unified_host_and_of_v1() {
    assert_eq!(
        cgroup_paths("0::/user.slice/user-1000.slice/session-2.scope\n"),
        CgroupPaths { unified: Some("/user.slice/user-1000.slice/session-2.scope".to_owned()), legacy: vec![] }
    );
    // A v1 hierarchy without a controller, and a path with a colon in it.
    assert_eq!(
        cgroup_paths("3:cpu,cpuacct:/a:b\n1:name=systemd:/\n"),
        CgroupPaths { unified: None, legacy: vec!["/a:b".to_owned(), "/".to_owned()] }
    );
}

#[test]
fn mounts_of_one_file_system() {
    let text = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 /docker/ab /sys/fs/cgroup/uni\\040fied ro,nosuid shared:9 master:2 - cgroup2 cgroup2 rw
";
    let expected = Mount { root: "/docker/ab".to_owned(), point: "/sys/fs/cgroup/uni fied".to_owned() };
    assert_eq!(mounts(text, "cgroup2"), [expected]);
    assert_eq!(mounts(text, "cgroup").len(), 1);
    assert_eq!(unescape("a\\134b\\"), "a\\b\\");
}

#[test]
fn small_texts() {
    assert_eq!(namespace("pid:[4026531836]"), Some(4_026_531_836));
    assert_eq!(namespace("pid:4026531836"), None);
    assert_eq!(cpu_count("0-3,8,10-11\n"), Some(7));
    assert_eq!(cpu_count("3-1"), None);
    assert_eq!(kernel_version("6.1.0-18-cloud-amd64"), Some((6, 1, 0)));
    assert_eq!(kernel_version("6.18-rc1"), Some((6, 18, 0)));
    assert_eq!(kernel_version("Linux"), None);
    assert_eq!(chosen("none [integrity] confidentiality\n"), Some("integrity"));
}
