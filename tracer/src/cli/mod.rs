//! The command line: what was typed → what is meant → what is printed for it, where no script is run.

pub mod doctor;
pub mod high;
mod low;
pub mod script;
pub mod status;
