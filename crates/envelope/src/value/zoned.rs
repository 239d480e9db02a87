//! `timestamptz` and `timetz`: ISO text in UTC, whatever zone the session printed them in.

use super::ValueError;
use super::calendar::{Date, Scan, TimeOfDay};

const DAY: i64 = 86_400;

/// Writes with `digits` digits after the second, as many as the column has.
pub(super) fn timestamp(text: &[u8], digits: u8, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if text == b"infinity" || text == b"-infinity" {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return Ok(());
    }
    let (date, time) = in_utc(text).ok_or(ValueError::Malformed)?;
    out.push(b'"');
    date.write(out);
    out.push(b'T');
    time.write(out);
    let missing = usize::from(digits).saturating_sub(time.fraction.len());
    if missing > 0 {
        if time.fraction.is_empty() {
            out.push(b'.');
        }
        out.extend(std::iter::repeat_n(b'0', missing));
    }
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// Writes as many digits after the second as there are; 24:00 in UTC stays.
pub(super) fn time(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    time_of_day(text, true, out)
}

/// The same, but that 24:00 is 00:00.
pub(super) fn time_before_midnight(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    time_of_day(text, false, out)
}

fn time_of_day(text: &[u8], keeps_midnight: bool, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut scan = Scan::new(text);
    let time = scan.time_of_day().ok_or(ValueError::Malformed)?;
    let offset = scan.offset().ok_or(ValueError::Malformed)?;
    scan.end().ok_or(ValueError::Malformed)?;
    let seconds = match (time.seconds, offset) {
        (DAY, 0) if keeps_midnight => DAY,
        (seconds, offset) => (seconds - offset).rem_euclid(DAY),
    };
    out.push(b'"');
    TimeOfDay { seconds, ..time }.write(out);
    out.extend_from_slice(b"Z\"");
    Ok(())
}

fn in_utc(text: &[u8]) -> Option<(Date, TimeOfDay<'_>)> {
    let mut scan = Scan::new(text);
    let date = scan.date()?;
    scan.skip(b" ")?;
    let time = scan.time_of_day()?;
    let offset = scan.offset()?;
    let date = scan.era(date);
    scan.end()?;
    if offset == 0 {
        return Some((date, time));
    }
    let seconds = time.seconds - offset;
    let date = Date::from_epoch_day(date.epoch_day() + seconds.div_euclid(DAY));
    Some((
        date,
        TimeOfDay {
            seconds: seconds.rem_euclid(DAY),
            ..time
        },
    ))
}

/// The moment that a timestamp tells, with a zone or (in UTC) without, in milliseconds since 1970; none
/// for what is no such.
pub(crate) fn unix_millis(text: &str) -> Option<i64> {
    let zoned = text.replacen('T', " ", 1).replace('Z', "+00");
    let in_no_zone = format!("{zoned}+00");
    let (date, time) = in_utc(zoned.as_bytes()).or_else(|| in_utc(in_no_zone.as_bytes()))?;
    let mut millis = 0;
    for place in 0..3 {
        let digit = time
            .fraction
            .get(place)
            .map_or(0, |digit| i64::from(digit - b'0'));
        millis = millis * 10 + digit;
    }
    let seconds = date
        .epoch_day()
        .checked_mul(DAY)?
        .checked_add(time.seconds)?;
    seconds.checked_mul(1000)?.checked_add(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zoned(text: &str, digits: u8) -> Result<String, ValueError> {
        let mut out = Vec::new();
        timestamp(text.as_bytes(), digits, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn of_day(text: &str) -> Result<String, ValueError> {
        let mut out = Vec::new();
        time(text.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn timestamps_of_any_zone_are_told_in_utc() {
        for (text, digits, expected) in [
            (
                "2016-11-04 13:51:30.12+02",
                6,
                "\"2016-11-04T11:51:30.120000Z\"",
            ),
            (
                "2016-11-04 13:51:30.12+00",
                3,
                "\"2016-11-04T13:51:30.120Z\"",
            ),
            ("2016-11-04 13:51:30+00", 0, "\"2016-11-04T13:51:30Z\""),
            (
                "2016-12-31 23:30:00-00:45",
                3,
                "\"2017-01-01T00:15:00.000Z\"",
            ),
            (
                "0001-01-01 00:00:00+00:53:28 BC",
                0,
                "\"-0001-12-31T23:06:32Z\"",
            ),
            ("9999-12-31 23:00:00-01:30", 0, "\"+10000-01-01T00:30:00Z\""),
            ("-infinity", 6, "\"-infinity\""),
        ] {
            assert_eq!(zoned(text, digits).unwrap(), expected);
        }
        for text in [
            "2016-11-04 13:51:30",
            "2016-11-04 13:51:30 UTC",
            "2016-11-04 13:51:30+2",
        ] {
            assert_eq!(zoned(text, 6), Err(ValueError::Malformed));
        }
    }

    #[test]
    fn times_of_any_zone_are_told_in_utc() {
        assert_eq!(of_day("13:51:30.5+02").unwrap(), "\"11:51:30.5Z\"");
        assert_eq!(of_day("01:00:00+05:30").unwrap(), "\"19:30:00Z\"");
        assert_eq!(of_day("23:59:59-12:30:15").unwrap(), "\"12:30:14Z\"");
        assert_eq!(of_day("24:00:00+00").unwrap(), "\"24:00:00Z\"");
        assert_eq!(of_day("24:00:00-02").unwrap(), "\"02:00:00Z\"");
        assert_eq!(of_day("13:51:30"), Err(ValueError::Malformed));
    }
}
