//! Messages of the witness. The process itself is tested with the program, in `tests/`.

use super::*;

#[test]
fn what_is_sent_is_received() {
    for question in [Question::Mappings, Question::Actor(7), Question::Actor(u32::MAX)] {
        let mut bytes = Vec::new();
        send(&mut bytes, &question).unwrap();
        assert_eq!(receive::<Question>(&mut bytes.as_slice()).unwrap(), question);
        for cut in 0..bytes.len() {
            assert!(receive::<Question>(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn a_length_is_not_believed() {
    let mut bytes = u32::MAX.to_le_bytes().to_vec();
    bytes.extend([0; 8]);
    assert!(receive::<Vec<FileIdentity>>(&mut bytes.as_slice()).is_err());
    // A vector that says it is longer than its message.
    let mut bytes = 6_u32.to_le_bytes().to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    assert!(receive::<Vec<FileIdentity>>(&mut bytes.as_slice()).is_err());
}

#[test]
fn without_a_witness_the_same_is_answered_in_place() {
    let own = actor(std::process::id());
    assert_eq!(own, look_up(std::process::id()));
    assert!(own.exe.is_some());
}
