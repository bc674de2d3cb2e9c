//! What tests against real servers need: a database, a virtual host and a Redis of their own on the servers of the run, and
//! whole stacks of their own. It depends on no program, so that every program's tests can use it.

pub mod cleanup;
pub mod http;
pub mod servers;
pub mod stack;
pub mod wait;
