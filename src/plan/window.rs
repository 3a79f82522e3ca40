//! Whether a maintenance window is open.

use k8s_openapi::jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use crate::api::{MaintenanceWindow, Weekday};

/// Whether `window` is open at `now`. A window that is open at midnight belongs to the day on which it opened.
pub(super) fn is_open(window: &MaintenanceWindow, now: Timestamp) -> bool {
    let now = now.to_zoned(TimeZone::UTC).datetime();
    let Some(start) = time(&window.start) else { return false };
    let opened = |day: civil::Date| {
        let since = now.duration_since(day.to_datetime(start));
        let length = SignedDuration::try_from(window.duration.0).unwrap_or(SignedDuration::MAX);
        (window.days.is_empty() || window.days.contains(&weekday(day))) && !since.is_negative() && since < length
    };
    opened(now.date()) || now.date().yesterday().is_ok_and(opened)
}

fn time(text: &str) -> Option<civil::Time> {
    let (hour, minute) = text.split_once(':')?;
    civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn weekday(day: civil::Date) -> Weekday {
    match day.weekday() {
        civil::Weekday::Monday => Weekday::Mon,
        civil::Weekday::Tuesday => Weekday::Tue,
        civil::Weekday::Wednesday => Weekday::Wed,
        civil::Weekday::Thursday => Weekday::Thu,
        civil::Weekday::Friday => Weekday::Fri,
        civil::Weekday::Saturday => Weekday::Sat,
        civil::Weekday::Sunday => Weekday::Sun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(days: &[Weekday], start: &str, duration: &str, now: &str) -> bool {
        let window =
            MaintenanceWindow { days: days.to_vec(), start: start.to_owned(), duration: duration.parse().unwrap() };
        is_open(&window, now.parse().unwrap())
    }

    #[test]
    fn it_is_open_from_its_start_for_its_duration() {
        for (now, expected) in [
            ("2026-01-03T01:59:59Z", false),
            ("2026-01-03T02:00:00Z", true),
            ("2026-01-03T03:59:59Z", true),
            ("2026-01-03T04:00:00Z", false),
        ] {
            assert_eq!(open(&[], "02:00", "2h", now), expected, "{now}");
            assert_eq!(open(&[Weekday::Sat], "02:00", "2h", now), expected, "{now} is a Saturday");
            assert!(!open(&[Weekday::Sun], "02:00", "2h", now), "{now} is no Sunday");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opened() {
        assert!(open(&[Weekday::Sat], "23:00", "3h", "2026-01-04T01:00:00Z"));
        assert!(!open(&[Weekday::Sun], "23:00", "3h", "2026-01-04T01:00:00Z"));
        assert!(open(&[Weekday::Sun], "23:00", "3h", "2026-01-05T01:59:59Z"));
    }
}
