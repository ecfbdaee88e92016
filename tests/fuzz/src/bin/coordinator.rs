//! libFuzzer's program for the targets of `swfn-coordinator`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swfn_fuzz::chosen(swfn_coordinator::fuzzing::TARGETS)(data));
