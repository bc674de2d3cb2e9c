//! What the product does with rooms, one verb per file.

pub(crate) mod access;
pub(crate) mod close;
pub(crate) mod confirm;
pub(crate) mod delete;
pub(crate) mod effects;
pub(crate) mod fence;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod list;
pub(crate) mod members;
pub(crate) mod membership;
pub(crate) mod names;
pub(crate) mod page;
pub(crate) mod position;
pub(crate) mod post;
pub(crate) mod put;
pub(crate) mod read;
pub(crate) mod refusal;
pub(crate) mod replace;
pub(crate) mod spec;
pub(crate) mod subscribe;
pub(crate) mod view;

#[cfg(test)]
pub(crate) mod testing;
