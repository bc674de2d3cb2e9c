//! The web client becomes part of the program: a new build of it means a new build of this.

use std::path::Path;

fn main() {
    let dist = Path::new("../web/dist");
    // A folder that is not there would mean a new build every time. Where it cannot be made there is nothing to watch either.
    if dist.is_dir() || (Path::new("../web").is_dir() && std::fs::create_dir(dist).is_ok()) {
        println!("cargo:rerun-if-changed=../web/dist");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
