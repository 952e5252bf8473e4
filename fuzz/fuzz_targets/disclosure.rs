#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| birthmark_fuzz::disclosure(input));
