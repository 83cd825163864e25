//! Bytes that claim to be a brick: opened, asked everything, edited.
//!
//! The first byte says how far checksums are made right again, so that the fuzzer is not stopped by
//! the first of them: 0 not at all, else superblock, slots, and the segments that they name.
#![no_main]

#[path = "../../../foundry-brick/tests/exercise.rs"]
mod exercise;

use foundry_brick::hash::checksum;
use foundry_brick::layout::{RECORD_LEN, SUPERBLOCK_LEN};
use libfuzzer_sys::fuzz_target;

const SUM: usize = 16;

fn sign(bytes: &mut [u8]) {
    let body = bytes.len() - SUM;
    let sum = checksum(&bytes[..body]);
    bytes[body..].copy_from_slice(&sum);
}

fn word(bytes: &[u8], at: usize) -> usize {
    let word = bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// Makes the checksums of superblock, segments, records and their copies right.
fn mend(bytes: &mut [u8]) {
    let Some(superblock) = bytes.get_mut(..SUPERBLOCK_LEN) else { return };
    sign(superblock);
    let slot_len = superblock[48..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    for slot in 0..2 {
        let at = SUPERBLOCK_LEN + slot * (slot_len as usize).min(1 << 20);
        let Some(mut record) = bytes.get(at..at + RECORD_LEN).map(<[u8]>::to_vec) else { return };
        let (start, end) = (word(&record, 48), word(&record, 56));
        if let Some(segment) = bytes.get(start..end) {
            let sum = checksum(segment);
            record[376..376 + SUM].copy_from_slice(&sum);
        }
        record[392..400].fill(0);
        sign(&mut record);
        bytes[at..at + RECORD_LEN].copy_from_slice(&record);
        if let Some(copy) = end.checked_add(RECORD_LEN).and_then(|to| bytes.get_mut(end..to)) {
            copy.copy_from_slice(&record);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if *how != 0 {
        mend(&mut bytes);
    }
    exercise::ask_everything(&bytes);
});
