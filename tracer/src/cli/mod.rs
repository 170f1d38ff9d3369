//! The command line: what was typed → what is meant → what is printed for it, where no script is run.

pub mod doctor;
pub mod high;
pub mod imports;
pub mod list;
mod low;
pub mod output;
pub mod script;
pub mod status;

use std::io::{self, Write};

/// Says something on stderr, in whole lines.
pub fn say(text: &str) {
    // Where stderr is closed there is nobody to tell that it is.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}
