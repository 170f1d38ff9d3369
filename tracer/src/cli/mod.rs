//! The command line: what was typed → what is meant → what is printed for it, where no script is run.

pub mod doctor;
pub mod high;
pub mod list;
mod low;
pub mod output;
pub mod script;
pub mod status;
