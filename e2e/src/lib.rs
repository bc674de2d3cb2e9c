//! What tests against real servers need: a database, a virtual host and a Redis of their own on the servers of the run,
//! programs that never outlive the test, proxies that break things, whole stacks, and the checker. It depends on no program, so that every program's tests can use it.

pub mod address;
pub mod checker;
pub mod cleanup;
pub mod http;
pub mod keys;
pub mod kube;
pub mod load;
pub mod person;
pub mod ports;
pub mod program;
pub mod proxy;
pub mod rawlog;
pub mod rig;
pub mod schema;
pub mod scratch;
pub mod servers;
pub mod signal;
pub mod socket;
pub mod stack;
pub mod transcript;
pub mod wait;
