//! The durable queue: what is to be asked, what was answered, and which bricks wait for an answer.
//!
//! | table | one row for each |
//! |---|---|
//! | `job` | question without an answer: waiting (0), leased (1) or put aside (2) |
//! | `answer` | question that was answered, ever: nobody asks it again |
//! | `place` | brick that is a question, with its content: it waits (0), its answer is there (1), or in the brick (2) |
//! | `spent` | hour or day, with what was spent in it |
//! | `note` | a word to the next start |
//!
//! Knows: SQLite. Must never know: what a question says, who answers.
//! Keeps: a job is leased by one at a time, and a lease survives nobody: who opens the queue to work
//! gives back what was leased; an answer and the end of its job are one transaction. The file is mode
//! 0600, and holds nothing that the bricks do not say: losing it loses work.

mod places;
mod schema;

use super::answer::Annotation;
use super::key::Key;
use crate::artifact::OsBytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use schema::VERSION;

/// Name of the database in a store.
const FILE: &str = "annotate.sqlite";

/// How SQLite keeps a file that is one process's.
const VFS: &str = "unix-excl";

/// How soon something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// It was there when watching began.
    Found = 0,
    /// It was written just now.
    Written = 1,
    /// It was mapped just now.
    Mapped = 2,
    /// It was executed just now.
    Executed = 3,
    /// Somebody asked for it by name.
    Asked = 4,
}

/// A brick that wants an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its artifact's path.
    pub path: OsBytes,
    /// BLAKE3 of the content.
    pub content: [u8; 32],
    /// The question.
    pub key: Key,
    /// How soon.
    pub priority: Priority,
    /// The brick has an annotation of this content: it may have lost one that was delivered.
    pub annotated: bool,
}

/// What became of a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It has its annotation already.
    Done,
    /// The answer is known, and will be put into the brick.
    Known,
    /// Its question waits.
    Waiting,
    /// Its question was put aside.
    Aside,
}

/// A question that was leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its key.
    pub key: Key,
    /// How often it failed by the server's fault.
    pub attempts: u32,
    /// How often it was made shorter.
    pub shrunk: u32,
    /// Some of the bricks that wait for it.
    pub places: Vec<OsBytes>,
}

/// An answer on its way into a brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The brick.
    pub path: OsBytes,
    /// The content it was asked about.
    pub content: [u8; 32],
    /// The question.
    pub key: Key,
    /// The answer.
    pub answer: Annotation,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Questions that wait.
    pub waiting: u64,
    /// Questions that are being asked.
    pub leased: u64,
    /// Questions that were put aside.
    pub dead: u64,
    /// Answers, ever.
    pub answers: u64,
    /// Answers that are not in their brick yet.
    pub undelivered: u64,
    /// Bricks that have theirs.
    pub delivered: u64,
}

/// Why the queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A later program wrote it.
    #[error("{}: made by a later version of foundry-user ({found}; this one knows {VERSION}); remove it to begin anew", path.display())]
    Version {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file cannot be made or opened.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("the annotation queue failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is in a row is not what this program writes.
    #[error("the annotation queue holds an answer that makes no sense: {0}")]
    Answer(#[from] postcard::Error),
}

/// An open queue.
#[derive(Debug)]
pub struct Queue {
    db: Connection,
}

impl Queue {
    /// Opens the queue of a store, making it where there is none. One that is damaged is put beside:
    /// what it held is asked again.
    ///
    /// # Errors
    /// Where the file cannot be had, or a later program made it.
    pub fn open(store: &Path) -> Result<Self, QueueError> {
        let path = store.join(FILE);
        match Self::open_at(&path) {
            Err(QueueError::Sqlite(e)) if is_damage(&e) => {
                let io = |source| QueueError::Io { path: path.clone(), source };
                std::fs::rename(&path, path.with_extension("broken")).map_err(io)?;
                for rest in ["sqlite-wal", "sqlite-shm"] {
                    // They are not always there.
                    drop(std::fs::remove_file(path.with_extension(rest)));
                }
                Self::open_at(&path)
            }
            other => other,
        }
    }

    fn open_at(path: &Path) -> Result<Self, QueueError> {
        use rustix::fs::{Mode, OFlags};
        let io = |e: rustix::io::Errno| QueueError::Io { path: path.to_owned(), source: e.into() };
        // Made by us, so that it is nobody else's to read; SQLite gives its other files the same mode.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(io)?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(io)?;
        drop(file);
        // The index of the log is kept in this process's memory: in a mapped file, a full disk would end
        // the daemon with SIGBUS. Whoever works on the queue has it alone, so nobody else looks for it.
        let mut db = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), VFS)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // A power cut may take the last questions, never the file.
        db.pragma_update(None, "synchronous", "NORMAL")?;
        schema::migrate(&mut db, path)?;
        Ok(Self { db })
    }

    /// For whoever works on the queue, alone: what was leased to somebody who is gone waits again.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn give_back_all(&self) -> Result<u64, QueueError> {
        let sql = "UPDATE job SET state = 0 WHERE state = 1";
        Ok(self.db.execute(sql, [])? as u64)
    }

    /// Leases the most urgent question that may be asked at `now_ms`.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn lease(&mut self, now_ms: i64) -> Result<Option<Job>, QueueError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next = "SELECT key, attempts, shrunk FROM job WHERE state = 0 AND not_before <= ?1
                    ORDER BY priority DESC, number LIMIT 1";
        let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?));
        let found: Option<([u8; 32], u32, u32)> = tx.query_row(next, [now_ms], row).optional()?;
        let Some((key, attempts, shrunk)) = found else { return Ok(None) };
        tx.execute("UPDATE job SET state = 1 WHERE key = ?1", [key])?;
        let places = tx
            .prepare_cached("SELECT path FROM place WHERE key = ?1 AND state = 0 LIMIT 8")?
            .query_map([key], |r| r.get(0))?
            .collect::<Result<Vec<OsBytes>, _>>()?;
        tx.commit()?;
        Ok(Some(Job { key: Key(key), attempts, shrunk, places }))
    }

    /// When the next question that waits for time to pass may be asked.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn next_due(&self) -> Result<Option<i64>, QueueError> {
        let sql = "SELECT min(not_before) FROM job WHERE state = 0";
        Ok(self.db.query_row(sql, [], |r| r.get(0))?)
    }

    /// The question is answered: it is never asked again.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn finish(&mut self, key: &Key, answer: &Annotation) -> Result<(), QueueError> {
        let bytes = postcard::to_allocvec(answer)?;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute(
            "INSERT OR IGNORE INTO answer (key, body) VALUES (?1, ?2)",
            params![key.0, bytes],
        )?;
        tx.execute("DELETE FROM job WHERE key = ?1", [key.0])?;
        tx.execute("UPDATE place SET state = 1 WHERE key = ?1 AND state = 0", [key.0])?;
        tx.commit()?;
        Ok(())
    }

    /// The lease ends without an answer, by nobody's fault.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn give_back(&self, key: &Key) -> Result<(), QueueError> {
        self.db.execute("UPDATE job SET state = 0 WHERE key = ?1 AND state = 1", [key.0])?;
        Ok(())
    }

    /// The server failed: not before `not_before_ms` again.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn retry(&self, key: &Key, not_before_ms: i64, why: &str) -> Result<(), QueueError> {
        let sql = "UPDATE job SET state = 0, attempts = attempts + 1, not_before = ?2, failure = ?3
                   WHERE key = ?1";
        self.db.execute(sql, params![key.0, not_before_ms, why])?;
        Ok(())
    }

    /// The question was too long: it is asked shorter.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn shrink(&self, key: &Key, why: &str) -> Result<(), QueueError> {
        let sql = "UPDATE job SET state = 0, shrunk = shrunk + 1, failure = ?2 WHERE key = ?1";
        self.db.execute(sql, params![key.0, why])?;
        Ok(())
    }

    /// Nothing more is tried until somebody asks for it.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn put_aside(&self, key: &Key, why: &str) -> Result<(), QueueError> {
        let sql = "UPDATE job SET state = 2, failure = ?2 WHERE key = ?1";
        self.db.execute(sql, params![key.0, why])?;
        Ok(())
    }

    /// The question is nobody's any more.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn drop_job(&self, key: &Key) -> Result<(), QueueError> {
        self.db.execute("DELETE FROM job WHERE key = ?1", [key.0])?;
        Ok(())
    }

    /// Everything that was put aside, or waits for a retry, may be asked now. Says how many.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn revive(&self) -> Result<u64, QueueError> {
        let sql = "UPDATE job SET state = 0, attempts = 0, shrunk = 0, not_before = 0
                   WHERE state = 2 OR (state = 0 AND 0 < not_before)";
        Ok(self.db.execute(sql, [])? as u64)
    }

    /// Adds to what was spent in a window (an hour, a day) of time.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn spend(&self, kind: u8, window: i64, n: u64) -> Result<(), QueueError> {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let sql = "INSERT INTO spent (kind, since, n) VALUES (?1, ?2, ?3)
                   ON CONFLICT (kind, since) DO UPDATE SET n = n + excluded.n";
        self.db.execute(sql, params![kind, window, n])?;
        let sql = "DELETE FROM spent WHERE kind = ?1 AND since < ?2";
        self.db.execute(sql, params![kind, window])?;
        Ok(())
    }

    /// What was spent in a window.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn spent(&self, kind: u8, window: i64) -> Result<u64, QueueError> {
        let sql = "SELECT n FROM spent WHERE kind = ?1 AND since = ?2";
        let n: Option<i64> =
            self.db.query_row(sql, params![kind, window], |r| r.get(0)).optional()?;
        Ok(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }

    /// Leaves a word to the next start.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn note(&self, name: &str, is_set: bool) -> Result<(), QueueError> {
        let sql = "INSERT INTO note (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.db.execute(sql, params![name, is_set])?;
        Ok(())
    }

    /// Whether such a word was left; `None` where nobody ever said.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn noted(&self, name: &str) -> Result<Option<bool>, QueueError> {
        let sql = "SELECT value FROM note WHERE name = ?1";
        Ok(self.db.query_row(sql, [name], |r| r.get(0)).optional()?)
    }

    /// How much there is of everything.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn counts(&self) -> Result<Counts, QueueError> {
        let n = |sql: &str| -> Result<u64, rusqlite::Error> {
            let n: i64 = self.db.prepare_cached(sql)?.query_row([], |r| r.get(0))?;
            Ok(u64::try_from(n).unwrap_or(0))
        };
        Ok(Counts {
            waiting: n("SELECT count(*) FROM job WHERE state = 0")?,
            leased: n("SELECT count(*) FROM job WHERE state = 1")?,
            dead: n("SELECT count(*) FROM job WHERE state = 2")?,
            answers: n("SELECT count(*) FROM answer")?,
            undelivered: n("SELECT count(*) FROM place WHERE state = 1")?,
            delivered: n("SELECT count(*) FROM place WHERE state = 2")?,
        })
    }

    /// Why questions were put aside or wait for a retry, the most frequent reasons first.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn failures(&self) -> Result<Vec<(String, u64)>, QueueError> {
        let sql = "SELECT failure, count(*) FROM job WHERE failure IS NOT NULL
                   GROUP BY failure ORDER BY count(*) DESC, failure LIMIT 8";
        let row = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get::<_, i64>(1)?.unsigned_abs()));
        let rows = self.db.prepare_cached(sql)?.query_map([], row)?.collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Keys that are leased.
    #[cfg(test)]
    pub(super) fn leased(&self) -> Vec<Key> {
        let mut sql = self.db.prepare("SELECT key FROM job WHERE state = 1 ORDER BY key").unwrap();
        sql.query_map([], |r| r.get(0).map(Key)).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

/// Whether the file is no database, or a broken one.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

#[cfg(test)]
mod tests;
