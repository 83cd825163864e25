//! A slow client hears once of what changed a thousand times, and misses nothing.

use super::*;

fn change(seq: u64, ranges: &[(u64, u64)]) -> Change {
    Change { seq, ranges: ranges.to_vec(), nodes: vec![] }
}

fn told(messages: &[Vec<u8>]) -> Vec<(u8, u64)> {
    messages
        .iter()
        .filter(|m| m[0] == 2)
        .flat_map(|m| m[13..].chunks(9))
        .map(|tile| (tile[0], u64::from_le_bytes(tile[1..9].try_into().unwrap())))
        .collect()
}

#[test]
fn a_tile_that_changed_often_is_told_once() {
    let hub = Hub::default();
    let (id, _) = hub.join(0);
    let wanted =
        vec![Wanted { level: 0, first: 0, end: 100 }, Wanted { level: 3, first: 0, end: 1 }];
    assert!(hub.subscribe(id, wanted));
    for seq in 1..5000 {
        hub.publish(&change(seq, &[(65_536 * 7 + seq, 65_536 * 7 + seq + 1)]), None);
    }
    assert_eq!(told(&hub.take(id, 1, 5000)), [(0, 7), (3, 0)]);
    assert!(hub.take(id, 1, 5000).is_empty());
}

#[test]
fn what_is_not_seen_is_not_told() {
    let hub = Hub::default();
    let (id, _) = hub.join(0);
    assert!(hub.subscribe(id, vec![Wanted { level: 2, first: 5, end: 6 }]));
    hub.publish(&change(1, &[(0, 5 << 20), (6 << 20, 7 << 20)]), None);
    assert!(told(&hub.take(id, 1, 1)).is_empty());
    hub.publish(&change(2, &[((6 << 20) - 1, 6 << 20)]), None);
    assert_eq!(told(&hub.take(id, 1, 2)), [(2, 5)]);
}

#[test]
fn bounded_state_never_loses_a_tile() {
    let hub = Hub::default();
    let (id, _) = hub.join(0);
    assert!(hub.subscribe(id, vec![Wanted { level: 0, first: 0, end: 4096 }]));
    assert!(!hub.subscribe(id, vec![Wanted { level: 0, first: 0, end: 4097 }]));
    for seq in 0..4096_u64 {
        // Every other tile, in a scattered order: far more ranges than are kept.
        let tile = (seq * 1237) % 4096;
        if tile % 2 == 0 {
            hub.publish(&change(seq, &[(tile << 16, (tile << 16) + 1)]), None);
        }
        assert!(hub.lock()[&id].dirty.0.len() <= MOST_RANGES);
    }
    let told = told(&hub.take(id, 1, 4096));
    for tile in (0..4096).step_by(2) {
        assert!(told.contains(&(0, tile)), "tile {tile}");
    }
}

#[test]
fn the_newest_activity_stays_and_what_went_is_counted() {
    let hub = Hub::default();
    let (id, _) = hub.join(0);
    let entry = |n: u32| Entry {
        kind: EntryKind::Exec,
        node: None,
        index: 0,
        length: 0,
        pid: n,
        uid: 0,
        at_ms: 0,
        comm: b"cc".to_vec(),
        exe: vec![],
        path: vec![b'x'; 70_000],
    };
    for n in 0..300 {
        hub.publish(&Change::default(), Some(&entry(n)));
    }
    let messages = hub.take(id, 1, 0);
    assert_eq!(messages.len(), 1);
    assert_eq!(u32::from_le_bytes(messages[0][1..5].try_into().unwrap()), 44);
    assert_eq!(u16::from_le_bytes(messages[0][5..7].try_into().unwrap()), 256);
}

#[test]
fn any_message_is_understood_or_refused() {
    assert_eq!(parse(&[]), None);
    assert_eq!(parse(&[1, 1, 0]), None);
    assert_eq!(parse(&[9]), None);
    let mut good = vec![1, 1, 0, 3];
    good.extend_from_slice(&2_u64.to_le_bytes());
    good.extend_from_slice(&4_u64.to_le_bytes());
    let wanted = Wanted { level: 3, first: 2, end: 4 };
    assert_eq!(parse(&good), Some(Said::Subscribe(vec![wanted])));
    good[3] = 200;
    assert_eq!(parse(&good), None);
    let mut resume = vec![2];
    resume.extend_from_slice(&7_u64.to_le_bytes());
    resume.extend_from_slice(&9_u64.to_le_bytes());
    assert_eq!(parse(&resume), Some(Said::Resume { epoch: 7, seq: 9 }));
}
