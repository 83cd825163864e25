//! The circuit breaker: a server that keeps failing is left alone for a while.
//!
//! Knows: how the last exchanges ended. Must never know: clocks, servers.
//! Keeps: while it is open nothing is asked; the first success closes it.

use super::settings::Pace;
use std::collections::VecDeque;

/// Failures in a row that open it.
const IN_A_ROW: u32 = 5;

/// Exchanges that are remembered; where more than half of them failed, it opens.
const REMEMBERED: usize = 20;

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Ask.
    Go,
    /// Look whether the server is well, then ask once.
    Probe,
    /// Nothing before this moment.
    Wait { until_ms: i64 },
}

/// The breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    pace: Pace,
    recent: VecDeque<bool>,
    in_a_row: u32,
    /// Open until then; afterwards half open.
    open_until: Option<i64>,
    /// How often it opened since the last success.
    opened: u32,
}

impl Breaker {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, recent: VecDeque::new(), in_a_row: 0, open_until: None, opened: 0 }
    }

    /// What may be done at `now_ms`.
    pub(super) fn gate(&self, now_ms: i64) -> Gate {
        match self.open_until {
            None => Gate::Go,
            Some(until_ms) if now_ms < until_ms => Gate::Wait { until_ms },
            Some(_) => Gate::Probe,
        }
    }

    /// An exchange went well.
    pub(super) fn success(&mut self) {
        if self.open_until.take().is_some() {
            self.recent.clear();
        }
        self.in_a_row = 0;
        self.opened = 0;
        self.remember(true);
    }

    /// An exchange failed by the server's fault.
    pub(super) fn failure(&mut self, now_ms: i64) {
        self.in_a_row += 1;
        self.remember(false);
        let failed = self.recent.iter().filter(|well| !**well).count();
        let mostly = self.recent.len() == REMEMBERED && REMEMBERED < 2 * failed;
        if IN_A_ROW <= self.in_a_row || mostly || self.open_until.is_some() {
            self.trip(now_ms);
        }
    }

    /// Opens at once: nobody is there, or nobody lets us in.
    pub(super) fn trip(&mut self, now_ms: i64) {
        let wait = self.pace.cool_ms.saturating_mul(1 << self.opened.min(16));
        let wait = i64::try_from(wait.min(self.pace.cool_cap_ms)).unwrap_or(i64::MAX);
        self.open_until = Some(now_ms.saturating_add(wait));
        self.opened += 1;
        self.in_a_row = 0;
        self.recent.clear();
    }

    /// Somebody says that it is worth trying.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.pace);
    }

    fn remember(&mut self, well: bool) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(well);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        retry_ms: 1,
        retry_cap_ms: 1,
        attempts: 1,
        cool_ms: 100,
        cool_cap_ms: 350,
        pressure_ms: 1,
    };

    #[test]
    fn failures_in_a_row_open_it_and_each_failed_probe_waits_longer() {
        let mut breaker = Breaker::new(PACE);
        for _ in 0..4 {
            breaker.failure(0);
            assert_eq!(breaker.gate(0), Gate::Go);
        }
        breaker.failure(0);
        assert_eq!(breaker.gate(99), Gate::Wait { until_ms: 100 });
        assert_eq!(breaker.gate(100), Gate::Probe);
        for (now, until_ms) in [(100, 300), (300, 650), (650, 1000)] {
            breaker.failure(now);
            assert_eq!(breaker.gate(now), Gate::Wait { until_ms });
        }
        breaker.success();
        assert_eq!(breaker.gate(1000), Gate::Go);
        // The wait is short again.
        breaker.trip(0);
        assert_eq!(breaker.gate(0), Gate::Wait { until_ms: 100 });
        breaker.reset();
        assert_eq!(breaker.gate(0), Gate::Go);
    }

    #[test]
    fn failing_more_often_than_not_opens_it_too() {
        let mut breaker = Breaker::new(PACE);
        for n in 0..20 {
            assert_eq!(breaker.gate(0), Gate::Go, "after {n}");
            if n % 2 == 0 { breaker.failure(0) } else { breaker.success() }
        }
        assert_eq!(breaker.gate(0), Gate::Go);
        breaker.failure(0);
        breaker.failure(0);
        assert_eq!(breaker.gate(0), Gate::Wait { until_ms: 100 });
    }
}
