//! Loads the floor's programs: `floor OBJECT CGROUP_ID LEVEL`. It prints a line when they are attached, and they stay so
//! until it is interrupted.

use std::env;
use std::io::Write;

use anyhow::{Context, Result};
use aya::programs::BtfTracePoint;
use aya::{Btf, EbpfLoader};

fn main() -> Result<()> {
    let [object, cgroup, level]: [String; 3] =
        env::args().skip(1).collect::<Vec<_>>().try_into().ok().context("usage: floor OBJECT CGROUP_ID LEVEL")?;
    let (cgroup, level): (u64, u32) = (cgroup.parse()?, level.parse()?);
    let btf = Btf::from_sys_fs()?;
    let mut object = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("CGROUP", &cgroup, true)
        .override_global("LEVEL", &level, true)
        .allow_unsupported_maps()
        .load_file(object)?;
    for (name, tracepoint) in [("enter", "sys_enter"), ("exit", "sys_exit")] {
        let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
        let program: &mut BtfTracePoint = program.try_into()?;
        program.load(tracepoint, &btf)?;
        program.attach()?;
    }
    println!("attached");
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
