//! libFuzzer's program for the targets of `swfn-shared`, which exist where `make fuzz` builds it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| swfn_fuzz::chosen(swfn_shared::fuzzing::TARGETS)(data));

#[cfg(not(fuzzing))]
fn main() {}
