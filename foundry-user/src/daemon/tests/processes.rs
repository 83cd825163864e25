//! The daemon on a process that changes its layout step by step.

use super::{Stage, open};
use crate::directory::WORLD;
use crate::process::capture::Survey;
use crate::process::sample::Live;
use crate::process::{Target, tests::Script};
use crate::store::brick_path;
use foundry_brick::parts::{Attribute, Parts};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, FactValue, Payload};
use std::collections::BTreeMap;

/// Start, end and permissions of everything that is mapped.
fn layout(parts: &Parts) -> Vec<(u64, u64, u64)> {
    let mut all: Vec<(u64, u64, u64)> = parts
        .iter()
        .map(|(_, part)| {
            let start = part.address.unwrap();
            (start, start + part.length, part.numbers[&Attribute::PERMISSIONS])
        })
        .collect();
    all.sort_unstable();
    // A mapping may be in two pieces where its plot was too small.
    all.dedup_by(|next, last| {
        let joined = last.1 == next.0 && last.2 == next.2;
        if joined {
            last.1 = next.1;
        }
        joined
    });
    all
}

/// Where each page lies.
fn places(parts: &Parts) -> BTreeMap<u64, u64> {
    let of = |(place, part): (foundry_brick::parts::Place, &foundry_brick::parts::Part)| {
        let (run, address) = (parts.run(place).unwrap(), part.address.unwrap());
        (0..part.length).step_by(4096).map(move |at| (address + at, run.start + at))
    };
    parts.iter().flat_map(of).collect()
}

#[test]
fn after_a_sync_the_brick_is_a_fresh_capture_and_nothing_else_moved() {
    let mut script = Script::start();
    let pid = script.pid();
    let mut stage = Stage::new(true);
    stage.processes = vec![pid.to_string()];
    let daemon = stage.start();
    let brick = || open(brick_path(&stage.store(), format!("pid:{pid}").as_bytes()));
    let world = || open(brick_path(&stage.store(), WORLD)).parts().unwrap().unwrap();
    let mut before = BTreeMap::new();
    while let Some(step) = script.step() {
        daemon.sync();
        let live = brick().parts().unwrap().unwrap();
        let survey = Survey::take(&Target::open(pid).unwrap(), None).unwrap();
        let storage = MemStorage::default();
        let (editor, ..) = survey.fold(storage, &mut Live(pid), Payload::Reference, 1).unwrap();
        let fresh = Brick::open(editor.into_storage()).unwrap().parts().unwrap().unwrap();
        assert_eq!(layout(&live), layout(&fresh), "after {step}");
        let now = places(&live);
        let moved = before.iter().filter(|(page, at)| now.get(page).is_some_and(|n| n != *at));
        assert_eq!(moved.count(), 0, "after {step}");
        before = now;
        let name = format!("pid:{pid}");
        let shown = world()
            .iter()
            .any(|(_, part)| *part.name == *name.as_bytes() && part.length == live.plots().end());
        assert!(shown, "{name} in the world after {step}");
        script.go_on();
    }
    script.end();
    daemon.sync();
    assert_eq!(brick().facts().unwrap()["ended"], FactValue::Flag(true));
    let ended = |part: &foundry_brick::parts::Part| part.numbers.contains_key(&Attribute::ENDED);
    assert!(world().iter().any(|(_, part)| ended(part)));
    daemon.stop();
}
