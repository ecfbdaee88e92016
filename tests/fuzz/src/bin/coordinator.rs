//! Holds the targets of `swfn-coordinator` and `swfn-dashboard` as a program of libFuzzer. The
//! targets exist only if `make fuzz` builds it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    swfn_fuzz::chosen(
        &[swfn_coordinator::fuzzing::TARGETS, swfn_dashboard::fuzzing::TARGETS].concat(),
    )(data)
});

#[cfg(not(fuzzing))]
fn main() {}
