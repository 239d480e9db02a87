//! Reading and writing dates and times of day in DateStyle ISO, and the proleptic Gregorian
//! calendar that Postgres keeps (manual: "Date/Time Output", "History of Units").

/// Walks over text; every step is none when the text is not what the step expects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// Goes over `expected`, or stays.
    pub(super) fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Goes over digits, at least `min` and at most `max`.
    pub(super) fn digits(&mut self, min: usize, max: usize) -> Option<&'a [u8]> {
        let len = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if len < min || len > max {
            return None;
        }
        let (digits, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(digits)
    }

    /// A number of `min` to `max` (at most 18) digits.
    pub(super) fn number(&mut self, min: usize, max: usize) -> Option<i64> {
        Some(value(self.digits(min, max)?))
    }

    /// `+` or `-` as a factor; none and no step without a sign.
    pub(super) fn sign(&mut self) -> Option<i64> {
        if self.skip(b"-").is_some() {
            return Some(-1);
        }
        self.skip(b"+").map(|()| 1)
    }

    /// The text must be used up.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// True when all text is used up.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn two(&mut self, max: i64) -> Option<i64> {
        let [tens, ones, rest @ ..] = self.0 else {
            return None;
        };
        if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        self.0 = rest;
        let number = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
        (number <= max).then_some(number)
    }

    /// `2016-11-04`, before a ` BC` is known.
    pub(super) fn date(&mut self) -> Option<Date> {
        let year = self.number(4, 7)?;
        self.skip(b"-")?;
        let month = self.two(12)?;
        self.skip(b"-")?;
        let day = self.two(31)?;
        (month > 0 && day > 0).then_some(Date { year, month, day })
    }

    /// `13:51:30.123456`, up to 24:00:00.
    pub(super) fn time_of_day(&mut self) -> Option<TimeOfDay<'a>> {
        let hours = self.two(24)?;
        self.minutes_and_seconds(hours)
    }

    /// `:51:30.123456` after so many hours.
    pub(super) fn minutes_and_seconds(&mut self, hours: i64) -> Option<TimeOfDay<'a>> {
        self.skip(b":")?;
        let minutes = self.two(59)?;
        self.skip(b":")?;
        let seconds = self.two(59)?;
        let fraction = match self.skip(b".") {
            Some(()) => self.digits(1, 6)?,
            None => b"",
        };
        let seconds = hours
            .checked_mul(3600)?
            .checked_add(minutes * 60 + seconds)?;
        Some(TimeOfDay { seconds, fraction })
    }

    /// `+02`, `-12:30:15`: seconds east of UTC.
    pub(super) fn offset(&mut self) -> Option<i64> {
        let sign = self.sign()?;
        let mut seconds = self.two(99)? * 3600;
        if self.skip(b":").is_some() {
            seconds += self.two(59)? * 60;
            if self.skip(b":").is_some() {
                seconds += self.two(59)?;
            }
        }
        Some(sign * seconds)
    }

    /// Makes the year astronomical when ` BC` follows: 1 BC is the year 0.
    pub(super) fn era(&mut self, date: Date) -> Date {
        match self.skip(b" BC") {
            Some(()) => Date {
                year: 1 - date.year,
                ..date
            },
            None => date,
        }
    }
}

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    /// Astronomical: 0 is 1 BC.
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: i64,
    /// 1 to 31.
    pub(super) day: i64,
}

/// A time of day, its fraction as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeOfDay<'a> {
    /// Whole seconds since midnight.
    pub(super) seconds: i64,
    /// Digits after the second's point, at most six.
    pub(super) fraction: &'a [u8],
}

impl Date {
    /// Days since 1970-01-01, counted in eras of 400 years from 1 March of the year 0.
    pub(super) fn epoch_day(self) -> i64 {
        let year = if self.month <= 2 {
            self.year - 1
        } else {
            self.year
        };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }

    /// The inverse of [`Date::epoch_day`].
    pub(super) fn from_epoch_day(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }

    /// `2016-11-04` as Java's `DateTimeFormatter.ISO_LOCAL_DATE` prints it: years beyond 9999 with
    /// their sign, years before 0 with four digits at least.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        if self.year < 0 {
            out.push(b'-');
        } else if self.year > 9999 {
            out.push(b'+');
        }
        let year = self.year.unsigned_abs();
        if year <= 9999 {
            two(year / 100, out);
            two(year % 100, out);
        } else {
            out.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
        }
        out.push(b'-');
        two(self.month.unsigned_abs(), out);
        out.push(b'-');
        two(self.day.unsigned_abs(), out);
    }
}

impl TimeOfDay<'_> {
    /// Digits after the second as microseconds.
    pub(super) fn micros(self) -> i64 {
        let missing = 6_u32.saturating_sub(u32::try_from(self.fraction.len()).unwrap_or(6));
        value(self.fraction) * 10_i64.pow(missing)
    }

    /// `13:51:30`, and the fraction as it was written.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let seconds = self.seconds.unsigned_abs();
        two(seconds / 3600, out);
        out.push(b':');
        two(seconds / 60 % 60, out);
        out.push(b':');
        two(seconds % 60, out);
        if !self.fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(self.fraction);
        }
    }
}

/// Two digits of a number below 100.
fn two(number: u64, out: &mut Vec<u8>) {
    let digit = |number: u64| b'0' + u8::try_from(number % 10).unwrap_or(0);
    out.extend_from_slice(&[digit(number / 10), digit(number)]);
}

fn value(digits: &[u8]) -> i64 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_known_by_heart() {
        for (year, month, day, expected) in [
            (1970, 1, 1, 0),
            (1969, 12, 31, -1),
            (2016, 11, 4, 17109),
            (-43, 3, 15, -735_160),
            (5_874_897, 12, 31, 2_145_042_905),
            (-4712, 1, 1, -2_440_550),
        ] {
            assert_eq!(Date { year, month, day }.epoch_day(), expected);
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_are_one_to_one(days in -3_000_000_000i64..3_000_000_000) {
            let date = Date::from_epoch_day(days);
            prop_assert_eq!(date.epoch_day(), days);
            prop_assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day));
        }
    }
}
