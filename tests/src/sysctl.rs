//! Settings of the kernel, changed for as long as a case runs and then put back. They are everybody's: a case that changes
//! some runs alone.

use std::fs;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::{Context, Result};

use crate::case::Case;

static ALONE: RwLock<()> = RwLock::new(());

/// While it lives, the settings are the case's.
pub struct Settings {
    /// Files, and what was in them.
    before: Vec<(PathBuf, String)>,
    _turn: Turn,
}

#[expect(dead_code, reason = "what counts is that they are kept")]
enum Turn {
    WithOthers(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Settings {
    /// Changes what the case wants changed, once no other case runs.
    pub fn of(case: &Case) -> Result<Self> {
        // A case that has panicked has put its settings back all the same.
        let turn = match case.sysctl.is_empty() {
            true => Turn::WithOthers(ALONE.read().unwrap_or_else(PoisonError::into_inner)),
            false => Turn::Alone(ALONE.write().unwrap_or_else(PoisonError::into_inner)),
        };
        let mut settings = Self { before: Vec::new(), _turn: turn };
        for (name, value) in &case.sysctl {
            let file = PathBuf::from("/proc/sys").join(name.replace('.', "/"));
            let before = fs::read_to_string(&file).with_context(|| format!("there is no setting {name}"))?;
            fs::write(&file, value).with_context(|| format!("cannot set {name} to {value}"))?;
            settings.before.push((file, before));
        }
        Ok(settings)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        for (file, before) in self.before.iter().rev() {
            if let Err(error) = fs::write(file, before.trim()) {
                eprintln!("{} is left changed: {error}", file.display());
            }
        }
    }
}
