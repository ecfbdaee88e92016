//! `swfn-coordinator`; see the library.

fn main() -> std::process::ExitCode {
    swfn_coordinator::main()
}
