//! Control groups of the node: a child of our own in every hierarchy, so that all that it makes below goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

const ROOT: &str = "/sys/fs/cgroup";
/// Lists them, in the node's folder: before they are made, so that none is forgotten.
const LIST: &str = "cgroups";
/// What a node limits, where there is one hierarchy for all.
const CONTROLLERS: &str = "+cpuset +cpu +io +memory +pids";
/// Two processes find each other at the start.
const LIMIT: Duration = Duration::from_secs(30);

/// One of the hierarchies that this process is in.
struct Hierarchy {
    /// `cpu,cpuacct`, `name=systemd`; empty: the only one, of version 2.
    controllers: String,
    /// Where it is mounted.
    mount: PathBuf,
    /// This process's group there.
    group: PathBuf,
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let own = fs::read_to_string("/proc/self/cgroup").context("failed to read this process's cgroups")?;
    let hierarchies = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        // Of version 1 each is mounted by its name; the one without, where it is beside them, has no controllers.
        let mount = match controllers.is_empty() {
            true if one_for_all() => PathBuf::from(ROOT),
            true => return None,
            false => Path::new(ROOT).join(controllers.trim_start_matches("name=")),
        };
        // Of version 2 a group with processes has no children with controllers; the first group is no such.
        let group = if controllers.is_empty() { "/" } else { group };
        let group = mount.join(group.trim_start_matches('/'));
        Some(Hierarchy { controllers: controllers.to_owned(), mount, group })
    });
    Ok(hierarchies.filter(|hierarchy| hierarchy.mount.is_dir()).collect())
}

/// Makes them; gives the file that lists them, one a line.
pub(super) fn make(folder: &Path) -> Result<PathBuf> {
    let (list, hierarchies) = (folder.join(LIST), hierarchies()?);
    let name = format!("parlor-node-{}", std::process::id());
    let all: Vec<PathBuf> = hierarchies.iter().map(|hierarchy| hierarchy.group.join(&name)).collect();
    let lines: Vec<String> = all.iter().map(|group| group.display().to_string()).collect();
    fs::write(&list, lines.join("\n")).context("failed to list the node's cgroups")?;
    for (hierarchy, group) in hierarchies.iter().zip(&all) {
        fs::create_dir(group).with_context(|| format!("failed to make the cgroup {}", group.display()))?;
        match hierarchy.controllers.as_str() {
            "" => fs::write(hierarchy.group.join("cgroup.subtree_control"), CONTROLLERS)
                .context("failed to hand controllers of cgroups down")?,
            // A new one has no processors and no memory.
            controllers if controllers.split(',').any(|name| name == "cpuset") => {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    fs::copy(hierarchy.group.join(file), group.join(file))
                        .with_context(|| format!("failed to fill {}", group.join(file).display()))?;
                }
            }
            _ => {}
        }
    }
    Ok(list)
}

/// Inside, in namespaces of its own: what is to be mounted below `/sys/fs/cgroup`, as type, options and folder.
pub(super) fn mounts() -> Result<Vec<(&'static str, String, PathBuf)>> {
    let mounts = hierarchies()?.into_iter().map(|hierarchy| match hierarchy.controllers.as_str() {
        "" => ("cgroup2", "rw".to_owned(), hierarchy.mount),
        name if name.starts_with("name=") => ("cgroup", format!("none,{name}"), hierarchy.mount),
        controllers => ("cgroup", controllers.to_owned(), hierarchy.mount),
    });
    Ok(mounts.collect())
}

/// Inside, where there is one hierarchy for all: what runs here into a group of its own, and the controllers handed down from the
/// first, which is empty once the process outside has gone from it too.
pub(super) fn hand_down() -> Result<()> {
    let root = Path::new(ROOT);
    if !one_for_all() {
        return Ok(());
    }
    let own = root.join("inside");
    fs::create_dir(&own).context("failed to make a cgroup inside")?;
    let processes = fs::read_to_string(root.join("cgroup.procs")).context("failed to list the first processes")?;
    // Those of other namespaces are called 0.
    for process in processes.lines().filter(|process| *process != "0") {
        fs::write(own.join("cgroup.procs"), process).context("failed to move a process to its cgroup")?;
    }
    let handed = wait::until(LIMIT, || Ok(fs::write(root.join("cgroup.subtree_control"), CONTROLLERS).ok()))?;
    handed.context("failed to hand the controllers of cgroups down")
}

/// Outside, where there is one hierarchy for all: the process that made the namespaces leaves the first group of them.
pub(super) fn leave(folder: &Path, process: u32) -> Result<()> {
    let list = fs::read_to_string(folder.join(LIST)).context("failed to read the node's cgroups")?;
    if let Some(group) = list.lines().next().filter(|_| one_for_all()) {
        let outside = Path::new(group).join("outside");
        fs::create_dir(&outside).context("failed to make a cgroup for what is outside")?;
        fs::write(outside.join("cgroup.procs"), process.to_string()).context("failed to leave the node's cgroup")?;
    }
    Ok(())
}

fn one_for_all() -> bool {
    Path::new(ROOT).join("cgroup.controllers").is_file()
}

/// Removes those that are listed, deepest first; gives those that are still in use.
pub(super) fn remove(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(folder.join(LIST)).unwrap_or_default();
    let mut left: Vec<PathBuf> = list.lines().map(PathBuf::from).collect();
    left.retain(|group| {
        remove_with_children(group);
        group.exists()
    });
    left
}

fn remove_with_children(group: &Path) {
    for child in fs::read_dir(group).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_with_children(&child.path());
        }
    }
    // Whoever is in use says so by still being there.
    fs::remove_dir(group).ok();
}
