#![no_main]

use tidewal_testing::cases;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cases::edits(data));
