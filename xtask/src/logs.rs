//! `logs`: what a process wrote, and with `-f` what it goes on writing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::interrupt;
use crate::layout::Layout;

/// Prints the log of `name`.
pub(crate) fn run(layout: &Layout, name: &str, follow: bool) -> Result<()> {
    let path = layout.log(name);
    let open = || File::open(&path).with_context(|| format!("no log of `{name}`: failed to open {}", path.display()));
    let mut file = open()?;
    let mut place = print_from(&mut file, 0)?;
    while follow && !interrupt::asked() {
        std::thread::sleep(Duration::from_millis(200));
        // `up` begins a new file; while there is none, the old one is over but more may come.
        let Ok(now) = std::fs::metadata(&path) else { continue };
        if now.ino() != file.metadata()?.ino() || now.len() < place {
            file = open()?;
            place = 0;
        }
        place = print_from(&mut file, place)?;
    }
    Ok(())
}

fn print_from(file: &mut File, place: u64) -> Result<u64> {
    file.seek(SeekFrom::Start(place))?;
    let mut out = io::stdout().lock();
    let mut buffer = [0; 8 * 1024];
    let mut place = place;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            out.flush()?;
            return Ok(place);
        }
        match out.write_all(&buffer[..count]) {
            // `… | head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other?,
        }
        place += count as u64;
    }
}
