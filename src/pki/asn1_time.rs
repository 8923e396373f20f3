//! Times as certificates, CRLs and the register have them: UTCTime and GeneralizedTime in UTC, to
//! the second (RFC 5280 section 4.1.2.5).

use time::macros::format_description;
use time::{Date, Month, OffsetDateTime, UtcOffset};

/// UTCTime from 1950 through 2049, else GeneralizedTime.
#[must_use]
pub fn format(time: OffsetDateTime) -> String {
    let generalized = format_generalized(time);
    if (1950..2050).contains(&time.to_offset(UtcOffset::UTC).year()) {
        generalized[2..].to_owned()
    } else {
        generalized
    }
}

/// GeneralizedTime, whatever the year.
///
/// # Panics
/// Never: the format is fixed.
#[must_use]
pub fn format_generalized(time: OffsetDateTime) -> String {
    let form = format_description!("[year][month][day][hour][minute][second]Z");
    let written = time.to_offset(UtcOffset::UTC).format(form);
    written.expect("a time has all these parts")
}

/// Reads either form; `None` where the text is neither. A two-digit year below 50 is in this
/// century (RFC 5280 section 4.1.2.5.1).
#[must_use]
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    let digits = text.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // By hand, since a register may have a million of them.
    let (year, rest) = digits.split_at(digits.len().checked_sub(10)?);
    let year = match (year.len(), year.parse::<i32>().ok()?) {
        (2, year @ 0..50) => 2000 + year,
        (2, year) => 1900 + year,
        (4, year) => year,
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(two(0)?).ok()?, two(2)?).ok()?;
    let time = date.with_hms(two(4)?, two(6)?, two(8)?).ok()?;
    Some(time.assume_utc())
}

/// Reads a GeneralizedTime; `None` where the text is none.
#[must_use]
pub fn parse_generalized(text: &str) -> Option<OffsetDateTime> {
    parse(text).filter(|_| text.len() == 15)
}

/// Either form as GeneralizedTime, which sorts by time. A two-digit year below 50 is in this
/// century (RFC 5280 section 4.1.2.5.1).
#[must_use]
pub fn generalized(text: &str) -> Option<String> {
    match text.len() {
        13 if text < "50" => Some(format!("20{text}")),
        13 => Some(format!("19{text}")),
        15 => Some(text.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_form_changes_in_2050_and_both_are_read() {
        let cases = [
            (datetime!(0026-07-01 00:00:00 UTC), "00260701000000Z"),
            (datetime!(1999-12-31 23:59:59 UTC), "991231235959Z"),
            (datetime!(2049-12-31 23:59:59 UTC), "491231235959Z"),
            (datetime!(2050-01-01 00:00:00 UTC), "20500101000000Z"),
        ];
        for (time, text) in cases {
            assert_eq!(format(time), text);
            assert_eq!(parse(text), Some(time));
        }
        assert_eq!(format(datetime!(2050-01-01 00:30:00 +1)), "491231233000Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "Z",
            "2605041200Z",
            "261304120000Z",
            "260504120000+",
            "+60504120000Z",
            "20260230120000Z",
            "20260504126000Z",
            "é60504120000",
            "é0504120000Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
