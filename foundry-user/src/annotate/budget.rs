//! How much may be asked in an hour, and how many tokens a day may take.
//!
//! Knows: the queue's accounts. Must never know: clocks, servers.
//! Keeps: what was spent survives a restart; a new hour begins with the clock's hour.

use super::queue::{Queue, QueueError};
use super::settings::Settings;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Accounts in the queue.
const JOBS: u8 = 0;
const TOKENS: u8 = 1;

/// What was spent in this hour and this day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) jobs_this_hour: u64,
    pub(super) tokens_today: u64,
}

pub(super) fn spent(queue: &Queue, now_ms: i64) -> Result<Spent, QueueError> {
    Ok(Spent {
        jobs_this_hour: queue.spent(JOBS, now_ms.div_euclid(HOUR_MS))?,
        tokens_today: queue.spent(TOKENS, now_ms.div_euclid(DAY_MS))?,
    })
}

/// Why nothing more may be asked, and until when.
pub(super) fn exhausted(
    queue: &Queue,
    settings: &Settings,
    now_ms: i64,
) -> Result<Option<(String, i64)>, QueueError> {
    let spent = spent(queue, now_ms)?;
    let over = |limit: u64, n: u64| 0 < limit && limit <= n;
    let next = |window: i64| now_ms.div_euclid(window).saturating_add(1).saturating_mul(window);
    if over(settings.tokens_per_day, spent.tokens_today) {
        let why = format!("{} tokens were spent today", spent.tokens_today);
        return Ok(Some((why, next(DAY_MS))));
    }
    if over(settings.jobs_per_hour, spent.jobs_this_hour) {
        let why = format!("{} questions were asked this hour", spent.jobs_this_hour);
        return Ok(Some((why, next(HOUR_MS))));
    }
    Ok(None)
}

/// One exchange took so many tokens.
pub(super) fn spend(queue: &Queue, tokens: u64, now_ms: i64) -> Result<(), QueueError> {
    queue.spend(JOBS, now_ms.div_euclid(HOUR_MS), 1)?;
    queue.spend(TOKENS, now_ms.div_euclid(DAY_MS), tokens)
}

#[cfg(test)]
mod tests {
    use super::super::settings::Section;
    use super::*;

    #[test]
    fn an_hour_and_a_day_have_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let section =
            Section { jobs_per_hour: Some(2), tokens_per_day: Some(100), ..Section::default() };
        let settings = section.settings().unwrap();
        let queue = Queue::open(dir.path()).unwrap();
        let at = 50 * DAY_MS + 5;
        for _ in 0..2 {
            assert_eq!(exhausted(&queue, &settings, at).unwrap(), None);
            spend(&queue, 30, at).unwrap();
        }
        drop(queue);
        let queue = Queue::open(dir.path()).unwrap();
        let (why, until) = exhausted(&queue, &settings, at).unwrap().unwrap();
        assert!(why.starts_with("2 questions"), "{why}");
        assert_eq!(until, 50 * DAY_MS + HOUR_MS);
        assert_eq!(exhausted(&queue, &settings, until).unwrap(), None);
        spend(&queue, 40, until).unwrap();
        let (why, until) = exhausted(&queue, &settings, until).unwrap().unwrap();
        assert!(why.starts_with("100 tokens"), "{why}");
        assert_eq!(until, 51 * DAY_MS);
        let free = Settings { jobs_per_hour: 0, tokens_per_day: 0, ..settings };
        assert_eq!(exhausted(&queue, &free, at).unwrap(), None);
    }
}
