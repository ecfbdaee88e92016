//! Compiles the C++ for functions that tch does not bind, links libtorch by its path, and tells the
//! program its version.
//!
//! libtorch is in a folder that the loader does not search. torch-sys knows the folder and passes
//! it to the build scripts of crates that depend on it *directly*, which is why Cargo.toml names
//! torch-sys. (The link arguments that tch gives reach no other crate.) With an rpath in each
//! executable, `cargo run`, `cargo test` and `target/release/swfn-worker` need no LD_LIBRARY_PATH.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo::rustc-env=SWFN_VERSION={}", version());
    // Otherwise cargo would run this after each change in the crate. With another libtorch folder,
    // torch-sys is built again, and so is this crate.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/libtorch");

    // Named after the `links` key of torch-sys; absent if that is built without libtorch
    // (`doc-only`).
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") else { return };
    let lib = Path::new(&lib);
    compile(lib);

    // An unpacked release has bin/ and lib/ side by side. Its own libtorch precedes the one of the
    // build.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());

    // Loading libtorch_cuda registers the CUDA kernels. Nothing calls into it, so the linker would
    // drop it (--as-needed), and the program would find no GPU. The state is restored for other
    // libraries.
    if lib.join("libtorch_cuda.so").exists() {
        for argument in ["-Wl,--push-state,--no-as-needed", "-ltorch_cuda", "-Wl,--pop-state"] {
            println!("cargo::rustc-link-arg={argument}");
        }
    }
}

/// Compiles `src/libtorch` as torch-sys compiles its own C++: with the same headers and ABI.
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

/// The package's version with the revision of the code, which results name. Debug builds have no
/// revision, so that they are not compiled again after each commit.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return format!("{version}+debug");
    }
    // Container images are built without the repository; their build passes the revision.
    println!("cargo::rerun-if-env-changed=SWFN_REVISION");
    if let Ok(revision) = std::env::var("SWFN_REVISION")
        && !revision.is_empty()
    {
        return format!("{version}+{revision}");
    }
    // HEAD changes with the branch, its log with each commit; the sources make a checkout dirty.
    let sources = ["src", "session/src", "../shared/src", "../proto/swfn"];
    for path in ["../.git/HEAD", "../.git/logs/HEAD"].into_iter().chain(sources) {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return version.to_owned();
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
    let dirty = if changes.is_some_and(|changes| changes.is_empty()) { "" } else { ".dirty" };
    format!("{version}+{revision}{dirty}")
}
