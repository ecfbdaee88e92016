//! libFuzzer's program for the targets of `swfn-shared`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swfn_fuzz::chosen(swfn_shared::fuzzing::TARGETS)(data));
