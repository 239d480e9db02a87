//! Numbers with units: `16MiB`, `25s`.

use std::time::Duration;

/// A number of bytes within bounds: a plain number, or one with `B`, `kB`, `MB`, `GB`, `KiB`,
/// `MiB`, `GiB`.
pub(super) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "B" => Some(1),
        "kB" | "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let value = number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(n, f)| n.checked_mul(f));
    value
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| {
            format!(
                "must be a number of bytes from {} to {}, such as 16MiB",
                in_binary_units(min),
                in_binary_units(max)
            )
        })
}

/// A time within bounds, always with its unit: `ms`, `s`, `m` or `h`.
pub(super) fn duration(text: &str, min_ms: u64, max_ms: u64) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let value = number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(n, f)| n.checked_mul(f));
    value
        .filter(|value| (min_ms..=max_ms).contains(value))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!(
                "must be a time from {} to {} with its unit, such as 500ms or 25s",
                in_time_units(min_ms),
                in_time_units(max_ms)
            )
        })
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn in_binary_units(bytes: u64) -> String {
    for (size, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

fn in_time_units(ms: u64) -> String {
    for (size, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_and_bounds() {
        for (text, expected) in [
            ("65536", Some(65536)),
            ("64KiB", Some(65536)),
            ("64 KiB", Some(65536)),
            ("1MB", Some(1_000_000)),
            ("1GiB", Some(1 << 30)),
            ("64kib", None),
            ("-1", None),
            ("", None),
            ("MiB", None),
            ("2GiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(bytes(text, 1 << 10, 1 << 30).ok(), expected, "{text}");
        }
        let reason = bytes("1", 1 << 10, 1 << 30).unwrap_err();
        assert_eq!(
            reason,
            "must be a number of bytes from 1KiB to 1GiB, such as 16MiB"
        );
    }

    #[test]
    fn times_need_a_unit() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("25s", Some(25_000)),
            ("2 m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("25", None),
            ("2h", None),
            ("1.5s", None),
            ("5ms", None),
        ] {
            let found = duration(text, 10, 3_600_000).ok();
            assert_eq!(found, expected.map(Duration::from_millis), "{text}");
        }
    }
}
