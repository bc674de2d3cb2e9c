//! The claims of a person's and a service's token, how they are signed and how they are checked. Both services and the operator
//! meet here; nothing else may be in it.

mod claims;
pub mod holders;
mod jws;
pub mod keys;
mod service_token;
mod verifier;

pub use claims::{Person, PersonClaims, Service, TokenError};
pub use keys::Keys;
pub use service_token::{ServiceTokenFile, ServiceTokenFileError};
pub use verifier::Verifier;

#[cfg(test)]
mod tests;
