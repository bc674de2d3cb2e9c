//! `images`: container images without a registry and without a builder, from the programs that cargo has built. Each is an OCI archive,
//! as `ctr images import` and `kind load image-archive` take it.

mod archive;
mod layer;
mod programs;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::args::ImagesOptions;
use crate::layout::Layout;
use crate::{cargo, tools, web};

/// Stands before the names of all images. It is nobody's registry, so that nothing asks for them there.
const PREFIX: &str = "parlor.local";
/// Holds the namespaces of a pod.
pub(crate) const PAUSE: &str = "parlor.local/pause:1";
/// Answers names of Services.
pub(crate) const DNS: &str = "parlor.local/coredns:1";

/// Writes the images of our programs, to `target/images` unless another folder is named.
pub(crate) fn write(options: &ImagesOptions) -> Result<()> {
    let layout = Layout::new(None, 0)?;
    let out = options.out.clone().unwrap_or_else(|| layout.root.join("target/images"));
    for (image, path) in write_programs(&layout, &out, true)? {
        println!("{image} in {}", path.display());
    }
    Ok(())
}

/// Writes everything that a node of this machine has, to a folder. `kubernetes`: where its programs are.
pub(crate) fn write_for_node(layout: &Layout, out: &Path, build: bool, kubernetes: &Path) -> Result<()> {
    write_programs(layout, out, build)?;
    write_program(&kubernetes.join("coredns"), &[], DNS, &out.join("coredns.tar"))?;
    // It has only to be there.
    let sleep = tools::find("sleep").context("there is no sleep in PATH")?;
    write_program(&sleep, &["infinity"], PAUSE, &out.join("pause.tar"))?;
    servers::write(&out.join("servers.tar")).context("no images of servers")
}

/// Values of the chart by which it takes those images.
pub(crate) fn values() -> Value {
    let repository = |name: &str| json!({"image": {"repository": format!("{PREFIX}/{name}")}});
    json!({
        "operator": repository("operator"),
        "chat": repository("chat-service"),
        "users": repository("user-service"),
        "demoImages": {
            "rabbitmq": servers::name("rabbitmq"), "postgres": servers::name("postgres"), "redis": servers::name("redis"),
        },
    })
}

/// The images' names and their archives.
fn write_programs(layout: &Layout, out: &Path, build: bool) -> Result<Vec<(String, PathBuf)>> {
    fs::create_dir_all(out).with_context(|| format!("failed to make {}", out.display()))?;
    if build {
        // First, since it becomes part of chat-service.
        web::build(layout, &mut |line| println!("{line}"))?;
        cargo::build_programs(layout)?;
    } else {
        cargo::require_programs(layout)?;
    }
    let mut written = Vec::new();
    for name in cargo::PROGRAMS {
        let image = format!("{PREFIX}/{name}:{}", env!("CARGO_PKG_VERSION"));
        let path = out.join(format!("{name}.tar"));
        write_program(&cargo::program(layout, name), &[], &image, &path)?;
        written.push((image, path));
    }
    Ok(written)
}

fn write_program(program: &Path, args: &[&str], image: &str, archive: &Path) -> Result<()> {
    programs::write(program, args, image, archive).with_context(|| format!("no image {image}"))
}

fn run(command: &mut Command, what: &str) -> Result<String> {
    let output = command.output().with_context(|| format!("{what} is needed and could not be run"))?;
    ensure!(output.status.success(), "{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
