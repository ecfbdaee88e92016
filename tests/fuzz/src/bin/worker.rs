//! libFuzzer's program for the targets of `swfn-worker`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swfn_fuzz::chosen(swfn_worker::fuzzing::TARGETS)(data));
