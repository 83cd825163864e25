//! What a service manager is told: that the daemon is ready, reloads, stops, and is alive.
//!
//! Knows: the notification socket of systemd. Must never know: what the daemon does.
//! Keeps: only the main loop says that the daemon is alive, so that one that hangs says nothing;
//! without a service manager nothing happens.

use crate::clock;
use crate::event::MonotonicNs;
use sd_notify::NotifyState;
use std::time::Duration;

/// Who is told.
pub(super) struct Service {
    /// How long silence may last; `None` where nobody listens for it.
    patience: Option<Duration>,
    last: MonotonicNs,
}

impl Service {
    pub(super) fn new() -> Self {
        Self { patience: sd_notify::watchdog_enabled(), last: MonotonicNs(0) }
    }

    /// The longest that the loop may wait before it says something.
    pub(super) fn pause(&self, otherwise: Duration) -> Duration {
        self.patience.map_or(otherwise, |patience| otherwise.min(patience / 3))
    }

    /// The daemon watches from now on.
    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("watching")]);
    }

    /// The configuration is read again.
    pub(super) fn reloading(&self) {
        let now = i128::from(clock::monotonic().0 / 1000);
        tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)]);
    }

    /// It has been read again, and what came of it.
    pub(super) fn reloaded(&self, what: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(what)]);
    }

    /// The daemon ends.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The main loop has come round.
    pub(super) fn alive(&mut self, now: MonotonicNs) {
        let Some(patience) = self.patience else { return };
        let third = u64::try_from(patience.as_nanos() / 3).unwrap_or(u64::MAX);
        if self.last == MonotonicNs(0) || self.last.0.saturating_add(third) <= now.0 {
            self.last = now;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// A service manager that cannot be reached will notice by itself.
fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
