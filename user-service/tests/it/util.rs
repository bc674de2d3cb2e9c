//! A user-service of a test's own, and what tests ask of it.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod redis_server;

pub(crate) use answer::Answer;
pub(crate) use app::{Options, TestApp};
