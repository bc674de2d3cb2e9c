//! The image of one of our programs: itself without its debug information, the libraries that it is linked with, and what a C library
//! looks for. Nothing in it can be run besides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::archive::{self, Image};
use super::layer::{Layer, Sealed};
use super::run;

/// Who it runs as: nobody in particular, who may write nowhere.
const USER: u32 = 65532;
/// Certificate authorities of Debian and Ubuntu, and of the family of Fedora.
const AUTHORITIES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Writes the image to `archive`. `args`: what the program is told when nobody tells it otherwise.
pub(super) fn write(program: &Path, args: &[&str], image: &str, archive: &Path) -> Result<()> {
    let name = program.file_name().context("the program has no name")?.to_string_lossy().into_owned();
    let (stripped, layer_file) = (archive.with_extension("stripped"), archive.with_extension("layer"));
    let entrypoint = format!("/usr/bin/{name}");
    let config = json!({"Entrypoint": [entrypoint], "Cmd": args, "User": format!("{USER}:{USER}"), "WorkingDir": "/"});
    let outcome = fill(program, &entrypoint, &stripped, &layer_file)
        .and_then(|sealed| archive::write(archive, &[Image { name: image.to_owned(), config }], &sealed, &layer_file));
    for file in [stripped, layer_file] {
        fs::remove_file(file).ok();
    }
    outcome
}

fn fill(program: &Path, entrypoint: &str, stripped: &Path, layer_file: &Path) -> Result<Sealed> {
    let mut strip = Command::new("strip");
    run(strip.arg("-o").arg(stripped).arg(program), "strip, of the package binutils,")?;
    let mut layer = Layer::new(layer_file)?;
    for folder in ["etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/bin"] {
        layer.folder(folder, false)?;
    }
    layer.folder("tmp", true)?;
    layer.text("etc/nsswitch.conf", 0o644, "hosts: files dns\n")?;
    layer.text("etc/passwd", 0o644, &format!("parlor:x:{USER}:{USER}::/:/sbin/nologin\n"))?;
    layer.text("etc/group", 0o644, &format!("parlor:x:{USER}:\n"))?;
    if let Some(authorities) = AUTHORITIES.iter().map(Path::new).find(|path| path.is_file()) {
        layer.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities)?;
    }
    for library in libraries(program)? {
        // Where the program looks for it.
        layer.file(&library.to_string_lossy(), 0o755, &library)?;
    }
    layer.file(entrypoint, 0o755, stripped)?;
    layer.seal()
}

/// The files that the loader would open, as `ldd` lists them: `libc.so.6 => /lib/… (0x…)`, and the loader itself without an arrow.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd, which comes with the C library, is needed")?;
    if String::from_utf8_lossy(&output.stderr).contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    ensure!(output.status.success(), "ldd failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let mut all = Vec::new();
    for line in text.lines() {
        ensure!(!line.contains("not found"), "a library is missing: {}", line.trim());
        all.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    all.sort();
    Ok(all)
}
