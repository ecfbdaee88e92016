//! Holds the targets of `swfn-shared` as a program of libFuzzer. They exist only if `make fuzz`
//! builds it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| swfn_fuzz::chosen(swfn_shared::fuzzing::TARGETS)(data));

#[cfg(not(fuzzing))]
fn main() {}
