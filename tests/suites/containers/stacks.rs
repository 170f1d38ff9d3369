//! Stacks have the names that are in the container's own files.

use anyhow::{Context, Result, ensure};

use crate::world::{PRIVILEGED, World, exec, json};

/// A profile names the function that takes the time, of a program that is nowhere but in the container, and of a process
/// that has ended before anything is printed.
pub fn hot_function(world: &World) -> Result<()> {
    let image = world.application()?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    let script = "profile:hz:99 { @[ustack, kstack, comm] = count(); }";
    let printed = exec(&app, &["ctrace", "-f", "json", "-e", script, "-c", "peer fork burn=1000"])?;

    let samples = json(&printed, "map")?;
    let samples = samples["@"].as_object().context("stacks with their counts")?;
    let count = |of: &dyn Fn(&str) -> bool| -> u64 {
        samples.iter().filter(|(stack, _)| of(stack)).filter_map(|(_, count)| count.as_u64()).sum()
    };
    let hot = count(&|stack| stack.starts_with("\n        peer_burn+") && stack.ends_with(",peer"));
    let all = count(&|_| true);
    // A second of processor time is 99 samples; whatever else is sampled is the start and the end of programs.
    ensure!(hot * 2 > all && hot > 49, "{hot} of {all} samples in peer_burn:\n{printed}");
    Ok(())
}
