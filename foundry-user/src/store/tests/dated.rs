//! A brick from before this run that is dated anew: nothing differs, and yet there is a generation more.

use super::Rng;
use super::crash::each_image;
use super::memory::Memory;
use crate::artifact::{ArtifactId, FileIdentity, FileKind, Stat};
use crate::event::UnixNs;
use crate::pipeline::effect::{Durable, StoreJob, StoreOp};
use crate::pipeline::input::{Bytes, Committed};
use crate::store::{Edits, Store, brick_path};
use foundry_brick::{Brick, Payload};
use std::sync::Arc;

const PATH: &[u8] = b"/w/a";

/// When the file changed.
const CHANGED: i64 = 1_000_000_000;

fn commit(edits: &mut Edits, content: &[u8], at: i64, op: (Durable, bool)) -> Committed {
    let stat = Stat {
        identity: FileIdentity { dev: 1, ino: 2, btime_ns: 3 },
        kind: FileKind::File,
        size: content.len() as u64,
        blocks: 8,
        mode: 0o644,
        uid: 0,
        gid: 0,
        nlink: 1,
        mtime_ns: CHANGED,
        ctime_ns: CHANGED,
    };
    let (durable, recalled) = op;
    let ops = [
        StoreOp::Begin { stat, whole: true, fresh: false },
        StoreOp::Bytes { offset: 0, bytes: Bytes(content.into()) },
        StoreOp::Commit { writers: vec![], belated: false, at: UnixNs(at), durable, recalled },
    ];
    let job = |op| StoreJob { artifact: ArtifactId(1), path: PATH.to_vec(), ticket: 1, op };
    let answers = ops.map(|op| edits.carry_out(job(op)));
    answers.into_iter().flatten().last().unwrap().outcome.unwrap()
}

#[test]
fn what_was_flushed_survives_another_date_and_the_change_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let medium = Memory::default();
    let over = medium.clone();
    let store = Store::open_on(dir.path(), Payload::Reference, |_| Ok(Box::new(over))).unwrap();
    let store = Arc::new(store);
    let mut edits = Edits::new(Arc::clone(&store));
    let place = brick_path(store.dir(), PATH);
    // Read too soon after it changed to tell whether it changed again.
    commit(&mut edits, b"before", CHANGED + 1, (Durable::Nothing, false));
    assert!(store.flush());
    commit(&mut edits, b"middle", CHANGED + 2, (Durable::Newest, false));
    assert!(store.flush());
    let promised = medium.log_len();
    let later = CHANGED + 1_000_000_000;
    let dated = commit(&mut edits, b"middle", later, (Durable::Newest, true));
    assert_eq!((dated.new, dated.generation), (false, 3));
    // Nothing differed: whoever keeps account knows of no other generation than the flushed one.
    let after = commit(&mut edits, b"after", later + 1, (Durable::Newest, false));
    assert_eq!((after.new, after.generation), (true, 4));
    let mut images = 0;
    each_image(&medium.log(), &mut Rng(5), |end, image| {
        if end < promised {
            return;
        }
        images += 1;
        let brick = Brick::open(image.files[&image.names[&place]].clone()).unwrap();
        assert!(2 <= brick.generation(), "{}", brick.generation());
    });
    assert!(20 < images, "only {images} images");
}
