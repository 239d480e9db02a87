//! `date`, `time` and `timestamp`: local values, as numbers or ISO text (Debezium manual, "Temporal
//! values"). Values with a zone are in `zoned`.

use super::ValueError;
use super::calendar::{Date, Scan, TimeOfDay};

/// How a date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateForm {
    /// Days since 1970-01-01.
    Days,
    /// `2016-11-04Z`.
    Iso,
}

/// How a time of day or a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds; finer digits are cut.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// ISO text with `Z`.
    Iso,
}

/// Debezium's values for `timestamp 'infinity'` and `'-infinity'` in milliseconds: the ends of what
/// the JDBC driver can hold.
const INFINITY_MILLIS: i64 = 9_223_372_036_825_200;
const NEGATIVE_INFINITY_MILLIS: i64 = -9_223_372_036_832_400;

/// What `date 'infinity'` and `'-infinity'` are for Postgres itself. Debezium's streaming values
/// are in the wrong order and differ from those of its snapshot.
const INFINITY_DAY: i64 = i32::MAX as i64;
const NEGATIVE_INFINITY_DAY: i64 = i32::MIN as i64;

const TOO_FAR_FOR_NANOS: ValueError = ValueError::Unrepresentable {
    what: "a timestamp outside the years 1677 to 2262",
    remedy: "time.precision.mode: microseconds",
};
const TOO_FAR_FOR_MICROS: ValueError = ValueError::Unrepresentable {
    what: "a timestamp in the last days before the type's end",
    remedy: "time.precision.mode: isostring",
};

pub(super) fn date(text: &[u8], form: DateForm, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let day = match text {
        b"infinity" => INFINITY_DAY,
        b"-infinity" => NEGATIVE_INFINITY_DAY,
        _ => {
            let mut scan = Scan::new(text);
            let date = scan
                .date()
                .map(|date| scan.era(date))
                .ok_or(ValueError::Malformed)?;
            scan.end().ok_or(ValueError::Malformed)?;
            date.epoch_day()
        }
    };
    match form {
        DateForm::Days => number(day, out),
        DateForm::Iso => {
            out.push(b'"');
            Date::from_epoch_day(day).write(out);
            out.extend_from_slice(b"Z\"");
        }
    }
    Ok(())
}

pub(super) fn time(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut scan = Scan::new(text);
    let time = scan.time_of_day().ok_or(ValueError::Malformed)?;
    scan.end().ok_or(ValueError::Malformed)?;
    let micros = time.seconds * 1_000_000 + time.micros();
    match unit {
        Unit::Millis => number(micros / 1_000, out),
        Unit::Micros => number(micros, out),
        Unit::Nanos => number(micros * 1_000, out),
        Unit::Iso => {
            out.push(b'"');
            time.write(out);
            out.extend_from_slice(b"Z\"");
        }
    }
    Ok(())
}

pub(super) fn timestamp(text: &[u8], unit: Unit, out: &mut Vec<u8>) -> Result<(), ValueError> {
    match text {
        b"infinity" => infinity(INFINITY_MILLIS, i64::MAX, unit, out),
        b"-infinity" => infinity(NEGATIVE_INFINITY_MILLIS, i64::MIN, unit, out),
        _ => {
            let (date, time) = local(text).ok_or(ValueError::Malformed)?;
            finite(date, time, unit, out)?;
        }
    }
    Ok(())
}

fn local(text: &[u8]) -> Option<(Date, TimeOfDay<'_>)> {
    let mut scan = Scan::new(text);
    let date = scan.date()?;
    scan.skip(b" ")?;
    let time = scan.time_of_day()?;
    let date = scan.era(date);
    scan.end()?;
    Some((date, time))
}

fn finite(
    date: Date,
    time: TimeOfDay<'_>,
    unit: Unit,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    // A fraction counts forward also before 1970, so cutting it rounds down as Java's floor does.
    let seconds = date.epoch_day() * 86_400 + time.seconds;
    let micros = time.micros();
    let scaled = |unit: i64, fraction: i64| seconds.checked_mul(unit)?.checked_add(fraction);
    match unit {
        Unit::Millis => number(seconds * 1_000 + micros / 1_000, out),
        Unit::Micros => number(scaled(1_000_000, micros).ok_or(TOO_FAR_FOR_MICROS)?, out),
        Unit::Nanos => {
            number(
                scaled(1_000_000_000, micros * 1_000).ok_or(TOO_FAR_FOR_NANOS)?,
                out,
            );
        }
        Unit::Iso => iso(date, time, out),
    }
    Ok(())
}

fn infinity(millis: i64, nanos: i64, unit: Unit, out: &mut Vec<u8>) {
    match unit {
        Unit::Millis => number(millis, out),
        Unit::Micros => number(millis * 1_000, out),
        Unit::Nanos => number(nanos, out),
        Unit::Iso => {
            let seconds = millis.div_euclid(1_000);
            let tenth = b'0' + u8::try_from(millis.rem_euclid(1_000) / 100).unwrap_or(0);
            let date = Date::from_epoch_day(seconds.div_euclid(86_400));
            let seconds = seconds.rem_euclid(86_400);
            iso(
                date,
                TimeOfDay {
                    seconds,
                    fraction: &[tenth],
                },
                out,
            );
        }
    }
}

fn iso(date: Date, time: TimeOfDay<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    date.write(out);
    out.push(b'T');
    time.write(out);
    out.extend_from_slice(b"Z\"");
}

pub(super) fn number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), ValueError>,
    ) -> Result<String, ValueError> {
        let mut out = Vec::new();
        write(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn infinite_dates_are_ordered() {
        let day = |text: &[u8], form| json(|out| date(text, form, out)).unwrap();
        assert_eq!(day(b"infinity", DateForm::Days), "2147483647");
        assert_eq!(day(b"-infinity", DateForm::Days), "-2147483648");
        assert_eq!(day(b"infinity", DateForm::Iso), "\"+5881580-07-11Z\"");
        assert_eq!(day(b"-infinity", DateForm::Iso), "\"-5877641-06-23Z\"");
    }

    #[test]
    fn midnight_at_the_days_end_is_kept() {
        assert_eq!(
            json(|out| time(b"24:00:00", Unit::Iso, out)).unwrap(),
            "\"24:00:00Z\""
        );
        assert_eq!(
            json(|out| time(b"24:00:00", Unit::Millis, out)).unwrap(),
            "86400000"
        );
    }

    #[test]
    fn what_a_unit_cannot_hold_names_the_one_that_can() {
        let far = b"294276-12-31 23:59:59.999999";
        assert_eq!(
            json(|out| timestamp(far, Unit::Micros, out)),
            Err(TOO_FAR_FOR_MICROS)
        );
        assert_eq!(
            json(|out| timestamp(far, Unit::Millis, out)).unwrap(),
            "9224318015999999"
        );
        assert_eq!(
            json(|out| timestamp(b"2300-01-01 00:00:00", Unit::Nanos, out)),
            Err(TOO_FAR_FOR_NANOS)
        );
    }

    #[test]
    fn text_of_another_style_is_refused() {
        for text in [
            "",
            "2016",
            "04-11-2016",
            "2016-13-01",
            "2016-00-01",
            "2016-1-01",
            "2016-11-04 ",
            "2016-11-04 BCE",
            "12345678-01-01",
        ] {
            assert_eq!(
                json(|out| date(text.as_bytes(), DateForm::Days, out)),
                Err(ValueError::Malformed),
                "{text}"
            );
        }
        for text in [
            "2016-11-04",
            "2016-11-04T00:00:00",
            "2016-11-04 00:00",
            "2016-11-04 25:00:00",
            "2016-11-04 00:00:00.",
            "2016-11-04 00:00:00.1234567",
            "2016-11-04 00:00:00+00",
        ] {
            assert_eq!(
                json(|out| timestamp(text.as_bytes(), Unit::Micros, out)),
                Err(ValueError::Malformed),
                "{text}"
            );
        }
        for text in ["1:00:00", "01:00", "01:00:00 AM", "01:60:00"] {
            assert_eq!(
                json(|out| time(text.as_bytes(), Unit::Micros, out)),
                Err(ValueError::Malformed),
                "{text}"
            );
        }
    }
}
