//! Numbers in sentences for people.

/// `1 row`, `2 rows`.
#[must_use]
pub fn counted(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_not_many() {
        let said: Vec<String> = (0..3).map(|number| counted(number, "chunk")).collect();
        assert_eq!(said, ["0 chunks", "1 chunk", "2 chunks"]);
    }
}
