//! `swfn-worker`; see the library.

fn main() -> std::process::ExitCode {
    swfn_worker::cli::main()
}
