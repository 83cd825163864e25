//! The queue on a real file.

use super::*;
use crate::annotate::answer::Answer;
use std::os::unix::fs::PermissionsExt;

fn want(path: &str, key: u8, priority: Priority) -> Want {
    let (path, content, key) = (path.into(), [key; 32], Key([key; 32]));
    Want { path, content, key, priority, annotated: true }
}

fn answer(summary: &str) -> Annotation {
    Annotation {
        answer: Answer {
            summary: summary.to_owned(),
            purpose: String::new(),
            category: "command".to_owned(),
            capabilities: vec![],
            risk: "none".to_owned(),
            reasons: vec![],
            confidence: 50,
        },
        model: "m".to_owned(),
        prompt_version: 1,
        at_ns: 1,
        constrained: true,
        dropped: 0,
    }
}

fn queue() -> (tempfile::TempDir, Queue) {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(dir.path()).unwrap();
    (dir, queue)
}

#[test]
fn the_most_urgent_comes_first_and_each_question_once() {
    let (_dir, mut q) = queue();
    for (path, key, priority) in [
        ("/found", 1, Priority::Found),
        ("/written", 2, Priority::Written),
        ("/mapped", 3, Priority::Mapped),
        ("/executed", 4, Priority::Executed),
        // The same content elsewhere.
        ("/written/2", 2, Priority::Found),
        ("/found/later", 5, Priority::Found),
    ] {
        assert_eq!(q.want(&want(path, key, priority)).unwrap(), Wanted::Waiting);
    }
    q.raise(b"/found/later", Priority::Asked).unwrap();
    assert_eq!(q.counts().unwrap().waiting, 5);
    let order: Vec<u8> =
        std::iter::from_fn(|| q.lease(0).unwrap()).map(|job| job.key.0[0]).collect();
    assert_eq!(order, [5, 4, 3, 2, 1]);
    assert_eq!(q.counts().unwrap().leased, 5);
}

#[test]
fn an_answer_is_for_every_brick_of_that_content_and_for_ever() {
    let (dir, mut q) = queue();
    for path in ["/a", "/b"] {
        q.want(&want(path, 7, Priority::Found)).unwrap();
    }
    let job = q.lease(0).unwrap().unwrap();
    assert_eq!(job.places, [b"/a".to_vec(), b"/b".to_vec()]);
    q.finish(&job.key, &answer("seven")).unwrap();
    let all = q.deliverable(b"", 10).unwrap();
    assert_eq!(all.len(), 2);
    q.delivered(&all[0]).unwrap();
    drop(q);
    let mut q = Queue::open(dir.path()).unwrap();
    assert_eq!(q.give_back_all().unwrap(), 0);
    let left = q.deliverable(b"", 10).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].path.as_slice(), left[0].answer.answer.summary.as_str()),
        (&b"/b"[..], "seven")
    );
    assert_eq!(q.want(&want("/a", 7, Priority::Asked)).unwrap(), Wanted::Done);
    assert_eq!(q.want(&want("/c", 7, Priority::Asked)).unwrap(), Wanted::Known);
    // The brick was made anew, and has lost what was delivered.
    let lost = Want { annotated: false, ..want("/a", 7, Priority::Asked) };
    assert_eq!(q.want(&lost).unwrap(), Wanted::Known);
    assert_eq!(q.deliverable(b"", 10).unwrap().len(), 3);
    assert_eq!(q.lease(i64::MAX).unwrap(), None);
}

#[test]
fn a_restart_gives_back_exactly_what_was_leased() {
    let (dir, mut q) = queue();
    for key in 1..=6 {
        q.want(&want(&format!("/{key}"), key, Priority::Found)).unwrap();
    }
    let done = q.lease(0).unwrap().unwrap();
    q.finish(&done.key, &answer("x")).unwrap();
    let aside = q.lease(0).unwrap().unwrap();
    q.put_aside(&aside.key, "no good").unwrap();
    let leased: Vec<Key> = (0..2).map(|_| q.lease(0).unwrap().unwrap().key).collect();
    assert_eq!(q.leased(), leased);
    // Nobody says goodbye.
    std::mem::forget(q);
    let mut q = Queue::open(dir.path()).unwrap();
    assert_eq!(q.leased(), leased);
    assert_eq!(q.give_back_all().unwrap(), 2);
    let again: Vec<Key> = (0..2).map(|_| q.lease(0).unwrap().unwrap().key).collect();
    assert_eq!(again, leased);
    let counts = q.counts().unwrap();
    assert_eq!((counts.waiting, counts.leased, counts.dead, counts.answers), (2, 2, 1, 1));
}

#[test]
fn retries_wait_and_what_was_put_aside_can_be_revived() {
    let (_dir, mut q) = queue();
    q.want(&want("/a", 1, Priority::Found)).unwrap();
    let job = q.lease(0).unwrap().unwrap();
    q.retry(&job.key, 500, "the server answered 500").unwrap();
    assert_eq!(q.lease(499).unwrap(), None);
    assert_eq!(q.next_due().unwrap(), Some(500));
    let job = q.lease(500).unwrap().unwrap();
    assert_eq!((job.attempts, job.shrunk), (1, 0));
    q.shrink(&job.key, "too long").unwrap();
    let job = q.lease(500).unwrap().unwrap();
    assert_eq!((job.attempts, job.shrunk), (1, 1));
    q.give_back(&job.key).unwrap();
    let job = q.lease(500).unwrap().unwrap();
    q.put_aside(&job.key, "no answer").unwrap();
    assert_eq!(q.failures().unwrap(), [("no answer".to_owned(), 1)]);
    assert_eq!(q.lease(i64::MAX).unwrap(), None);
    assert_eq!(q.revive().unwrap(), 1);
    assert_eq!(q.lease(0).unwrap().unwrap().attempts, 0);
}

#[test]
fn a_question_that_no_brick_waits_for_is_not_asked() {
    let (_dir, mut q) = queue();
    q.want(&want("/log", 1, Priority::Found)).unwrap();
    // Rewritten before anybody asked.
    q.want(&want("/log", 2, Priority::Written)).unwrap();
    assert_eq!(q.counts().unwrap().waiting, 1);
    q.renamed(b"/log", b"/log.1").unwrap();
    q.forget(b"/log").unwrap();
    assert_eq!(q.counts().unwrap().waiting, 1);
    q.forget(b"/log.1").unwrap();
    assert_eq!(q.counts().unwrap(), Counts::default());
}

#[test]
fn what_was_spent_and_noted_is_remembered() {
    let (dir, q) = queue();
    q.spend(0, 10, 3).unwrap();
    q.spend(0, 10, 4).unwrap();
    q.spend(1, 10, 9).unwrap();
    assert_eq!(q.noted("open").unwrap(), None);
    q.note("open", true).unwrap();
    drop(q);
    let q = Queue::open(dir.path()).unwrap();
    assert_eq!((q.spent(0, 10).unwrap(), q.spent(1, 10).unwrap()), (7, 9));
    assert_eq!(q.noted("open").unwrap(), Some(true));
    q.spend(0, 11, 1).unwrap();
    assert_eq!((q.spent(0, 10).unwrap(), q.spent(1, 10).unwrap()), (0, 9));
}

#[test]
fn the_file_is_for_its_owner_and_older_ones_are_brought_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    {
        // As the first version left it.
        let db = Connection::open(&path).unwrap();
        db.execute_batch(schema_step(0)).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        db.execute("INSERT INTO job (key, number, priority) VALUES (zeroblob(32), 1, 0)", [])
            .unwrap();
    }
    let q = Queue::open(dir.path()).unwrap();
    assert_eq!(q.counts().unwrap().waiting, 1);
    assert_eq!(q.noted("x").unwrap(), None);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
    q.db.pragma_update(None, "user_version", VERSION + 1).unwrap();
    drop(q);
    assert!(matches!(Queue::open(dir.path()), Err(QueueError::Version { found: 3, .. })));
}

fn schema_step(n: usize) -> &'static str {
    schema::STEPS[n]
}

#[test]
fn a_damaged_file_is_put_beside() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), [0xa5; 5000]).unwrap();
    let mut q = Queue::open(dir.path()).unwrap();
    q.want(&want("/a", 1, Priority::Found)).unwrap();
    assert!(dir.path().join("annotate.broken").exists());
    // Links are not followed.
    let other = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", other.path().join(FILE)).unwrap();
    assert!(matches!(Queue::open(other.path()), Err(QueueError::Io { .. })));
}
