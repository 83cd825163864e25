//! Live messages to a client, as API.md lays them out.
//!
//! Knows: bytes. Must never know: who gets them.

use super::super::layout::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Severity {
    Warning,
    Error,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum EntryKind {
    Changed,
    Removed,
    Renamed,
    Unreadable,
    Exec,
    Mapped,
}

/// One line of the activity list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry {
    pub(in super::super) kind: EntryKind,
    pub(in super::super) node: Option<NodeId>,
    pub(in super::super) index: u64,
    pub(in super::super) length: u64,
    pub(in super::super) pid: u32,
    pub(in super::super) uid: u32,
    pub(in super::super) at_ms: u64,
    pub(in super::super) comm: Vec<u8>,
    pub(in super::super) exe: Vec<u8>,
    pub(in super::super) path: Vec<u8>,
}

fn start(kind: u8, seq: u64, count: usize) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    out
}

pub(in super::super) fn hello(epoch: u64, seq: u64) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out
}

pub(super) fn tiles(seq: u64, tiles: &BTreeSet<(u8, u64)>) -> Vec<u8> {
    let mut out = start(2, seq, tiles.len());
    for (level, index) in tiles {
        out.push(*level);
        out.extend_from_slice(&index.to_le_bytes());
    }
    out
}

pub(super) fn nodes(seq: u64, nodes: &BTreeSet<NodeId>) -> Vec<u8> {
    let mut out = start(3, seq, nodes.len());
    for node in nodes {
        out.extend_from_slice(&node.to_le_bytes());
    }
    out
}

fn short(out: &mut Vec<u8>, bytes: &[u8]) {
    let n = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.push(n);
    out.extend_from_slice(&bytes[..usize::from(n)]);
}

fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    let n = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&n.to_le_bytes());
    out.extend_from_slice(&bytes[..usize::from(n)]);
}

pub(super) fn activity(dropped: u32, entries: &VecDeque<Entry>) -> Vec<u8> {
    let mut out = vec![4];
    out.extend_from_slice(&dropped.to_le_bytes());
    out.extend_from_slice(&u16::try_from(entries.len()).unwrap_or(u16::MAX).to_le_bytes());
    for entry in entries {
        out.push(match entry.kind {
            EntryKind::Changed => 1,
            EntryKind::Removed => 2,
            EntryKind::Renamed => 3,
            EntryKind::Unreadable => 4,
            EntryKind::Exec => 5,
            EntryKind::Mapped => 6,
        });
        out.extend_from_slice(&entry.node.unwrap_or(NodeId::MAX).to_le_bytes());
        out.extend_from_slice(&entry.index.to_le_bytes());
        out.extend_from_slice(&entry.length.to_le_bytes());
        out.extend_from_slice(&entry.pid.to_le_bytes());
        out.extend_from_slice(&entry.uid.to_le_bytes());
        out.extend_from_slice(&entry.at_ms.to_le_bytes());
        short(&mut out, &entry.comm);
        long(&mut out, &entry.exe);
        long(&mut out, &entry.path);
    }
    out
}

pub(super) fn notice(severity: Severity, text: &str) -> Vec<u8> {
    let severity = match severity {
        Severity::Warning => 1,
        Severity::Error => 2,
    };
    let mut out = vec![5, severity];
    long(&mut out, text.as_bytes());
    out
}

pub(super) fn reset(epoch: u64, seq: u64) -> Vec<u8> {
    let mut out = vec![6];
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out
}
