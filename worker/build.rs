//! Compiles the few lines of C++ for what tch does not bind; tells the linker where libtorch lies, so that what this crate
//! builds runs as it is; and the program which code it is.
//!
//! libtorch sits in a folder of its own, which the loader does not search. torch-sys knows the folder
//! and hands it to the build scripts of the crates that depend on it *directly*: that is why this
//! crate names torch-sys in its Cargo.toml. (The link arguments that tch gives reach no other crate.)
//! With an rpath in each executable nobody needs LD_LIBRARY_PATH for `cargo run`, `cargo test` or
//! `target/release/swfn-worker`.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo::rustc-env=SWFN_VERSION={}", version());
    // Else cargo would run this again after any change in the crate. Another libtorch folder is
    // noticed all the same: torch-sys is built anew for it, and then so is what depends on it.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/libtorch");

    // Named after the `links` key of torch-sys; absent when that is built without libtorch (`doc-only`).
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let lib = Path::new(&lib);
    compile(lib);

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

/// Compiles `src/libtorch` as torch-sys compiles its own C++: against the same headers, with the same ABI.
fn compile(lib: &Path) {
    let variable = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        std::env::var_os(name)
    };
    let include =
        variable("LIBTORCH_INCLUDE").map_or_else(|| lib.join(".."), Into::into).join("include");
    let abi = variable("LIBTORCH_CXX11_ABI")
        .map_or_else(|| "1".into(), |abi| abi.to_string_lossy().into_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false) // those of torch's headers
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(include)
        .file("src/libtorch/extras.cpp")
        .compile("swfn_extras");
}

/// The package's version and, where it can be known, the revision of the code: results name it. Tests are not what results come from,
/// and need not be compiled again after each commit.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return format!("{version}+debug");
    }
    // Where images are built there is no repository, and whoever builds them knows the revision.
    println!("cargo::rerun-if-env-changed=SWFN_REVISION");
    if let Ok(revision) = std::env::var("SWFN_REVISION")
        && !revision.is_empty()
    {
        return format!("{version}+{revision}");
    }
    // HEAD changes when a branch is changed, its log with each commit; the sources make a copy dirty.
    for path in [
        "../.git/HEAD",
        "../.git/logs/HEAD",
        "src",
        "session/src",
        "../shared/src",
        "../proto/swfn",
    ] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (
        git(&["rev-parse", "--short=12", "HEAD"]),
        git(&["status", "--porcelain", "--untracked-files=no"]),
    ) {
        (Some(revision), Some(changes)) if changes.is_empty() => format!("{version}+{revision}"),
        (Some(revision), _) => format!("{version}+{revision}.dirty"),
        (None, _) => version.to_owned(),
    }
}

/// Passes `arg` to the linker for each binary, test, bench and example of this crate.
fn link_arg(arg: &str) {
    println!("cargo::rustc-link-arg={arg}");
}
