use super::*;

/// Printed by Java 17 and Debezium 3.6.3's own `MurmurHash3`: form, JSON, `hashCode`, hash.
#[rustfmt::skip]
#[test]
fn hashes_are_javas_and_debeziums() {
    let list = |form| JavaForm::List(Box::new(form));
    let known = [
        (JavaForm::Integer, r#"0"#, 0, 1805505889),
        (JavaForm::Integer, r#"1"#, 1, -1931162451),
        (JavaForm::Integer, r#"-1"#, -1, 171705313),
        (JavaForm::Integer, r#"7"#, 7, -784540462),
        (JavaForm::Integer, r#"128"#, 128, 2094871050),
        (JavaForm::Integer, r#"-129"#, -129, 1345874928),
        (JavaForm::Integer, r#"65536"#, 65536, 784426226),
        (JavaForm::Integer, r#"2147483647"#, 2147483647, 925940511),
        (JavaForm::Integer, r#"-2147483648"#, -2147483648, -797218156),
        (JavaForm::Integer, r#"0"#, 0, 1805505889),
        (JavaForm::Integer, r#"-1"#, -1, 171705313),
        (JavaForm::Integer, r#"300"#, 300, -297510042),
        (JavaForm::Integer, r#"-32768"#, -32768, 827707054),
        (JavaForm::Long, r#"0"#, 0, 1805505889),
        (JavaForm::Long, r#"-1"#, 0, 1805505889),
        (JavaForm::Long, r#"1099511627776"#, 256, -1356379757),
        (JavaForm::Long, r#"-9223372036854775808"#, -2147483648, -797218156),
        (JavaForm::Long, r#"9223372036854775807"#, -2147483648, -797218156),
        (JavaForm::Long, r#"1714567890123456"#, -233919069, 548147142),
        (JavaForm::Boolean, r#"true"#, 1231, -1891831265),
        (JavaForm::Boolean, r#"false"#, 1237, -682375457),
        (JavaForm::Double, r#"0.0"#, 0, 1805505889),
        (JavaForm::Double, r#"-0.0"#, -2147483648, -797218156),
        (JavaForm::Double, r#"1.5"#, 1073217536, -1122085266),
        (JavaForm::Double, r#"-2.25E-300"#, 987761191, 794733770),
        (JavaForm::Double, r#""NaN""#, 2146959360, -1249978784),
        (JavaForm::Double, r#""Infinity""#, 2146435072, -722737251),
        (JavaForm::Double, r#"1.0E10"#, 1644339295, -1774187124),
        (JavaForm::Float, r#"0.0"#, 0, 1805505889),
        (JavaForm::Float, r#"1.1"#, 1066192077, -1031273043),
        (JavaForm::Float, r#"-3.0E-10"#, -1348145857, 1132732344),
        (JavaForm::String, r#""""#, 0, 89125410),
        (JavaForm::String, r#""a""#, 97, -1119243492),
        (JavaForm::String, r#""region1""#, 1086109629, 1263698082),
        (JavaForm::String, r#""ab\ncd""#, 92513834, 1592198143),
        (JavaForm::String, r#""žluť""#, 11487934, 1171109712),
        (JavaForm::String, r#""日本語""#, 25921943, 1165439223),
        (JavaForm::String, r#""😀x""#, 54959989, 966414759),
        (JavaForm::String, r#""0123456789abcde""#, -1791907458, -1723162990),
        (JavaForm::String, r#""0123456789abcdef""#, 285443752, 26898387),
        (JavaForm::String, r#""0123456789abcdefghijklmnopqrstuvwxyz""#, 704348018, -1119147576),
        (JavaForm::String, r#""éééééééééééé""#, 441382592, -766304183),
        (JavaForm::Bytes, r#""""#, 1, -1931162451),
        (JavaForm::Bytes, r#""AA==""#, 31, 293746424),
        (JavaForm::Bytes, r#""/wI=""#, 1022, 387613886),
        (JavaForm::Bytes, r#""AQIDBAUGBwgJ9gsMDQ4PEBE=""#, 489056700, -1694343480),
        (JavaForm::Decimal { scale: 2 }, r#""AA==""#, 2, -351805952),
        (JavaForm::Decimal { scale: 2 }, r#""AJY=""#, 4652, 1881887724),
        (JavaForm::Decimal { scale: 2 }, r#""/2o=""#, -4648, -1793267814),
        (JavaForm::Decimal { scale: 2 }, r#""AKtUqYzrHwrS""#, -1584216580, -193158727),
        (JavaForm::Decimal { scale: 2 }, r#""vRLtxPQn38Xs""#, -494185779, 1294521600),
        (JavaForm::Decimal { scale: 2 }, r#""Ae0Jvq2HwDeNjmP/////""#, 302916175, -1528542454),
        (list(JavaForm::Integer), r#"[1,null,3]"#, 30755, -81023190),
        (list(JavaForm::String), r#"["a","b"]"#, 4066, -645483681),
        (list(JavaForm::Integer), r#"[]"#, 1, -1931162451),
        (JavaForm::Date { days: true }, r#"19000"#, 922493310, -1695593378),
        (JavaForm::Date { days: true }, r#"-1"#, 86399999, 913866341),
        (JavaForm::Date { days: false }, r#"1714567890123"#, 875939140, 691694223),
    ];
    for (form, json, java, murmur) in known {
        let hash = |function| form.hash(json.as_bytes(), function);
        assert_eq!(hash(HashFunction::Java), java, "{form:?} {json}");
        assert_eq!(hash(HashFunction::Murmur), murmur, "{form:?} {json}");
    }
}

#[test]
fn what_has_no_stable_hash_in_java_is_hashed_as_its_json() {
    let json = br#"{"scale":2,"value":"AJY="}"#;
    assert_eq!(
        JavaForm::Json.hash(json, HashFunction::Java),
        of_string(json)
    );
    let wrong = br#""not a number""#;
    assert_eq!(
        JavaForm::Long.hash(wrong, HashFunction::Java),
        of_string(wrong)
    );
}
