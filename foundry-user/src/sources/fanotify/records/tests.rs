//! Well-formed events come out as they went in; anything else gives an error, and never more.

use super::*;

/// An information record: type, file system id, handle, name.
fn info_bytes(kind: u8, handle: &[u8], name: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![9; FSID_BYTES];
    body.extend(u32::try_from(handle.len() - 4).unwrap().to_ne_bytes());
    body.extend(handle);
    if let Some(name) = name {
        body.extend(name);
        body.push(0);
    }
    body.resize(body.len().next_multiple_of(4), 0);
    let length = u16::try_from(INFO_BYTES + body.len()).unwrap();
    [&[kind, 0], length.to_ne_bytes().as_slice(), &body].concat()
}

/// An event with the fixed part that the kernel writes.
fn event_bytes(mask: u64, pid: i32, infos: &[Vec<u8>]) -> Vec<u8> {
    let infos = infos.concat();
    let length = u32::try_from(METADATA_BYTES + infos.len()).unwrap();
    let fixed_length = u16::try_from(METADATA_BYTES).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([METADATA_VERSION, 0]);
    bytes.extend(fixed_length.to_ne_bytes());
    bytes.extend(mask.to_ne_bytes());
    bytes.extend((-1_i32).to_ne_bytes());
    bytes.extend(pid.to_ne_bytes());
    bytes.extend(infos);
    bytes
}

const DIR: &[u8] = &[1, 0, 0, 0, 11, 12, 13, 14, 15, 16, 17, 18];
const OTHER: &[u8] = &[0x4d, 0, 0, 0, 21, 22, 23];
const FILE: &[u8] = &[1, 0, 0, 0, 31, 32, 33, 34];

fn several() -> Vec<u8> {
    let named = info_bytes(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, DIR, Some(b"n\xffame\n"));
    let target = info_bytes(libc::FAN_EVENT_INFO_TYPE_FID, FILE, None);
    let old = info_bytes(libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, DIR, Some(b"from"));
    let new = info_bytes(libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, OTHER, Some(b"to"));
    let unknown = info_bytes(77, FILE, None);
    [
        event_bytes(libc::FAN_CREATE, 42, &[named, unknown, target.clone()]),
        event_bytes(libc::FAN_RENAME, -1, &[old, new, target]),
        event_bytes(libc::FAN_Q_OVERFLOW, 0, &[]),
    ]
    .concat()
}

#[test]
fn events_come_out_as_they_went_in() {
    let bytes = several();
    let records: Result<Vec<_>, _> = of(&bytes).collect();
    let place = |dir, name| Some(Named { dir, name });
    assert_eq!(
        records.unwrap(),
        [
            Record {
                mask: libc::FAN_CREATE,
                pid: 42,
                place: place(DIR, b"n\xffame\n"),
                second: None,
                target: Some(FILE),
            },
            Record {
                mask: libc::FAN_RENAME,
                pid: 0,
                place: place(DIR, b"from"),
                second: place(OTHER, b"to"),
                target: Some(FILE),
            },
            Record { mask: libc::FAN_Q_OVERFLOW, ..Record::default() },
        ]
    );
}

#[test]
fn lengths_that_lie_are_refused() {
    let whole = several();
    for cut in 1..whole.len() {
        let records = of(&whole[..cut]);
        let good = records.take_while(Result::is_ok).count();
        assert!(good < 3, "cut at {cut}");
    }
    let mut version = whole.clone();
    version[4] = 4;
    assert_eq!(of(&version).next(), Some(Err(Malformed::Version(4))));
    let mut nothing = whole.clone();
    nothing[..4].fill(0);
    assert_eq!(of(&nothing).collect::<Vec<_>>(), [Err(Malformed::Length)]);
    // An information record of length 0 would be read for ever.
    let mut endless = whole;
    endless[METADATA_BYTES + 2..METADATA_BYTES + 4].fill(0);
    assert_eq!(of(&endless).collect::<Vec<_>>(), [Err(Malformed::Length)]);
}

#[test]
fn any_bytes_end() {
    crate::sources::mutations::each(&several(), |bytes| {
        let records = of(bytes);
        // Every record but the last takes at least its fixed part.
        assert!(records.count() <= bytes.len() / METADATA_BYTES + 1);
    });
}
