//! Bytes that claim to be a replay log: read, and every input given to the pipeline.
//!
//! Where the first byte is not 0, the frames' checksums are made right first.
#![no_main]

use foundry_user::outside;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if *how != 0 {
        outside::mend_log(&mut bytes);
    }
    outside::replay_log(&bytes);
});
