//! Well-formed events come out as they went in; anything else gives an error, and never more.

use super::*;

fn event_bytes(watch: i32, mask: u32, name: &[u8]) -> Vec<u8> {
    let padded = if name.is_empty() { 0 } else { (name.len() + 1).next_multiple_of(16) };
    let mut bytes = watch.to_ne_bytes().to_vec();
    bytes.extend(mask.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(u32::try_from(padded).unwrap().to_ne_bytes());
    bytes.extend(name);
    bytes.resize(HEADER_BYTES + padded, 0);
    bytes
}

fn several() -> Vec<u8> {
    [
        event_bytes(1, libc::IN_CREATE, b"n\xffame\n"),
        event_bytes(2, libc::IN_DELETE_SELF, b""),
        event_bytes(-1, libc::IN_Q_OVERFLOW, b""),
    ]
    .concat()
}

#[test]
fn events_come_out_as_they_went_in() {
    let bytes = several();
    let records: Result<Vec<_>, _> = of(&bytes).collect();
    assert_eq!(
        records.unwrap(),
        [
            Record { watch: 1, mask: libc::IN_CREATE, name: b"n\xffame\n" },
            Record { watch: 2, mask: libc::IN_DELETE_SELF, name: b"" },
            Record { watch: -1, mask: libc::IN_Q_OVERFLOW, name: b"" },
        ]
    );
}

#[test]
fn events_that_end_early_are_refused() {
    let whole = several();
    for cut in 1..whole.len() {
        let good = of(&whole[..cut]).take_while(Result::is_ok).count();
        assert!(good < 3, "cut at {cut}");
    }
}

#[test]
fn any_bytes_end() {
    crate::sources::mutations::each(&several(), |bytes| {
        assert!(of(bytes).count() <= bytes.len() / HEADER_BYTES + 1);
    });
}
