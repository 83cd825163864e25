//! Periods by a clock that the test turns.

use super::*;

const DAY: i64 = 86_400_000_000_000;
const HOUR: i64 = DAY / 24;

fn at(text: &str) -> UnixNs {
    UnixNs(text.parse::<Timestamp>().unwrap().as_nanosecond().try_into().unwrap())
}

fn every(text: &str) -> Every {
    text.parse().unwrap()
}

fn one(text: &str, kept: &Kept, now: UnixNs) -> Schedules {
    let mut schedules = Schedules::new(TimeZone::UTC);
    schedules.set(&[(b"/opt".to_vec(), every(text))], kept, now);
    schedules
}

#[test]
fn names_and_expressions_have_their_moments() {
    let now = at("2026-02-26T13:37:42Z");
    for (text, next) in [
        ("hourly", "2026-02-26T14:00:00Z"),
        ("daily", "2026-02-27T00:00:00Z"),
        ("weekly", "2026-03-02T00:00:00Z"),
        ("monthly", "2026-03-01T00:00:00Z"),
        ("30 3 * * MON", "2026-03-02T03:30:00Z"),
        ("*/15 * * * *", "2026-02-26T13:45:00Z"),
    ] {
        assert_eq!(every(text).next(now, &TimeZone::UTC), Some(at(next)), "{text}");
    }
    assert_eq!(every("0 0 30 2 *").next(now, &TimeZone::UTC), None);
    for bad in ["", "often", "* * * *", "61 * * * *", "* * * * * *", "@reboot"] {
        let error = bad.parse::<Every>().unwrap_err();
        assert!(error.contains(&format!("`{bad}`")), "{bad}: {error}");
    }
}

#[test]
fn a_day_begins_where_the_zone_says() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let next = every("daily").next(at("2026-02-26T13:00:00Z"), &zone);
    assert_eq!(next, Some(at("2026-02-26T22:00:00Z")));
}

#[test]
fn it_runs_once_each_time_and_never_twice_at_once() {
    let begin = at("2026-01-01T12:00:00Z");
    let mut schedules = one("daily", &Kept::default(), begin);
    let mut runs = 0;
    for hour in 0..72 {
        let now = UnixNs(begin.0 + hour * HOUR);
        let due = schedules.tick(now);
        runs += due.len();
        assert!(schedules.tick(now).is_empty(), "begun twice at hour {hour}");
        for name in due {
            assert_eq!(schedules.done(&name), Some(now));
        }
    }
    assert_eq!(runs, 3);
}

#[test]
fn what_was_missed_is_caught_up_once() {
    let dir = tempfile::tempdir().unwrap();
    let begin = at("2026-01-01T12:00:00Z");
    Kept::open(dir.path()).remember(b"/opt", begin, "daily").unwrap();
    // Ten days later, after a restart.
    let now = UnixNs(begin.0 + 10 * DAY);
    let mut schedules = one("daily", &Kept::open(dir.path()), now);
    assert_eq!(schedules.tick(now), [b"/opt".to_vec()]);
    let began = schedules.done(b"/opt").unwrap();
    Kept::open(dir.path()).remember(b"/opt", began, "daily").unwrap();
    assert!(schedules.tick(UnixNs(now.0 + HOUR)).is_empty());
    // A run that was cut short by a crash was not remembered, and one that ended was.
    let mut again = one("daily", &Kept::open(dir.path()), UnixNs(now.0 + HOUR));
    assert!(again.tick(UnixNs(now.0 + HOUR)).is_empty());
    assert_eq!(again.list()[0].next, Some(at("2026-01-12T00:00:00Z")));
}

#[test]
fn a_run_that_was_cut_short_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let begin = at("2026-01-01T12:00:00Z");
    Kept::open(dir.path()).remember(b"/opt", begin, "daily").unwrap();
    let now = UnixNs(begin.0 + DAY);
    assert_eq!(one("daily", &Kept::open(dir.path()), now).tick(now).len(), 1);
    assert_eq!(one("daily", &Kept::open(dir.path()), now).tick(now).len(), 1);
}

#[test]
fn a_clock_that_went_back_holds_nothing_up() {
    let late = at("2030-01-01T00:00:00Z");
    let mut schedules = one("hourly", &Kept::default(), late);
    let now = at("2026-01-01T10:30:00Z");
    assert!(schedules.tick(now).is_empty());
    assert_eq!(schedules.tick(UnixNs(now.0 + HOUR)).len(), 1);
}

#[test]
fn a_new_configuration_keeps_what_goes_on() {
    let begin = at("2026-01-01T12:30:00Z");
    let mut schedules = one("hourly", &Kept::default(), begin);
    let now = UnixNs(begin.0 + HOUR);
    assert_eq!(schedules.tick(now).len(), 1);
    let wanted = [(b"/opt".to_vec(), every("hourly")), (b"/srv".to_vec(), every("hourly"))];
    schedules.set(&wanted, &Kept::default(), now);
    assert!(schedules.tick(now).is_empty(), "one runs, the other is not due");
    assert_eq!(schedules.done(b"/opt"), Some(now));
    assert_eq!(schedules.tick(UnixNs(now.0 + HOUR)).len(), 2);
}

#[test]
fn what_cannot_be_understood_is_said_and_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let begin = at("2026-01-01T12:00:00Z");
    Kept::open(dir.path()).remember(b"/opt", begin, "daily").unwrap();
    let said = dir.path().join("said");
    let opened = |file: &std::path::Path| {
        let log = std::fs::File::create(file).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(log).finish();
        let kept = tracing::subscriber::with_default(subscriber, || Kept::open(dir.path()));
        (kept, std::fs::read_to_string(file).unwrap())
    };
    let (kept, words) = opened(&said);
    assert_eq!((kept.last(b"/opt"), words.as_str()), (Some(begin), ""));
    std::fs::write(dir.path().join("schedules"), [0xff; 9]).unwrap();
    let (kept, words) = opened(&said);
    assert_eq!(kept.last(b"/opt"), None);
    assert!(words.contains("makes no sense") && words.contains("schedules"), "{words}");
}
