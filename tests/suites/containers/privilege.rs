//! What a container may do: nothing by default, and then what the way out says.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::world::{World, stderr};

const HELLO: &str = "BEGIN { printf(\"hello\\n\"); exit(); }";

/// The exit status for a missing privilege or kernel feature.
const REFUSED: i32 = 4;

/// An image with one file, `/ctrace`.
pub fn from_scratch(world: &World) -> Result<()> {
    let image = world.scratch()?;
    let run = ["run", "--rm", "--cap-add", "SYS_ADMIN", &image.name, "/ctrace", "-q", "-e", HELLO];
    let output = world.docker.output(&run)?;
    ensure!(says_hello(&output), "{output:?}");
    Ok(())
}

/// Refused within a second, with options for `docker run`: those, followed to the letter, work.
pub fn way_out(world: &World) -> Result<()> {
    let image = world.application()?;
    // The time is the refusal's alone, not that of starting a container.
    let container = world.docker.run(&[], &image, &["sleep", "1000"])?;
    let start = Instant::now();
    let refused = container.exec(&["ctrace", "-e", HELLO])?;
    let took = start.elapsed();
    ensure!(
        refused.status.code() == Some(REFUSED),
        "ended with {}, not {REFUSED}:\n{}",
        refused.status,
        stderr(&refused)
    );
    ensure!(took < Duration::from_secs(1), "the refusal took {took:?}");
    ensure!(refused.stdout.is_empty(), "printed to stdout: {:?}", refused.stdout);

    let said = stderr(&refused);
    let old = major_version(world)? < 23;
    let mut followed = 0;
    for line in said.lines().map(str::trim).filter(|line| line.starts_with("docker run ")) {
        if old && line.contains("Docker 23 or later") {
            continue;
        }
        let options = line.split('…').next().unwrap_or(line).trim_start_matches("docker run ");
        let options: Vec<&str> = options.split_whitespace().collect();
        let command = ["ctrace", "-q", "-e", HELLO];
        let output = world.docker.output(&[&["run", "--rm"], &options[..], &[&image.name], &command].concat())?;
        ensure!(says_hello(&output), "with {options:?}: {}\n{}", output.status, stderr(&output));
        followed += 1;
    }
    ensure!(followed > 0, "no way out for this Docker in:\n{said}");
    Ok(())
}

/// `ctrace doctor` works where nothing else does.
pub fn doctor(world: &World) -> Result<()> {
    let image = world.application()?;
    let output = world.docker.output(&["run", "--rm", &image.name, "ctrace", "doctor"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("docker run --cap-add"), "no way out in:\n{said}\n{}", stderr(&output));
    Ok(())
}

/// As in bpftrace, empty lines end the output.
fn says_hello(output: &Output) -> bool {
    output.status.success() && output.stdout.trim_ascii() == b"hello"
}

fn major_version(world: &World) -> Result<u32> {
    let version = world.docker.read(&["version", "--format", "{{.Server.Version}}"])?;
    version.split('.').next().and_then(|major| major.parse().ok()).context("Docker's version is not a number")
}
