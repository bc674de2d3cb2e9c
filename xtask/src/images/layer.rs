//! A layer: a tar of files that has the same bytes whoever makes it, and whenever.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use ring::digest::{Context as Digest, SHA256};
use tar::{Builder, EntryType, Header};

/// A layer being written to a file.
pub(super) struct Layer {
    tar: Builder<Hashing<BufWriter<File>>>,
}

/// One that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// SHA-256 in hexadecimal.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
}

impl Layer {
    /// An empty one, in this file.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Self { tar: Builder::new(Hashing::new(BufWriter::new(file))) })
    }

    /// A folder, which everybody may write to where `shared`.
    pub(super) fn folder(&mut self, path: &str, shared: bool) -> Result<()> {
        let mut header = header(EntryType::Directory, 0, if shared { 0o1777 } else { 0o755 });
        self.append(&mut header, path, &[][..])
    }

    /// A file with this text.
    pub(super) fn text(&mut self, path: &str, mode: u32, text: &str) -> Result<()> {
        let mut header = header(EntryType::Regular, text.len() as u64, mode);
        self.append(&mut header, path, text.as_bytes())
    }

    /// A copy of a file of this machine.
    pub(super) fn file(&mut self, path: &str, mode: u32, source: &Path) -> Result<()> {
        let file = File::open(source).with_context(|| format!("failed to read {}", source.display()))?;
        let size = file.metadata().with_context(|| format!("failed to read {}", source.display()))?.len();
        self.append(&mut header(EntryType::Regular, size, mode), path, file)
    }

    /// A file, folder or link of this machine, in the same place. What is no longer there, or is none of these, is left out.
    pub(super) fn copy(&mut self, source: &Path) -> Result<()> {
        let path = source.to_str().with_context(|| format!("{} is no text", source.display()))?;
        let Ok(metadata) = fs::symlink_metadata(source) else { return Ok(()) };
        let kind = metadata.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(source).with_context(|| format!("failed to read {path}"))?;
            return self.link(path, &target.to_string_lossy());
        }
        if kind.is_dir() {
            return self.folder(path, false);
        }
        if kind.is_file() {
            let executable = metadata.permissions().mode() & 0o111 != 0;
            return self.file(path, if executable { 0o755 } else { 0o644 }, source);
        }
        Ok(())
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(EntryType::Symlink, 0, 0o777);
        let path = path.trim_start_matches('/');
        self.tar.append_link(&mut header, path, target).with_context(|| format!("failed to add {path} to a layer"))
    }

    /// Writes what is left.
    pub(super) fn seal(self) -> Result<Sealed> {
        let mut hashing = self.tar.into_inner().context("failed to end a layer")?;
        hashing.flush().context("failed to write a layer")?;
        Ok(hashing.sealed())
    }

    fn append(&mut self, header: &mut Header, path: &str, content: impl Read) -> Result<()> {
        let path = path.trim_start_matches('/');
        self.tar.append_data(header, path, content).with_context(|| format!("failed to add {path} to a layer"))
    }
}

/// Nobody's and of no time.
fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Digests what passes through.
struct Hashing<W> {
    inner: W,
    digest: Digest,
    size: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: Digest::new(&SHA256), size: 0 }
    }

    fn sealed(self) -> Sealed {
        Sealed { digest: super::archive::hex(self.digest.finish().as_ref()), size: self.size }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
