//! The tables, and how an older database becomes one of this version.
//!
//! Knows: SQL. Must never know: what rows mean.
//! Keeps: a step, once released, is never changed; each is one transaction with its version number.

use super::QueueError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Version of the tables: so many steps.
pub const VERSION: i64 = 2;

/// From nothing to the newest tables.
pub(super) const STEPS: [&str; 2] = [
    "CREATE TABLE job (
         key BLOB PRIMARY KEY,
         number INTEGER NOT NULL,
         state INTEGER NOT NULL DEFAULT 0,
         priority INTEGER NOT NULL,
         attempts INTEGER NOT NULL DEFAULT 0,
         shrunk INTEGER NOT NULL DEFAULT 0,
         not_before INTEGER NOT NULL DEFAULT 0,
         failure TEXT
     ) WITHOUT ROWID;
     CREATE INDEX job_number ON job (number);
     CREATE INDEX job_next ON job (state, priority DESC, number);
     CREATE TABLE answer (key BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE place (
         path BLOB PRIMARY KEY,
         key BLOB NOT NULL,
         content BLOB NOT NULL,
         state INTEGER NOT NULL
     ) WITHOUT ROWID;
     CREATE INDEX place_key ON place (key);
     CREATE INDEX place_ready ON place (path) WHERE state = 1;
     CREATE TABLE spent (
         kind INTEGER NOT NULL,
         since INTEGER NOT NULL,
         n INTEGER NOT NULL,
         PRIMARY KEY (kind, since)
     ) WITHOUT ROWID;",
    "CREATE TABLE note (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
];

/// Brings the database to [`VERSION`].
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), QueueError> {
    loop {
        // Read inside the transaction: another process may be doing the same.
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = tx.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        let step = usize::try_from(found).ok().and_then(|n| STEPS.get(n));
        match step {
            _ if found == VERSION => return Ok(()),
            None => return Err(QueueError::Version { path: path.to_owned(), found }),
            Some(step) => {
                tx.execute_batch(step)?;
                tx.pragma_update(None, "user_version", found + 1)?;
                tx.commit()?;
            }
        }
    }
}
