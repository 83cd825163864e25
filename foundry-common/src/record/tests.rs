//! Tests of the records and of geometry.

use super::*;

fn record(kind: u16, len: usize) -> [u8; 336] {
    let mut bytes = [0; 336];
    bytes[..2].copy_from_slice(&kind.to_le_bytes());
    bytes[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
    bytes
}

#[test]
fn a_dirty_record_comes_back_field_by_field() {
    let mut bytes = record(kind::DIRTY, 96);
    bytes[4..8].copy_from_slice(&7u32.to_le_bytes());
    bytes[48..52].copy_from_slice(b"dd\0\0");
    bytes[64..68].copy_from_slice(&11u32.to_le_bytes());
    bytes[72..80].copy_from_slice(&4096u64.to_le_bytes());
    bytes[80..88].copy_from_slice(&8192u64.to_le_bytes());
    bytes[88..96].copy_from_slice(&5u64.to_le_bytes());
    let Ok(Record::Dirty(dirty)) = parse(&bytes[..96]) else { panic!("not a dirty record") };
    assert_eq!((dirty.header.pid, dirty.slot, dirty.before), (7, 11, 5));
    assert_eq!((dirty.start, dirty.end), (4096, 8192));
    assert_eq!(&dirty.header.comm[..3], b"dd\0");
}

#[test]
fn names_are_cut_to_their_length_and_no_further() {
    let mut bytes = record(kind::NAME, 336);
    bytes[76..80].copy_from_slice(&3u32.to_le_bytes());
    bytes[80..84].copy_from_slice(b"abcd");
    assert!(matches!(parse(&bytes), Ok(Record::Name(_, b"abc"))));
    bytes[76..80].copy_from_slice(&257u32.to_le_bytes());
    assert_eq!(parse(&bytes), Err(RecordError::Name(257)));
    bytes[76..80].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(parse(&bytes), Err(RecordError::Name(u32::MAX)));
}

#[test]
fn every_kind_wants_exactly_its_length() {
    let kinds = [(kind::DIRTY, 96), (kind::NAME, 336), (kind::RELIST, 80), (kind::META, 80)];
    let life = [(kind::MMAP, 80), (kind::EXEC, 328), (kind::EXIT, 64), (kind::LAYOUT, 64)];
    for (kind, len) in kinds.into_iter().chain(life).chain([(kind::UNNAMED, 64)]) {
        let bytes = record(kind, len);
        assert!(parse(&bytes[..len]).is_ok(), "kind {kind}");
        for wrong in [0, 1, 63, len - 1] {
            assert!(parse(&bytes[..wrong]).is_err(), "kind {kind}, {wrong} bytes");
        }
        let lying = record(kind, len + 1);
        assert!(parse(&lying[..len]).is_err(), "kind {kind}, wrong length in the header");
    }
    assert_eq!(parse(&record(0, 64)[..64]), Err(RecordError::Kind(0)));
    assert_eq!(parse(&record(10, 64)[..64]), Err(RecordError::Kind(10)));
}
