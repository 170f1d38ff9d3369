//! Object and plan → a live session.

pub mod sys;
