//! Times in words.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// The time that everything is held against.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// the time
    pub at: OffsetDateTime,
    /// whether it is the present
    pub is_now: bool,
}

impl Moment {
    /// What is wrong with a period that does not hold the moment: `ended on 2026-05-04, 204 days
    /// ago`.
    #[must_use]
    pub fn outside(self, start: OffsetDateTime, end: OffsetDateTime) -> Option<String> {
        if start > end {
            return Some(format!(
                "ends on {}, before it begins on {}",
                date(end),
                date(start)
            ));
        }
        if self.at < start {
            Some(self.before(start))
        } else if self.at > end {
            Some(self.after(end))
        } else {
            None
        }
    }

    /// For something that begins later.
    #[must_use]
    pub fn before(self, start: OffsetDateTime) -> String {
        let (when, span) = distance(start, self.at);
        if self.is_now {
            return format!("begins only {when}, in {span}");
        }
        let at = point(self.at, start - self.at);
        format!("begins only {when}, {span} after {at}")
    }

    /// For something that ends later, from now: `ends on 2026-05-04, in 5 days`.
    #[must_use]
    pub fn until(self, end: OffsetDateTime) -> String {
        let (when, span) = distance(end, self.at);
        format!("ends {when}, in {span}")
    }

    /// For something that ended earlier.
    #[must_use]
    pub fn after(self, end: OffsetDateTime) -> String {
        let (when, span) = distance(end, self.at);
        if self.is_now {
            return format!("ended {when}, {span} ago");
        }
        let at = point(self.at, self.at - end);
        format!("ended {when}, {span} before {at}")
    }
}

/// The date part of a time, as people read it.
#[must_use]
pub fn date(time: OffsetDateTime) -> String {
    time.to_offset(UtcOffset::UTC).date().to_string()
}

// The date tells two times apart where days lie between them.
fn point(time: OffsetDateTime, span: Duration) -> String {
    let utc = time.to_offset(UtcOffset::UTC);
    if span.whole_days() >= 2 {
        return date(time);
    }
    utc.format(&Rfc3339).unwrap_or_else(|_| utc.to_string())
}

fn distance(time: OffsetDateTime, at: OffsetDateTime) -> (String, String) {
    let span = (time - at).abs();
    let preposition = if span.whole_days() >= 2 { "on" } else { "at" };
    let when = format!("{preposition} {}", point(time, span));
    (when, between(time, at))
}

/// How far two times are apart, in the largest unit of which there are two: `204 days`, `26 hours`.
#[must_use]
pub fn between(one: OffsetDateTime, other: OffsetDateTime) -> String {
    let span = (one - other).abs();
    let counted = |count: i64, unit: &str| match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    };
    match (span.whole_days(), span.whole_hours(), span.whole_minutes()) {
        (2.., ..) => counted(days_from(one, other).abs(), "day"),
        (_, 2.., _) => counted(span.whole_hours(), "hour"),
        (_, _, 1..) => counted(span.whole_minutes(), "minute"),
        _ => counted(span.whole_seconds(), "second"),
    }
}

/// How many days of the calendar (in UTC) lead from one time to another.
#[must_use]
pub fn days_from(from: OffsetDateTime, to: OffsetDateTime) -> i64 {
    let day = |time: OffsetDateTime| i64::from(time.to_offset(UtcOffset::UTC).to_julian_day());
    day(to) - day(from)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_time_outside_a_period_is_told_with_its_distance() {
        let (start, end) = (
            datetime!(2026-01-01 00:00 UTC),
            datetime!(2026-05-04 12:00 UTC),
        );
        let outside = |at, is_now| Moment { at, is_now }.outside(start, end);
        let told = |at, is_now| outside(at, is_now).unwrap();
        assert_eq!(
            told(datetime!(2026-11-24 13:00 UTC), true),
            "ended on 2026-05-04, 204 days ago"
        );
        assert_eq!(
            told(datetime!(2026-11-24 13:00 UTC), false),
            "ended on 2026-05-04, 204 days before 2026-11-24"
        );
        assert_eq!(
            told(datetime!(2026-05-04 12:01 UTC), true),
            "ended at 2026-05-04T12:00:00Z, 1 minute ago"
        );
        assert_eq!(
            told(datetime!(2025-12-31 20:00 UTC), true),
            "begins only at 2026-01-01T00:00:00Z, in 4 hours"
        );
        assert_eq!(
            told(datetime!(2025-12-31 23:59:59 UTC), false),
            "begins only at 2026-01-01T00:00:00Z, 1 second after 2025-12-31T23:59:59Z"
        );
        assert_eq!(
            Moment {
                at: start,
                is_now: true
            }
            .outside(end, start)
            .unwrap(),
            "ends on 2026-01-01, before it begins on 2026-05-04"
        );
        assert_eq!(outside(start, true), None);
        assert_eq!(outside(end, true), None);
    }
}
