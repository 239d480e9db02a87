use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

fn json(write: impl FnOnce(&mut Vec<u8>) -> Result<(), ValueError>) -> Result<String, ValueError> {
    let mut out = Vec::new();
    write(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn decimal(text: &str, form: DecimalForm) -> Result<String, ValueError> {
    json(|out| numeric(text.as_bytes(), form, out))
}

#[test]
fn floats_are_laid_out_as_java_does() {
    for (text, expected) in [
        ("3.3", "3.3"),
        ("0", "0.0"),
        ("-0", "-0.0"),
        ("100", "100.0"),
        ("0.001", "0.001"),
        ("0.00012345", "1.2345E-4"),
        ("9999999", "9999999.0"),
        ("1e+07", "1.0E7"),
        ("12345678.9", "1.23456789E7"),
        ("123456789012345680", "1.2345678901234568E17"),
        ("1e+21", "1.0E21"),
        ("2.2250738585072014e-308", "2.2250738585072014E-308"),
        ("-1.5e-07", "-1.5E-7"),
        ("NaN", "\"NaN\""),
        ("-Infinity", "\"-Infinity\""),
    ] {
        assert_eq!(
            json(|out| float(text.as_bytes(), out)).unwrap(),
            expected,
            "{text}"
        );
    }
}

proptest! {
    /// The short way, where it is taken, is the long one.
    #[test]
    fn what_is_the_same_in_java_is_laid_out_the_same(
        text in "-?[0-9]{0,9}\\.?[0-9]{0,9}(e[+-]?[0-9]{1,2})?",
        value in prop_oneof![any::<f64>(), -1e8..1e8f64, -1.0..1.0f64],
        short in any::<f32>(),
    ) {
        for text in [text, value.to_string(), short.to_string(), format!("{value:e}")] {
            let long = json(|out| lay_out(text.as_bytes(), out));
            prop_assert_eq!(json(|out| java_layout(text.as_bytes(), out)), long, "{}", text);
        }
    }
}

#[test]
fn numbers_that_postgres_does_not_print_are_refused() {
    for text in [
        "",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e5x",
        "0x10",
        "1 ",
        "1,5",
        "--1",
        "e5",
        "1e99999999999",
    ] {
        assert_eq!(
            json(|out| float(text.as_bytes(), out)),
            Err(ValueError::Malformed),
            "{text:?}"
        );
        assert_eq!(
            json(|out| integer(text.as_bytes(), out)),
            Err(ValueError::Malformed),
            "{text:?}"
        );
        for form in [
            DecimalForm::Scaled { scale: 2 },
            DecimalForm::Variable,
            DecimalForm::Double,
            DecimalForm::Text { scale: 0 },
        ] {
            assert_eq!(
                decimal(text, form),
                Err(ValueError::Malformed),
                "{text:?} {form:?}"
            );
        }
    }
    assert_eq!(
        decimal("1.005", DecimalForm::Scaled { scale: 2 }),
        Err(ValueError::Malformed)
    );
    assert_eq!(
        decimal("1.000", DecimalForm::Scaled { scale: 2 }).unwrap(),
        "\"ZA==\""
    );
}

#[test]
fn what_is_not_finite_needs_a_mode_that_can_say_it() {
    for (text, double, word) in [
        ("NaN", "\"NaN\"", "\"NAN\""),
        ("Infinity", "\"Infinity\"", "\"POSITIVE_INFINITY\""),
        ("-Infinity", "\"-Infinity\"", "\"NEGATIVE_INFINITY\""),
    ] {
        assert_eq!(decimal(text, DecimalForm::Variable), Err(NOT_FINITE));
        assert_eq!(
            decimal(text, DecimalForm::Scaled { scale: 2 }),
            Err(NOT_FINITE)
        );
        assert_eq!(decimal(text, DecimalForm::Double).unwrap(), double);
        assert_eq!(decimal(text, DecimalForm::Text { scale: 0 }).unwrap(), word);
    }
}

#[test]
fn negative_scales_are_kept() {
    let form = DecimalForm::Scaled { scale: -2 };
    assert_eq!(decimal("12300", form).unwrap(), "\"ew==\"");
    assert_eq!(decimal("-12300", form).unwrap(), "\"hQ==\"");
    assert_eq!(decimal("0", form).unwrap(), "\"AA==\"");
    assert_eq!(decimal("12345", form), Err(ValueError::Malformed));
}

proptest! {
    #[test]
    fn unscaled_values_come_back(text in "-?(0|[1-9][0-9]{0,60})", scale in 0i16..30) {
        let point = if scale == 0 { String::new() } else { format!(".{}", "7".repeat(scale.unsigned_abs().into())) };
        let base64 = decimal(&format!("{text}{point}"), DecimalForm::Scaled { scale }).unwrap();
        let bytes = STANDARD.decode(base64.trim_matches('"')).unwrap();
        let value = BigInt::from_signed_bytes_be(&bytes);
        let expected: BigInt = format!("{text}{}", point.trim_start_matches('.')).parse().unwrap();
        prop_assert_eq!(value.to_signed_bytes_be(), bytes, "the shortest form");
        prop_assert_eq!(value, expected);
    }

    #[test]
    fn doubles_come_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        // Rust prints the shortest digits, as Postgres does.
        let text = json(|out| float(format!("{value:e}").as_bytes(), out)).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
    }
}

#[test]
fn money_is_read_in_any_locale() {
    let of = |text: &str, form, digits| {
        let mut out = Vec::new();
        money(text.as_bytes(), form, digits, &mut out).map(|()| String::from_utf8(out).unwrap())
    };
    let text = DecimalForm::Text { scale: 2 };
    for (written, digits, amount) in [
        ("$1,234.11", 2, "1234.11"),
        ("-$5.05", 2, "-5.05"),
        ("($5.05)", 2, "-5.05"),
        ("1.234,11 €", 2, "1234.11"),
        ("-1\u{202f}234,11 €", 2, "-1234.11"),
        ("\u{2212}kr 5,05", 2, "-5.05"),
        ("￥1,234", 0, "1234"),
        ("1.234", 3, "1.234"),
        ("-$92,233,720,368,547,758.08", 2, "-92233720368547758.08"),
    ] {
        assert_eq!(
            of(written, text, digits),
            Ok(format!("\"{amount}\"")),
            "{written}"
        );
    }
    let scaled = |scale| DecimalForm::Scaled { scale };
    assert_eq!(of("$1,234.11", scaled(2), 2), Ok("\"AeIT\"".to_owned()));
    assert_eq!(of("$1,234.10", scaled(1), 2), Ok("\"MDU=\"".to_owned()));
    assert_eq!(
        of("$1,234.11", scaled(1), 2),
        Err(ValueError::Unrepresentable {
            what: "an amount with more digits behind the point",
            remedy: "money.fraction.digits",
        })
    );
    assert_eq!(of("$", text, 2), Err(ValueError::Malformed));
}
