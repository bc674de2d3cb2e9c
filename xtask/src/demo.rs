//! Accounts to try Parlor with. They exist only in a stack of `cargo xtask up`.

use anyhow::{Result, bail};
use serde_json::json;

use crate::http;

/// Who they are: user name and the name that is shown.
pub(crate) const ACCOUNTS: [(&str, &str); 3] = [("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol")];
/// The password of all of them.
pub(crate) const PASSWORD: &str = "parlor-demo";

/// Registers those that are not there yet.
pub(crate) fn register(users: &str) -> Result<()> {
    for (username, display_name) in ACCOUNTS {
        let body = json!({"username": username, "password": PASSWORD, "display_name": display_name});
        let answer = http::post(&format!("{users}/v1/register"), &body)?;
        match answer.status {
            201 | 409 => {}
            status => bail!("user-service did not register {username}: {status} {}", answer.body),
        }
    }
    Ok(())
}
