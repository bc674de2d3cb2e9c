//! `operator validate`: what the operator would say of these manifests, for a person or a pipeline, without any server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::crd;
use crate::source::{claims, files, folder};

/// Prints every complaint with its file, line, field and cure. Each path is looked at by itself, as a folder of its own.
pub(crate) fn run(paths: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let schemas = crd::schemas()?;
    let (mut good, mut wrong) = (0, 0);
    for path in paths {
        let scan = folder::look(path).with_context(|| format!("failed to read {}", path.display()))?;
        let platform = files::choose_platform(&schemas, &scan);
        let claims = claims::choose(&scan, &BTreeMap::new(), "", None);
        for report in files::reports(&schemas, &scan, &claims, &platform).values() {
            if !report.message.is_empty() {
                println!("{}", report.message);
            }
            if report.ready {
                good += 1;
            } else {
                wrong += 1;
            }
        }
    }
    println!("{good} files are good, {wrong} are wrong");
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
