//! `interval`, from IntervalStyle postgres (manual: "Interval Output"): `1 year 2 mons -3 days
//! +04:05:06.78`, each part with a sign of its own.

use super::ValueError;
use super::calendar::{Scan, TimeOfDay};
use super::temporal::number;
use crate::options::IntervalHandling;

/// Debezium's month: 365.25 / 12 days.
const MONTH_MICROS: i64 = 2_629_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

const TOO_LONG: ValueError = ValueError::Unrepresentable {
    what: "an interval of more microseconds than 64 bits hold",
    remedy: "interval.handling.mode: string",
};

pub(super) fn interval(
    text: &[u8],
    handling: IntervalHandling,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    // Postgres 17 has infinite intervals.
    if text == b"infinity" || text == b"-infinity" {
        if handling == IntervalHandling::Numeric {
            return Err(TOO_LONG);
        }
        return super::quoted(text, out);
    }
    let interval = parse(text).ok_or(ValueError::Malformed)?;
    match handling {
        IntervalHandling::Numeric => number(interval.micros().ok_or(TOO_LONG)?, out),
        IntervalHandling::String => interval.write(out),
    }
    Ok(())
}

struct Interval<'a> {
    years: i64,
    months: i64,
    days: i64,
    /// 1 or -1, for hours, minutes and seconds together.
    sign: i64,
    time: TimeOfDay<'a>,
}

fn parse(text: &[u8]) -> Option<Interval<'_>> {
    let time = TimeOfDay {
        seconds: 0,
        fraction: b"",
    };
    let mut interval = Interval {
        years: 0,
        months: 0,
        days: 0,
        sign: 1,
        time,
    };
    let mut scan = Scan::new(text);
    loop {
        let sign = scan.sign().unwrap_or(1);
        let count = scan.number(1, 10)?;
        if scan.skip(b" ").is_some() {
            let field = if scan.skip(b"year").is_some() {
                &mut interval.years
            } else if scan.skip(b"mon").is_some() {
                &mut interval.months
            } else {
                scan.skip(b"day")?;
                &mut interval.days
            };
            *field = sign * count;
            // Plural but for one.
            let _ = scan.skip(b"s");
        } else {
            interval.sign = sign;
            interval.time = scan.minutes_and_seconds(count)?;
            scan.end()?;
        }
        if scan.is_empty() {
            return Some(interval);
        }
        scan.skip(b" ")?;
    }
}

impl Interval<'_> {
    fn micros(&self) -> Option<i64> {
        let months = self.years.checked_mul(12)?.checked_add(self.months)?;
        let days = self.days.checked_mul(DAY_MICROS)?;
        let time = self
            .time
            .seconds
            .checked_mul(1_000_000)?
            .checked_add(self.time.micros())?;
        months
            .checked_mul(MONTH_MICROS)?
            .checked_add(days)?
            .checked_add(self.sign * time)
    }

    /// `P1Y2M3DT4H5M6.78S`, every part there.
    fn write(&self, out: &mut Vec<u8>) {
        let seconds = self.time.seconds;
        out.extend_from_slice(b"\"P");
        for (count, letter) in [
            (self.years, &b"Y"[..]),
            (self.months, b"M"),
            (self.days, b"DT"),
        ] {
            number(count, out);
            out.extend_from_slice(letter);
        }
        for (count, letter) in [(seconds / 3600, b'H'), (seconds / 60 % 60, b'M')] {
            number(self.sign * count, out);
            out.push(letter);
        }
        let significant = self.time.fraction.iter().rposition(|digit| *digit != b'0');
        if self.sign < 0 && (seconds % 60 != 0 || significant.is_some()) {
            out.push(b'-');
        }
        number(seconds % 60, out);
        if let Some(last) = significant {
            out.push(b'.');
            out.extend_from_slice(self.time.fraction.get(..=last).unwrap_or_default());
        }
        out.extend_from_slice(b"S\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str, handling: IntervalHandling) -> Result<String, ValueError> {
        let mut out = Vec::new();
        interval(text.as_bytes(), handling, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn parts_keep_their_signs() {
        for (text, micros, iso) in [
            (
                "1 year 2 mons 3 days 04:05:06.78",
                "37091106780000",
                "P1Y2M3DT4H5M6.78S",
            ),
            (
                "-1 years -2 days +03:00:00",
                "-31719600000000",
                "P-1Y0M-2DT3H0M0S",
            ),
            (
                "1 mon -1 days +00:00:00.000001",
                "2543400000001",
                "P0Y1M-1DT0H0M0.000001S",
            ),
            ("-00:00:00.000001", "-1", "P0Y0M0DT0H0M-0.000001S"),
            ("00:00:00", "0", "P0Y0M0DT0H0M0S"),
            ("100:00:00", "360000000000", "P0Y0M0DT100H0M0S"),
        ] {
            assert_eq!(json(text, IntervalHandling::Numeric).unwrap(), micros);
            assert_eq!(
                json(text, IntervalHandling::String).unwrap(),
                format!("\"{iso}\"")
            );
        }
    }

    #[test]
    fn too_long_for_a_number_is_fit_for_text() {
        let text = "-178000000 years";
        assert_eq!(json(text, IntervalHandling::Numeric), Err(TOO_LONG));
        assert_eq!(
            json(text, IntervalHandling::String).unwrap(),
            "\"P-178000000Y0M0DT0H0M0S\""
        );
        assert_eq!(json("infinity", IntervalHandling::Numeric), Err(TOO_LONG));
        assert_eq!(
            json("infinity", IntervalHandling::String).unwrap(),
            "\"infinity\""
        );
    }

    #[test]
    fn other_styles_are_refused() {
        for text in [
            "",
            " ",
            "P1Y",
            "1",
            "1 week",
            "@ 1 year",
            "1 year ",
            "1-2",
            "00:00:00 1 day",
            "1 days x",
        ] {
            assert_eq!(
                json(text, IntervalHandling::Numeric),
                Err(ValueError::Malformed),
                "{text}"
            );
        }
    }
}
