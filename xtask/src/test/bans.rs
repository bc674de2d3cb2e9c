//! What must not be in the lock files: a second TLS stack, and anything that does not come from the public registries.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::layout::Layout;

/// rustls on ring is the only TLS; a second one makes programs panic or link C libraries.
const BANNED: [(&str, &str); 4] = [
    ("aws-lc", "two rustls providers in one program panic; take features on ring"),
    ("openssl", "rustls on ring is the only TLS"),
    ("native-tls", "rustls on ring is the only TLS"),
    ("hyper-tls", "rustls on ring is the only TLS"),
];
/// Pure code that only looks for the system's certificates, in spite of its name.
const ALLOWED: [&str; 1] = ["openssl-probe"];
const CRATES: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Reads both lock files.
pub(crate) fn check(layout: &Layout) -> Result<()> {
    let cargo = fs::read_to_string(layout.root.join("Cargo.lock")).context("failed to read Cargo.lock")?;
    let npm =
        fs::read_to_string(layout.root.join("web/package-lock.json")).context("failed to read package-lock.json")?;
    let mut wrong = in_cargo_lock(&cargo);
    wrong.extend(in_package_lock(&npm));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn in_cargo_lock(text: &str) -> Vec<String> {
    let value = |line: &str, key: &str| line.strip_prefix(key).map(|rest| rest.trim_matches('"').to_owned());
    let mut wrong = Vec::new();
    let mut package = String::new();
    for line in text.lines() {
        if let Some(name) = value(line, "name = ") {
            let ban = BANNED.iter().find(|(start, _)| name.starts_with(start) && !ALLOWED.contains(&name.as_str()));
            wrong.extend(ban.map(|(_, why)| format!("Cargo.lock: {name} is banned: {why} (cargo tree -i {name})")));
            package = name;
        } else if let Some(source) = value(line, "source = ")
            && source != CRATES
        {
            wrong.push(format!("Cargo.lock: {package} comes from {source}: only crates.io is allowed"));
        }
    }
    wrong
}

/// npm leaves out the addresses of packages of the registry in use (`web/.npmrc`): whatever names one comes from elsewhere.
fn in_package_lock(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("\"resolved\": \""))
        .map(|address| {
            format!("web/package-lock.json: {} is not from the registry in use", address.trim_end_matches(['"', ',']))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_tls_stack_and_a_git_source_are_found() {
        let lock = "[[package]]\nname = \"aws-lc-rs\"\nversion = \"1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n\
                    [[package]]\nname = \"x\"\nsource = \"git+https://example.com/x#abc\"\n\n[[package]]\nname = \"openssl-probe\"\n";
        let wrong = in_cargo_lock(lock);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("aws-lc-rs is banned") && wrong[1].contains("x comes from git+"));
    }

    #[test]
    fn packages_of_another_registry_are_found() {
        let lock =
            "  \"node_modules/a\": {\n  \"version\": \"1.0.0\",\n  \"resolved\": \"https://example.com/b.tgz\",\n";
        assert_eq!(
            in_package_lock(lock),
            ["web/package-lock.json: https://example.com/b.tgz is not from the registry in use"]
        );
    }
}
