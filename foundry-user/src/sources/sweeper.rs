//! Looking at everything again, from time to time: for what the other sources are not told.
//!
//! Knows: a clock that wakes. Must never know: what is swept, what others miss.
//! Keeps: a sweep is asked for at every period, however busy the others are; a period that passed
//! unheard is not made up for.

use crate::event::{Event, MonotonicNs};
use crate::sources::{Source, SourceCounters, SourceError};
use crate::tracker::{NoTracker, Tracker};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The source.
#[derive(Debug)]
pub struct Sweeper {
    timer: OwnedFd,
    counters: SourceCounters,
}

impl Sweeper {
    /// Asks for a sweep every `period`, the first one when the first has passed.
    ///
    /// # Errors
    /// Where the kernel gives no timer.
    pub fn every(period: Duration) -> Result<Self, SourceError> {
        let io = |op| move |error: Errno| SourceError::Io { op, source: error.into() };
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        );
        let timer = timer.map_err(io("make a timer"))?;
        let period = Timespec {
            tv_sec: i64::try_from(period.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: period.subsec_nanos().into(),
        };
        let setting = Itimerspec { it_interval: period, it_value: period };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting).map_err(io("set a timer"))?;
        Ok(Self { timer, counters: SourceCounters::default() })
    }
}

impl Source for Sweeper {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::new(NoTracker)
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        let mut passed = [0; 8];
        match rustix::io::read(&self.timer, &mut passed) {
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(e) => return Err(SourceError::Io { op: "read a timer", source: e.into() }),
        }
        *self.counters.other.entry("sweeps").or_default() += 1;
        let at: MonotonicNs = crate::clock::monotonic();
        out.push(Event::Sweep { at });
        Ok(())
    }

    fn counters(&self) -> SourceCounters {
        self.counters.clone()
    }

    fn name(&self) -> &'static str {
        "sweeper"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    #[test]
    fn it_wakes_and_asks_once_for_each_waking() {
        let mut sweeper = Sweeper::every(Duration::from_millis(5)).unwrap();
        let mut out = Vec::new();
        for n in 1..=3 {
            let mut fds = [PollFd::new(&sweeper.timer, PollFlags::IN)];
            assert_eq!(poll(&mut fds, None).unwrap(), 1);
            sweeper.drain(&mut out).unwrap();
            assert_eq!(out.len(), n);
        }
        assert!(out.iter().all(|event| matches!(event, Event::Sweep { .. })), "{out:?}");
        assert_eq!(sweeper.counters().other["sweeps"], 3);
    }
}
