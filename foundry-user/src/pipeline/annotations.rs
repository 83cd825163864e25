//! Annotations: what somebody wrote of an artifact goes into its brick.
//!
//! Knows: which bricks are at rest. Must never know: what an annotation says, who wrote it.
//! Keeps: an annotation is never stored beside content it was not written of: a brick that is about
//! to change refuses it, and so does the store where the content's hash is another one.

use super::Pipeline;
use super::bricks::Known;
use super::debts::Seq;
use super::effect::{AnnotationOutcome, Effect, StoreOp, Update};
use super::input::{Annotated, StoreAnswer, StoreFailure};

/// An annotation on its way into the store.
#[derive(Debug)]
pub(super) struct Annotating {
    /// What the one who brought it calls it.
    ticket: u64,
    seq: Seq,
    before: Known,
}

impl Pipeline {
    pub(super) fn on_annotated(&mut self, annotated: Annotated) {
        let Annotated { ticket, path, content, note } = annotated;
        let owned = self.bricks.get(&path).filter(|b| b.stored).and_then(|b| {
            let at = b.date.unwrap_or(self.wall);
            b.owner.map(|owner| (owner, at))
        });
        let Some((id, at)) = owned.filter(|(id, _)| self.registry.file(*id).is_some()) else {
            self.answer_annotation(ticket, AnnotationOutcome::Missing);
            return;
        };
        let rests = |f: &super::dirty::FileState| f.flight.is_none() && f.dirty.is_none();
        if self.sync.stopping || !self.registry.file(id).is_some_and(rests) {
            self.answer_annotation(ticket, AnnotationOutcome::Stale);
            return;
        }
        let seq = self.seq;
        self.debts.owe(seq);
        let job = self.next_ticket();
        // The generation keeps the moment its content was read at: whoever compares the brick with
        // the disk after a restart relies on it.
        let flushes = self.sync.flushes;
        let known = self.bricks.get_mut(&path).map(|brick| brick.change(flushes, job));
        let (durable, before) = known.unwrap_or_default();
        self.annotating.insert(job, Annotating { ticket, seq, before });
        self.store(id, &path, job, StoreOp::Annotate { content, note, at, durable });
    }

    /// The store's answer, where it is about an annotation; else it is given back.
    pub(super) fn on_annotation_stored(&mut self, answer: StoreAnswer) -> Option<StoreAnswer> {
        let Some(annotating) = self.annotating.remove(&answer.ticket) else {
            return Some(answer);
        };
        let Annotating { ticket, seq, before } = annotating;
        let new = answer.outcome.as_ref().is_ok_and(|committed| committed.new);
        if let Some(brick) = self.bricks.get_mut(&answer.path) {
            brick.changed(answer.ticket, new, before);
        }
        let outcome = match answer.outcome {
            Ok(committed) => {
                if committed.new {
                    self.stats.commits += 1;
                    self.publish(Update::Committed {
                        artifact: answer.artifact,
                        path: answer.path,
                        generation: committed.generation,
                        size: committed.size,
                        changed_tiles: Some(vec![]),
                        actor: None,
                        found: false,
                    });
                }
                AnnotationOutcome::Stored
            }
            Err(StoreFailure::Stale) => AnnotationOutcome::Stale,
            // Whatever is wrong with the brick shows when it is folded next.
            Err(StoreFailure::Corrupt) => AnnotationOutcome::Missing,
            // The store has stopped, and the daemon will: the debt stays.
            Err(StoreFailure::Io(_)) => return None,
        };
        self.answer_annotation(ticket, outcome);
        self.debts.pay(seq);
        None
    }

    fn answer_annotation(&mut self, ticket: u64, outcome: AnnotationOutcome) {
        self.out.push(Effect::AnnotationDone { ticket, outcome });
    }
}
