//! Programs of the Go modules in this repository: built once for this machine, kept outside the checkout.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ring::digest::{SHA256, digest};

use crate::layout::Layout;
use crate::wait;

/// One program with its downloads, on a small machine.
const LIMIT: Duration = Duration::from_mins(30);

/// A Go module and what of it is built.
pub(super) struct Module {
    /// How it is called in the cache.
    pub(super) name: &'static str,
    /// How people call it.
    pub(super) what: &'static str,
    /// Below the root of the repository.
    pub(super) folder: &'static str,
    /// Its own sources, if it has any.
    pub(super) sources: &'static [&'static str],
    /// Programs by their names and import paths.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// Flags of the linker, from the text of `go.mod`.
    pub(super) linker_flags: fn(&str) -> Result<String>,
}

impl Module {
    /// The folder of its programs, filled at the first call.
    pub(super) fn build(&self, layout: &Layout, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let module = layout.root.join(self.folder);
        let folder = cache()?.join(format!("{}-{}", self.name, self.fingerprint(&module)?));
        if self.missing(&folder).is_empty() {
            return Ok(folder);
        }
        say(&format!("building {} into {}: some minutes, once", self.what, folder.display()));
        // Finished or not there: a build that was cut off, or one that another checkout does meanwhile, leaves nothing half.
        let unfinished = folder.with_extension(format!("{}.part", std::process::id()));
        let outcome = self.build_into(&module, &unfinished, say);
        if outcome.is_ok() && self.missing(&folder).is_empty() {
            fs::remove_dir_all(&unfinished).ok();
            return Ok(folder);
        }
        let outcome =
            outcome.and_then(|()| fs::rename(&unfinished, &folder).context("failed to put the programs in place"));
        if outcome.is_err() {
            fs::remove_dir_all(&unfinished).ok();
        }
        outcome.map(|()| folder)
    }

    /// Programs that the folder does not have.
    pub(super) fn missing(&self, folder: &Path) -> Vec<&'static str> {
        self.programs.iter().map(|(name, _)| *name).filter(|name| !folder.join(name).is_file()).collect()
    }

    /// Another version of anything is another folder.
    fn fingerprint(&self, module: &Path) -> Result<String> {
        let mut bytes = Vec::new();
        for name in ["go.mod", "go.sum"].iter().chain(self.sources) {
            bytes
                .extend(fs::read(module.join(name)).with_context(|| format!("failed to read {}/{name}", self.folder))?);
        }
        let mut name = String::new();
        for byte in digest(&SHA256, &bytes).as_ref().iter().take(6) {
            write!(name, "{byte:02x}")?;
        }
        Ok(name)
    }

    fn build_into(&self, module: &Path, folder: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        let flags = (self.linker_flags)(&fs::read_to_string(module.join("go.mod"))?)?;
        for (name, package) in self.programs {
            say(&format!("go build {package}"));
            let mut output = OsString::from("-o=");
            output.push(folder.join(name));
            let mut command = Command::new("go");
            command.args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
            command.arg(format!("-ldflags={flags}")).arg(output).arg(package);
            // The machine's own settings for Go may name another module mode.
            command.current_dir(module).env("CGO_ENABLED", "0").env("GOFLAGS", "");
            let mut child = command.spawn().context("failed to run go")?;
            let status = wait::child(&mut child, &format!("go build {package}"), LIMIT)?;
            ensure!(status.success(), "go build {package} failed ({status}): see its message above");
        }
        Ok(())
    }
}

/// Outside the checkout, so that every clone on this machine shares it.
fn cache() -> Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set: what Go builds has no place")?.join("parlor"))
}

/// The version that a `go.mod` requires of a module: `v1.35.4`.
pub(super) fn required(go_mod: &str, module: &str) -> Result<String> {
    let mut words =
        go_mod.lines().map(|line| line.trim_start_matches("require ").split_whitespace().collect::<Vec<_>>());
    words
        .find_map(|words| (words.first() == Some(&module)).then(|| words.get(1).map(|word| (*word).to_owned())))
        .flatten()
        .with_context(|| format!("go.mod does not require {module}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_required_one() {
        let module = "k8s.io/kubernetes";
        let text = "module x\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.16\n\tk8s.io/kubernetes v1.35.4\n)\n";
        assert_eq!(required(text, module).unwrap(), "v1.35.4");
        assert_eq!(required("require k8s.io/kubernetes v1.35.4 // indirect\n", module).unwrap(), "v1.35.4");
        assert!(required("require k8s.io/api v0.35.4\n", module).is_err());
    }
}
