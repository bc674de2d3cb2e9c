//! The Compose that reads `compose.yaml`, of `e2e/compose/go.mod`: the real one, without Docker.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::go::{self, Module};
use crate::layout::Layout;

const PROGRAM: &str = "docker-compose";
const PACKAGE: &str = "github.com/docker/compose/v2";
const MODULE: Module = Module {
    name: "compose",
    what: "Docker Compose",
    folder: "e2e/compose",
    sources: &[],
    programs: &[(PROGRAM, "github.com/docker/compose/v2/cmd")],
    linker_flags: |go_mod| {
        let version = go::required(go_mod, PACKAGE)?;
        Ok(format!("-s -w -X {PACKAGE}/internal.Version={version}"))
    },
};
/// Names one that is there already; tests get it by the same name.
pub(crate) const COMPOSE: &str = "PARLOR_DOCKER_COMPOSE";

/// The program: the one that `PARLOR_DOCKER_COMPOSE` names, else one in the user's cache, built at the first call.
pub(crate) fn compose(layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let Some(program) = std::env::var_os(COMPOSE).filter(|program| !program.is_empty()) else {
        return Ok(MODULE.build(layout, say)?.join(PROGRAM));
    };
    let program = PathBuf::from(program);
    ensure!(
        program.is_file(),
        "{COMPOSE} is {}, where no program is: name the file docker-compose, or unset the variable to have it built",
        program.display()
    );
    Ok(program)
}
