//! Tells the linker where libtorch lies, so that what this crate builds runs as it is.
//!
//! libtorch sits in a folder of its own, which the loader does not search. torch-sys knows the folder
//! and hands it to the build scripts of the crates that depend on it *directly*: that is why this
//! crate names torch-sys in its Cargo.toml. (The link arguments that tch gives reach no other crate.)
//! With an rpath in each executable nobody needs LD_LIBRARY_PATH for `cargo run`, `cargo test` or
//! `target/release/swfn-worker`.

use std::path::Path;

fn main() {
    // Else cargo would run this again after any change in the crate. Another libtorch folder is
    // noticed all the same: torch-sys is built anew for it, and then so is what depends on it.
    println!("cargo::rerun-if-changed=build.rs");

    // Named after the `links` key of torch-sys; absent when that is built without libtorch (`doc-only`).
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let lib = Path::new(&lib);

    // In this order: an unpacked release has bin/ and lib/ side by side, and its own libtorch goes
    // before one that happens to lie where it was built.
    link_arg("-Wl,-rpath,$ORIGIN/../lib");
    link_arg(&format!("-Wl,-rpath,{}", lib.display()));

    // Nothing here calls into libtorch_cuda: loading it is what registers the CUDA kernels. rustc
    // links with --as-needed, which drops a library that nobody calls, and the program would then
    // find no GPU. The state is put back, so that the rest is still dropped where unused.
    if lib.join("libtorch_cuda.so").exists() {
        link_arg("-Wl,--push-state,--no-as-needed");
        link_arg("-ltorch_cuda");
        link_arg("-Wl,--pop-state");
    }
}

/// Passes `arg` to the linker for each binary, test, bench and example of this crate.
fn link_arg(arg: &str) {
    println!("cargo::rustc-link-arg={arg}");
}
