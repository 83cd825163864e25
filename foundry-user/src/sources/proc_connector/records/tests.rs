//! Well-formed messages come out as they went in; anything else gives an error, and never more.

use super::*;

/// A message as the kernel sends it: headers, then `what`, `cpu`, a time, and `data`.
pub(crate) fn message_bytes(what: u32, cpu: u32, seq: u32, data: [u32; 6]) -> Vec<u8> {
    let mut payload = what.to_ne_bytes().to_vec();
    payload.extend(cpu.to_ne_bytes());
    payload.extend(77_u64.to_ne_bytes());
    payload.extend(data.iter().flat_map(|word| word.to_ne_bytes()));
    let length = u32::try_from(NETLINK_BYTES + CONNECTOR_BYTES + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([3, 0, 0, 0]);
    for word in [0, 0, PROCESSES, PROCESSES, seq, 5] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(u16::try_from(payload.len()).unwrap().to_ne_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn several() -> Vec<u8> {
    [
        message_bytes(EXEC, 1, 10, [100, 101, 0, 0, 0, 0]),
        message_bytes(EXIT, 0, 7, [100, 101, 0, 9, 0, 0]),
        message_bytes(1, 0, 8, [0; 6]),
        message_bytes(0, u32::MAX, 3, [13, 0, 0, 0, 0, 0]),
        message_bytes(0, 1, 11, [0; 6]),
    ]
    .concat()
}

#[test]
fn messages_come_out_as_they_went_in() {
    let messages: Result<Vec<_>, _> = of(&several()).collect();
    let message = |cpu, seq, what| Message { cpu, seq, at_ns: 77, what };
    assert_eq!(
        messages.unwrap(),
        [
            message(Some(1), 10, What::Exec { tgid: 101 }),
            message(Some(0), 7, What::Exit { pid: 100, tgid: 101 }),
            message(Some(0), 8, What::Other),
            message(None, 3, What::Answer { ack: 5, error: 13 }),
            message(Some(1), 11, What::Answer { ack: 5, error: 0 }),
        ]
    );
}

#[test]
fn messages_of_others_are_passed_over() {
    let mut bytes = several();
    bytes[NETLINK_BYTES] = 9;
    assert_eq!(of(&bytes).count(), 4);
}

#[test]
fn messages_that_end_early_are_refused() {
    let whole = several();
    for cut in 1..whole.len() {
        let good = of(&whole[..cut]).take_while(Result::is_ok).count();
        assert!(good < 5, "cut at {cut}");
    }
    let mut nothing = whole;
    nothing[..4].fill(0);
    assert_eq!(of(&nothing).collect::<Vec<_>>(), [Err(Malformed)]);
}

#[test]
fn any_bytes_end() {
    crate::sources::mutations::each(&several(), |bytes| {
        assert!(of(bytes).count() <= bytes.len() / NETLINK_BYTES + 1);
    });
}
