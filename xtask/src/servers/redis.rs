//! A private Redis. What it holds may be lost by design; it keeps an append-only file so that `down` and `up` sign nobody out.

use std::fs;

use anyhow::{Context, Result};

use crate::launch::{Launch, Ready};
use crate::layout::Layout;
use crate::secrets::{Secrets, write_private};
use crate::tools::Tools;

/// Writes its configuration and tells how to start it.
pub(crate) fn prepare(layout: &Layout, tools: &Tools, secrets: &Secrets) -> Result<Launch> {
    let folder = layout.data().join("redis");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let configuration = folder.join("redis.conf");
    // Enough databases for every test that runs at once to have its own; an unused one costs next to nothing.
    // The password stands in a file: every user of the machine may read the command line.
    let text = format!(
        "bind 127.0.0.1\nport {}\ndir \"{}\"\ndaemonize no\ndatabases 256\nsave \"\"\nappendonly yes\nrequirepass {}\n",
        layout.redis(),
        folder.display(),
        secrets.redis_password()
    );
    write_private(&configuration, &text)?;
    let ready = Ready::Redis { port: layout.redis(), password: secrets.redis_password().to_owned() };
    Ok(Launch::new(&tools.redis, ready).args([configuration.display().to_string()]))
}
