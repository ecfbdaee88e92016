//! libFuzzer's program for the targets of `swfn-coordinator` and `swfn-dashboard`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    swfn_fuzz::chosen(&[swfn_coordinator::fuzzing::TARGETS, swfn_dashboard::fuzzing::TARGETS].concat())(data)
});
