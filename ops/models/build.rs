//! Tells the program where libtorch lies, so that it finds it without help.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = env::var_os("LIBTORCH") {
        let libraries = PathBuf::from(libtorch).join("lib");
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{}", libraries.display());
    }
}
