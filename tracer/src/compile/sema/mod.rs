//! Syntax tree → typed program and plan: names, types, built-ins, probes, policy.

pub mod typed;
