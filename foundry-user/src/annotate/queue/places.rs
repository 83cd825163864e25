//! Bricks that wait for an answer, or have it.
//!
//! Knows: paths, contents and keys. Must never know: bricks.
//! Keeps: a brick has one question at a time; a question that no brick waits for is not asked.

use super::{Delivery, Priority, Queue, QueueError, Want, Wanted};
use crate::annotate::answer::Annotation;
use crate::annotate::key::Key;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

/// Key, content and body of a row.
type Row = (Vec<u8>, [u8; 32], [u8; 32], Vec<u8>);

impl Queue {
    /// A brick wants an annotation of its content.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn want(&mut self, want: &Want) -> Result<Wanted, QueueError> {
        let mut all = self.want_all(std::slice::from_ref(want))?;
        Ok(all.pop().unwrap_or(Wanted::Waiting))
    }

    /// Several bricks want theirs, in one transaction.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn want_all(&mut self, wants: &[Want]) -> Result<Vec<Wanted>, QueueError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let all = wants.iter().map(|w| want_one(&tx, w)).collect::<Result<Vec<_>, _>>()?;
        tx.commit()?;
        Ok(all)
    }

    /// Something happened to the artifact that makes its question more urgent.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn raise(&self, path: &[u8], priority: Priority) -> Result<(), QueueError> {
        let sql = "UPDATE job SET priority = max(priority, ?2)
                   WHERE key = (SELECT key FROM place WHERE path = ?1)";
        self.db.prepare_cached(sql)?.execute(params![path, priority as u8])?;
        Ok(())
    }

    /// Answers that are not in their bricks yet, at most `most`, after the path `after`.
    ///
    /// # Errors
    /// As SQLite fails, or where an answer makes no sense.
    pub fn deliverable(&self, after: &[u8], most: u32) -> Result<Vec<Delivery>, QueueError> {
        let sql = "SELECT path, key, content, body FROM place JOIN answer USING (key)
                   WHERE state = 1 AND ?1 < path ORDER BY path LIMIT ?2";
        let row = |r: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        };
        let rows: Vec<Row> = self
            .db
            .prepare_cached(sql)?
            .query_map(params![after, most], row)?
            .collect::<Result<_, _>>()?;
        let one = |(path, key, content, body): Row| {
            let answer: Annotation = postcard::from_bytes(&body)?;
            Ok(Delivery { path, content, key: Key(key), answer })
        };
        rows.into_iter().map(one).collect()
    }

    /// It is in its brick.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn delivered(&self, delivery: &Delivery) -> Result<(), QueueError> {
        let Delivery { path, content, key, .. } = delivery;
        let sql = "UPDATE place SET state = 2 WHERE path = ?1 AND key = ?2 AND content = ?3";
        self.db.prepare_cached(sql)?.execute(params![path, key.0, content])?;
        Ok(())
    }

    /// The brick is gone.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn forget(&mut self, path: &[u8]) -> Result<(), QueueError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "DELETE FROM place WHERE path = ?1 RETURNING key";
        let key: Option<[u8; 32]> = tx.query_row(sql, [path], |r| r.get(0)).optional()?;
        if let Some(key) = key {
            drop_unwanted(&tx, &key)?;
        }
        tx.commit()?;
        Ok(())
    }

    /// The brick has another path, with all that is in it.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn renamed(&self, from: &[u8], to: &[u8]) -> Result<(), QueueError> {
        let sql = "UPDATE OR REPLACE place SET path = ?2 WHERE path = ?1";
        self.db.execute(sql, params![from, to])?;
        Ok(())
    }
}

fn want_one(tx: &Transaction<'_>, want: &Want) -> Result<Wanted, QueueError> {
    let Want { path, content, key, priority, annotated } = want;
    let sql = "SELECT key, content, state = 2 FROM place WHERE path = ?1";
    let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?));
    let before: Option<([u8; 32], [u8; 32], bool)> =
        tx.prepare_cached(sql)?.query_row([path], row).optional()?;
    if *annotated && before == Some((key.0, *content, true)) {
        return Ok(Wanted::Done);
    }
    let sql = "SELECT 1 FROM answer WHERE key = ?1";
    let known: Option<i64> = tx.prepare_cached(sql)?.query_row([key.0], |r| r.get(0)).optional()?;
    let sql = "INSERT INTO place (path, key, content, state) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (path) DO UPDATE SET key = ?2, content = ?3, state = ?4";
    tx.prepare_cached(sql)?.execute(params![path, key.0, content, known.is_some()])?;
    if let Some((old, _, _)) = before.filter(|b| b.0 != key.0) {
        drop_unwanted(tx, &old)?;
    }
    if known.is_some() {
        return Ok(Wanted::Known);
    }
    let sql = "INSERT INTO job (key, number, priority)
               VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM job), ?2)
               ON CONFLICT (key) DO UPDATE SET priority = max(priority, excluded.priority)
               RETURNING state = 2";
    let row = params![key.0, *priority as u8];
    let aside: bool = tx.prepare_cached(sql)?.query_row(row, |r| r.get(0))?;
    Ok(if aside { Wanted::Aside } else { Wanted::Waiting })
}

/// A question that waits and that no brick waits for any more.
fn drop_unwanted(tx: &Transaction<'_>, key: &[u8; 32]) -> Result<(), QueueError> {
    let sql = "DELETE FROM job WHERE key = ?1 AND state <> 1
               AND NOT EXISTS (SELECT 1 FROM place WHERE place.key = ?1)";
    tx.prepare_cached(sql)?.execute([key])?;
    Ok(())
}
