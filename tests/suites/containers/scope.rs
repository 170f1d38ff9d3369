//! A container sees itself and nothing else.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tests::cgroup::{self, Cgroup};
use tests::docker::Container;
use tests::process;

use crate::world::{Held, PRIVILEGED, World, exec, exec_held, json};

/// Who makes system calls, with the pids that are shown.
const WHO: &str = "tracepoint:raw_syscalls:sys_enter { @[comm, pid] = count(); }";

/// All tasks that the kernel goes over.
const TASKS: &str = "iter:task { @[ctx.task.comm, ctx.task.tgid] = count(); }";

/// With busy neighbours in other containers and on the host: the application's processes, by the pids that `ps` shows in
/// there; one in a cgroup that the application has made is among them.
pub fn own_processes_only(world: &World) -> Result<()> {
    let image = world.application()?;
    let start = |name: &str, options: &[&str]| {
        let options = [&["--interactive"], options].concat();
        world.docker.run(&options, &image, &["peer", &format!("name={name}"), "busy"])
    };
    let _other = start("other", &[])?;
    let _another = start("another", &[])?;
    let host = Cgroup::new("host")?;
    let mut busy = process::command(&host, &format!("exec '{}' name=host busy", world.peer().display()));
    let _host_process = Held(busy.stdin(Stdio::piped()).spawn()?);

    let root = cgroup::root()?.display().to_string();
    let app = start("app", &[PRIVILEGED, &["--volume", &format!("{root}:{root}")]].concat())?;
    let _below = exec_held(&app, &["peer", "cgroup=below", "name=below", "busy"])?;
    wait_for(&app, "below")?;

    let mut expected = processes(&app)?;
    expected.retain(|(name, _)| ["app", "below"].contains(&name.as_str()));
    ensure!(expected.len() == 2, "`ps` shows {expected:?}");
    for script in [WHO, TASKS] {
        let printed = exec(&app, &["ctrace", "-f", "json", "-d", "1", "-e", script])?;
        let seen = seen(&printed)?;
        ensure!(expected.is_subset(&seen), "{script}: expected {expected:?}, saw {seen:?}");
        // ctrace is a process of the container too.
        let strangers: Vec<_> = seen.difference(&expected).filter(|(name, _)| name != "ctrace").collect();
        ensure!(strangers.is_empty(), "{script}: saw {strangers:?}");
    }
    Ok(())
}

/// A second container in the application's pid namespace, which is shown the tree of cgroups to find the application there.
pub fn sidecar(world: &World) -> Result<()> {
    let image = world.application()?;
    let app = world.docker.run(&["--interactive"], &image, &["peer", "name=app", "busy"])?;
    let namespace = format!("container:{}", app.name);
    let cgroups = ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "--cgroupns", "host"];
    let options = [PRIVILEGED, &["--pid", &namespace], &cgroups].concat();
    let sidecar = world.docker.run(&options, &image, &["sleep", "1000"])?;
    let printed = exec(&sidecar, &["ctrace", "-f", "json", "-d", "1", "--scope", "pid:1", "-e", WHO])?;
    let seen = seen(&printed)?;
    ensure!(seen == BTreeSet::from([("app".to_owned(), 1)]), "saw {seen:?}");
    Ok(())
}

/// Keys of the map `@`, which are `comm,pid`.
fn seen(printed: &str) -> Result<BTreeSet<(String, u32)>> {
    let map = json(printed, "map")?;
    let keys = map["@"].as_object().with_context(|| format!("no map in {printed}"))?.keys();
    keys.map(|key| {
        let (name, pid) = key.rsplit_once(',').context("a key has two parts")?;
        Ok((name.to_owned(), pid.parse()?))
    })
    .collect()
}

/// What `ps` shows in the container.
fn processes(container: &Container) -> Result<BTreeSet<(String, u32)>> {
    let listed = exec(container, &["ps", "-o", "pid,comm"])?;
    let processes = listed.lines().skip(1).map(|line| {
        let (pid, name) = line.trim().split_once(' ').context("a line of ps has two parts")?;
        Ok((name.trim().to_owned(), pid.parse()?))
    });
    processes.collect()
}

/// Waits until a process of this name is there. Docker says nothing of what runs in a container.
fn wait_for(container: &Container, name: &str) -> Result<()> {
    for _ in 0..200 {
        if processes(container)?.iter().any(|(other, _)| other == name) {
            return Ok(());
        }
    }
    anyhow::bail!("{name} does not start")
}
