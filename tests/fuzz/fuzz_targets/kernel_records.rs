//! Bytes from the kernel: the probes' ring, fanotify, inotify, the process connector.
#![no_main]

use foundry_user::outside;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(outside::kernel_records(bytes) <= bytes.len());
});
