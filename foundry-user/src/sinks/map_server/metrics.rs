//! What the server counts, in Prometheus's text.
//!
//! Knows: numbers. Must never know: who counts, who asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) tiles: AtomicU64,
    pub(super) tile_bytes: AtomicU64,
    pub(super) tile_nanoseconds: AtomicU64,
    pub(super) not_modified: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) updates: AtomicU64,
    pub(super) lagged: AtomicU64,
    pub(super) messages: AtomicU64,
}

/// How things stand now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gauges {
    pub(super) clients: u64,
    pub(super) artifacts: u64,
    pub(super) folded: u64,
    pub(super) nodes: u64,
    pub(super) seq: u64,
}

impl Metrics {
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }

    pub(super) fn text(&self, gauges: Gauges) -> String {
        let mut out = String::new();
        let mut line = |name: &str, kind: &str, help: &str, value: String| {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        };
        let mut counter = |name: &str, help: &str, value: &AtomicU64| {
            line(name, "counter", help, value.load(Relaxed).to_string());
        };
        counter("foundry_map_tiles_served_total", "Tiles composed and sent.", &self.tiles);
        counter("foundry_map_tiles_served_bytes_total", "Bytes of those.", &self.tile_bytes);
        counter(
            "foundry_map_not_modified_total",
            "Answers that the client had.",
            &self.not_modified,
        );
        counter("foundry_map_refused_total", "Requests refused by the guard.", &self.refused);
        counter("foundry_map_updates_total", "Updates taken from the daemon.", &self.updates);
        counter(
            "foundry_map_updates_missed_total",
            "Updates the server was too slow for; it looked at everything again.",
            &self.lagged,
        );
        counter("foundry_map_messages_total", "Live messages sent.", &self.messages);
        let nanoseconds = self.tile_nanoseconds.load(Relaxed);
        let seconds = format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        let mut gauge = |name: &str, help: &str, value: u64| {
            line(name, "gauge", help, value.to_string());
        };
        gauge("foundry_map_clients", "Live connections.", gauges.clients);
        gauge("foundry_map_artifacts", "Artifacts on the map.", gauges.artifacts);
        gauge("foundry_map_artifacts_folded", "Of those, with a brick.", gauges.folded);
        gauge("foundry_map_nodes", "Nodes of the layout.", gauges.nodes);
        gauge("foundry_map_seq", "Number of the last change.", gauges.seq);
        let (name, count) = ("foundry_map_tile_duration_seconds", self.tiles.load(Relaxed));
        out.push_str(&format!(
            "# HELP {name} Time spent composing tiles.\n# TYPE {name} summary\n\
             {name}_sum {seconds}\n{name}_count {count}\n"
        ));
        out
    }
}
