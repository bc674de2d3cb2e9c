//! HTTP edge: extract, call, reply.

pub(crate) mod caller;
pub(crate) mod config;
pub(crate) mod documents;
pub(crate) mod echo;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod room_path;
pub(crate) mod rooms;
pub(crate) mod socket;
pub(crate) mod unbuilt;
pub(crate) mod web;
