//! Any bytes give a description: no panic, no region outside the file, no names without bytes.
#![no_main]

use foundry_user::binary::{MAX_REGIONS, describe};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() as u64;
    let description = describe(&bytes, size).expect("memory can be read");
    assert!(description.regions.len() <= MAX_REGIONS);
    let mut names = 0;
    for region in &description.regions {
        assert!(region.start < region.end && region.end <= size, "{region:?}");
        names += region.name.len() as u64;
    }
    assert!(names <= 3 * (size + (64 << 10)), "{names} bytes of names in {size} bytes");
});
