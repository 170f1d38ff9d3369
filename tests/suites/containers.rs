//! ctrace in real Docker containers.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::{Arguments, Trial};
use tests::docker::Docker;
use tests::programs;

/// A test: what runs it, and the daemon and programs it gets.
type Test = fn(&World) -> Result<()>;

const TESTS: &[(&str, Test)] = &[("a_container_runs_and_is_gone_with_its_guard", container_is_gone)];

/// What every test gets.
struct World {
    docker: Docker,
    peer: std::path::PathBuf,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let world = Arc::new(World { docker: Docker::connect()?, peer: programs::peer()? });
    let trials = TESTS.iter().map(|&(name, test)| {
        let world = Arc::clone(&world);
        Trial::test(name, move || test(&world).map_err(|error| format!("{error:#}").into()))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The exit status is not `exit`ed with: the daemon's guard must see the end of this function.
    Ok(conclusion.exit_code())
}

fn container_is_gone(world: &World) -> Result<()> {
    let image = world.docker.image(&[(&world.peer, "/bin/peer")], true)?;
    let container = world.docker.run(&[], &image, &["sleep", "1000"])?;
    let ran = container.exec(&["sh", "-c", "peer getppid=7 && exit 5"])?;
    ensure!(ran.status.code() == Some(5), "exec ended with {}", ran.status);
    let name = container.name.clone();
    drop(container);
    let left = world.docker.read(&["ps", "--all", "--filter", &format!("name={name}"), "--quiet"])?;
    ensure!(left.is_empty(), "{name} is still there");
    Ok(())
}
