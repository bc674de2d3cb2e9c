//! An OCI archive: a tar of blobs named by their digests, of which one is the configuration and one the manifest of an image
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>).

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{Builder, Header};

use super::layer::Sealed;

/// What an image is, its layer apart.
pub(super) struct Image {
    /// With its tag.
    pub(super) name: String,
    /// `config` of its configuration: entrypoint, user, environment.
    pub(super) config: Value,
}

/// Writes an archive with these images, which share the layer in this file.
pub(super) fn write(archive: &Path, images: &[Image], layer: &Sealed, file: &Path) -> Result<()> {
    // Finished or not there.
    let unfinished = archive.with_extension("part");
    let output = File::create(&unfinished).with_context(|| format!("failed to make {}", unfinished.display()))?;
    let mut tar = Builder::new(output);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut entries = Vec::new();
    for image in images {
        let config = Blob::new(&json!({"architecture": architecture(), "os": "linux", "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)]}}));
        let layers = json!([{"mediaType": LAYER, "digest": format!("sha256:{}", layer.digest), "size": layer.size}]);
        let manifest = Blob::new(&json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config.entry(CONFIG),
            "layers": layers}));
        for blob in [&config, &manifest] {
            put(&mut tar, blob_path(&blob.digest), &blob.bytes)?;
        }
        let tag = image.name.rsplit(':').next().unwrap_or_default();
        let mut entry = manifest.entry(MANIFEST);
        entry["annotations"] =
            json!({"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag});
        entries.push(entry);
    }
    put(&mut tar, "index.json", json!({"schemaVersion": 2, "manifests": entries}).to_string().as_bytes())?;
    let source = File::open(file).with_context(|| format!("failed to read {}", file.display()))?;
    tar.append_data(&mut header(layer.size), blob_path(&layer.digest), source).context("failed to write the layer")?;
    tar.into_inner().context("failed to end the archive")?;
    std::fs::rename(&unfinished, archive).with_context(|| format!("failed to make {}", archive.display()))
}

/// Of this machine's programs, as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(value: &Value) -> Self {
        let bytes = value.to_string().into_bytes();
        let digest = hex(digest(&SHA256, &bytes).as_ref());
        Self { bytes, digest }
    }

    fn entry(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

/// As digests are written.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn blob_path(digest: &str) -> PathBuf {
    Path::new("blobs/sha256").join(digest)
}

fn put(tar: &mut Builder<File>, path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), path, bytes).context("failed to write the archive")
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}
