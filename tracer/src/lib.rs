//! ctrace as a library: the stages behind the program.

pub mod cli;
pub mod compile;
pub mod host;
mod pattern;
pub mod pipeline;
pub mod plan;
pub mod report;
pub mod run;
