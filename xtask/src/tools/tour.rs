//! What `docs/tour` calls besides what a system has: a client for sockets and one for gRPC, of `web/package.json` and `e2e/tour/go.mod`.

use std::path::PathBuf;

use anyhow::Result;

use super::Need;
use super::go::Module;
use crate::layout::Layout;
use crate::web;

const MODULE: Module = Module {
    name: "tour",
    what: "grpcurl",
    folder: "e2e/tour",
    sources: &[],
    programs: &[("grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl")],
    linker_flags: |_| Ok("-s -w".to_owned()),
};

/// The folders of `wscat` and `grpcurl`, filled at the first call; curl, jq and psql are in PATH then.
pub(crate) fn tour(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>> {
    super::require(&[Need::Postgres, Need::Node, Need::Go, Need::Curl, Need::Jq], say)?;
    web::packages(layout, say)?;
    Ok(vec![layout.root.join("web/node_modules/.bin"), MODULE.build(layout, say)?])
}

/// Prints what a shell has to know to find them.
pub(crate) fn print() -> Result<()> {
    // Standard output is for the shell.
    let folders = tour(&Layout::new(None, 0)?, &mut |line| eprintln!("{line}"))?;
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    println!("export PATH={}:$PATH", folders.join(":"));
    Ok(())
}
