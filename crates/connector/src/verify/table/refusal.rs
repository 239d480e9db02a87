//! Which tables cannot be compared with their topics, and why.

use envelope::{Options, Table};

/// Why not; `others` are the captured tables beside this one.
pub(super) fn refusal<'a>(
    options: &Options,
    (schema, name): (&str, &str),
    table: &Table,
    others: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<String> {
    let skipped = options.skipped_operations;
    let skips = [
        (skipped.create, "c"),
        (skipped.update, "u"),
        (skipped.delete, "d"),
    ];
    let skips = skips.into_iter().find(|it| it.0);
    if options.is_outbox(schema, name) {
        return Some("its rows are events, and no state".to_owned());
    }
    if options.unwrap.is_some() {
        return Some("flat rows (envelope.unwrap) do not tell everything of a row".to_owned());
    }
    if let Some((_, operation)) = skips {
        return Some(format!(
            "skipped.operations leaves {operation} out, so its topic does not give its state"
        ));
    }
    if table.key_columns().next().is_none() {
        return Some("its records have no key, so no row can be found again".to_owned());
    }
    if options.columns.key(schema, name).is_some() {
        return Some("message.key.columns makes keys that several rows may share".to_owned());
    }
    let shared = others
        .into_iter()
        .find(|&(schema, name)| options.topic(schema, name) == table.topic());
    shared.map(|(schema, name)| format!("{schema}.{name} goes to the same topic"))
}

#[cfg(test)]
mod tests {
    use envelope::{RelationDetails, Unwrap};
    use pgoutput::{ColumnsBuf, Relation, RelationColumn, ReplicaIdentity};

    use super::*;

    fn refused(options: &Options, in_identity: bool) -> Option<String> {
        let column = RelationColumn {
            in_identity,
            name: "id",
            type_oid: 23,
            type_modifier: -1,
        };
        let columns: ColumnsBuf = [column].into_iter().collect();
        let relation = Relation {
            oid: 1,
            schema: "public",
            name: "users",
            replica_identity: ReplicaIdentity::Default,
            columns: columns.columns(),
        };
        let table = Table::new(&relation, &RelationDetails::default(), options);
        refusal(options, ("public", "users"), &table, [("public", "others")])
    }

    #[test]
    fn what_gives_no_state_is_refused_by_name() {
        let plain = || Options::new("shop", "db");
        assert_eq!(refused(&plain(), true), None);
        let word = |options: &Options, word: &str| {
            let said = refused(options, true).unwrap_or_default();
            assert!(said.contains(word), "{word}: {said}");
        };
        assert!(refused(&plain(), false).unwrap().contains("no key"));
        let mut options = plain();
        options.unwrap = Some(Unwrap::default());
        word(&options, "envelope.unwrap");
        for operation in ["c", "u", "d"] {
            let mut options = plain();
            options.skipped_operations = operation.parse().unwrap();
            word(&options, "skipped.operations");
        }
        let mut options = plain();
        let rule = envelope::KeyRule::parse("public.users:id").unwrap();
        options.columns.keys.push(rule);
        word(&options, "message.key.columns");
        let mut options = plain();
        options.route = Some(envelope::Route {
            topic: envelope::Rewrite::parse(".*", "all").unwrap(),
            key: None,
        });
        word(&options, "public.others goes to the same topic");
    }
}
