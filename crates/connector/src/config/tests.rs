//! The configuration as a whole: the contract, problems told at once, secrets kept.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::*;

/// The contract's file, less what is not built yet.
const CONTRACT: &str = r#"
name: shop
postgres:
  url: postgresql://walferry@127.0.0.1:5432/shop
kafka:
  bootstrap.servers: 127.0.0.1:9092
  compression.type: lz4
topics:
  prefix: shop
  partitions: 1
tables:
  include: [ "public.*" ]
snapshot:
  snapshot.mode: initial
envelope:
  format: json
  schemas.enable: false
  decimal.handling.mode: precise
  time.precision.mode: adaptive
delivery: at-least-once
admin:
  listen: 127.0.0.1:7466
"#;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse("walferry.yaml", text, &variables.iter().copied().collect())
}

fn good(text: &str, variables: &[(&str, &str)]) -> Config {
    parse(text, variables).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str, variables: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&parse(text, variables).unwrap_err().to_string());
}

/// Without a section, to which a test adds its own.
fn contract_without(section: &str) -> String {
    let mut kept = true;
    let mut out = String::new();
    for line in CONTRACT.lines() {
        if !line.starts_with(' ') {
            kept = !line.starts_with(section);
        }
        if kept {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[test]
fn the_contract_is_read() {
    let config = good(CONTRACT, &[]);
    assert_eq!(config.name, "shop");
    assert_eq!(config.postgres.slot, "walferry_shop");
    assert_eq!(config.postgres.publication, "walferry_shop");
    assert_eq!(config.postgres.create, Create::Auto);
    assert_eq!(config.kafka.bootstrap_servers(), "127.0.0.1:9092");
    assert_eq!(config.topics.prefix, "shop");
    assert_eq!(config.topics.progress, "walferry.progress.walferry_shop");
    assert_eq!(config.topics.replication_factor, None);
    assert!(config.tables.matches("public", "users"));
    assert_eq!(config.snapshot, SnapshotMode::Initial);
    assert_eq!(config.envelope.server_name, "shop");
    assert_eq!(config.envelope.database, "shop");
    let target = "walferry at 127.0.0.1:5432, database shop";
    assert_eq!(config.postgres.conninfo.target(), target);
    assert_eq!(
        config.limits,
        Limits {
            in_flight_records: 30_000,
            in_flight_bytes: 12 << 20
        }
    );
    assert!(matches!(
        config.admin,
        Listen::At {
            chosen: Chosen::ByUser,
            ..
        }
    ));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(25));
}

#[test]
fn nested_dotted_and_environment_mean_the_same() {
    let dotted = good(CONTRACT, &[]);
    let nested = CONTRACT
        .replace("snapshot.mode: initial", "snapshot: { mode: initial }")
        .replace("schemas.enable: false", "schemas: { enable: false }")
        .replace(
            "bootstrap.servers: 127.0.0.1:9092",
            "bootstrap: { servers: 127.0.0.1:9092 }",
        );
    let variables = [
        ("WALFERRY_NAME", "shop"),
        (
            "WALFERRY_POSTGRES_URL",
            "postgresql://walferry@127.0.0.1:5432/shop",
        ),
        ("WALFERRY_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
        ("WALFERRY_KAFKA_COMPRESSION_TYPE", "lz4"),
        ("WALFERRY_TABLES_INCLUDE", "public.*"),
        ("WALFERRY_ADMIN_LISTEN", "127.0.0.1:7466"),
    ];
    let values = |config: &Config| -> Vec<(String, String)> {
        let all = config.effective.iter();
        all.map(|setting| (setting.path.clone(), setting.value.clone()))
            .collect()
    };
    assert_eq!(values(&good(&nested, &[])), values(&dotted));
    assert_eq!(values(&good("", &variables)), values(&dotted));
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = good(
        CONTRACT,
        &[("WALFERRY_TOPICS_PREFIX", "other"), ("HOME", "/root")],
    );
    assert_eq!(config.topics.prefix, "other");
    let prefix = config
        .effective
        .iter()
        .find(|setting| setting.path == "topics.prefix")
        .unwrap();
    assert_eq!(
        prefix.origin,
        Origin::Environment("WALFERRY_TOPICS_PREFIX".to_owned())
    );
}

/// One of every kind of problem.
const WRONG: &str = r#"
name: my shop
postgres:
  slot: Walferry
  reconnect.backoff.min: 5
kafka:
  bootstrap.serverz: localhost:9092
  acks: 1
  enable.idempotence: false
  max.in.flight: 6
  compression.type: lz5
  queue.buffering.max.messages: 5
  max.request.size: 5
topics:
  partitions: many
  retention.msec: 5
  progress: über
tables:
  include: [ users, "/(/", "public.*" ]
snapshot:
  mode: initial
  snapshot.mode: never
envelope:
  schemas: { enable: sometimes }
  decimal.handling.mode: precize
  message.key.columns: x
  table.include.list: public.users
  max.batch.size: 5
  plugin.name: pgoutput
  heartbeat.interval.ms: 0
  skipped.operations: c,x
outbox:
  table: outbox
delivery: exactly-once
admin: { listen: nowhere }
limits.in.flight.bytes: 2TB
limits:
  in.flight.records: 0
shutdown.timeout: 25
"#;

#[test]
fn every_problem_is_told_at_once() {
    problems(
        WRONG,
        &[("WALFERRY_KAFKA_SERVERS", "x")],
        expect![[r#"
            walferry.yaml:2:1: name: "my shop" takes letters, digits, -, _ and ., up to 50 of them
            walferry.yaml:3:1: postgres.url: must be given (here, or as WALFERRY_POSTGRES_URL)
            walferry.yaml:4:3: postgres.slot: "Walferry" is no slot name: lower-case letters, digits and _, up to 63
            walferry.yaml:5:3: postgres.reconnect.backoff.min: "5" must be a time from 10ms to 1m with its unit, such as 500ms or 25s
            walferry.yaml:6:1: kafka.bootstrap.servers: must be given (here, or as WALFERRY_KAFKA_BOOTSTRAP_SERVERS)
            walferry.yaml:7:3: kafka.bootstrap.serverz: unknown key; did you mean kafka.bootstrap.servers?
            walferry.yaml:8:3: kafka.acks: "1" must stay all: a record is confirmed to Postgres once Kafka has it safe
            walferry.yaml:9:3: kafka.enable.idempotence: "false" must stay true: without it a retry repeats and reorders records
            walferry.yaml:10:3: kafka.max.in.flight: "6" is set by the idempotent producer; remove it
            walferry.yaml:11:3: kafka.compression.type: "lz5" Invalid value "lz5" for configuration property "compression.codec"
            walferry.yaml:12:3: kafka.queue.buffering.max.messages: "5" follows from the connector's in-flight limits; remove it
            walferry.yaml:13:3: kafka.max.request.size: unknown key: that is the Java client's; librdkafka's is message.max.bytes
            walferry.yaml:15:3: topics.partitions: "many" must be a whole number from 1 to 10000
            walferry.yaml:16:3: topics.retention.msec: unknown key; did you mean topics.retention.ms?
            walferry.yaml:17:3: topics.progress: "über" holds 'ü'; a topic's name takes letters, digits, . _ -
            walferry.yaml:19:14: tables.include: "users" names no schema; write schema.table, such as public.*
            walferry.yaml:19:21: tables.include: "/(/" is not a regular expression: unclosed group
            walferry.yaml:21:3: snapshot.mode: unknown key; did you mean snapshot.snapshot.mode?
            walferry.yaml:22:3: snapshot.snapshot.mode: "never" is no word any more; for changes only write no_data
            walferry.yaml:24:14: envelope.schemas.enable: "sometimes" is no word of this key; write one of true, false
            walferry.yaml:25:3: envelope.decimal.handling.mode: "precize" is no word of this key; write one of precise, double, string; did you mean precise?
            walferry.yaml:26:3: envelope.message.key.columns: "x" names no columns; write schema.table:column,column
            walferry.yaml:27:3: envelope.table.include.list: is said by tables.include here
            walferry.yaml:28:3: envelope.max.batch.size: has nothing to set here: walferry has no queue between reading and publishing; see limits.in.flight; remove it
            walferry.yaml:31:3: envelope.skipped.operations: takes a list of c, u, d and t; or none, alone
            walferry.yaml:33:3: outbox.table: "outbox" names no schema; write schema.table, such as public.*
            walferry.yaml:34:1: delivery: exactly-once is not built yet; write at-least-once
            walferry.yaml:35:10: admin.listen: "nowhere" has no port; write host:port, or off
            walferry.yaml:36:1: limits.in.flight.bytes: "2TB" must be a number of bytes from 64KiB to 1GiB, such as 16MiB
            walferry.yaml:38:3: limits.in.flight.records: "0" must be a whole number from 1 to 1000000
            walferry.yaml:39:1: shutdown.timeout: "25" must be a time from 0ms to 1h with its unit, such as 500ms or 25s
            environment WALFERRY_KAFKA_SERVERS: no key of the configuration has this name; did you mean WALFERRY_KAFKA_BOOTSTRAP_SERVERS?"#]],
    );
}

#[test]
fn shapes_that_do_not_fit_are_told() {
    let text = r#"
name: [ shop ]
postgres: postgresql://u:canary@h/d
kafka:
  bootstrap.servers:
tables:
  include:
    public: users
topics:
  prefix: ${PREFIX}
  prefix: shop
envelope:
"#;
    problems(
        text,
        &[],
        expect![[r#"
        walferry.yaml: postgres.url: must be given (here, or as WALFERRY_POSTGRES_URL)
        walferry.yaml:2:1: name: takes one value, not a list
        walferry.yaml:3:1: postgres: is a section: its keys stand below it, indented
        walferry.yaml:5:3: kafka.bootstrap.servers: has no value
        walferry.yaml:6:1: tables.include: must be given (here, or as WALFERRY_TABLES_INCLUDE)
        walferry.yaml:8:5: tables.include.public: unknown key
        walferry.yaml:10:3: topics.prefix: the environment has no PREFIX; set it, or write a default: ${VAR:-default}
        walferry.yaml:11:3: topics.prefix: is said twice; first at 10:3"#]],
    );
    problems(
        "- name",
        &[],
        expect![[r#"
        walferry.yaml: kafka.bootstrap.servers: must be given (here, or as WALFERRY_KAFKA_BOOTSTRAP_SERVERS)
        walferry.yaml: name: must be given (here, or as WALFERRY_NAME)
        walferry.yaml: postgres.url: must be given (here, or as WALFERRY_POSTGRES_URL)
        walferry.yaml: tables.include: must be given (here, or as WALFERRY_TABLES_INCLUDE)
        walferry.yaml:1:1: a configuration is a mapping of keys to values, such as `name: shop`"#]],
    );
    problems(
        "name: a\nname: b\n",
        &[],
        expect![[r#"
        walferry.yaml: kafka.bootstrap.servers: must be given (here, or as WALFERRY_KAFKA_BOOTSTRAP_SERVERS)
        walferry.yaml: postgres.url: must be given (here, or as WALFERRY_POSTGRES_URL)
        walferry.yaml: tables.include: must be given (here, or as WALFERRY_TABLES_INCLUDE)
        walferry.yaml:2:1: name: is said twice; first at 1:1"#]],
    );
}

#[test]
fn no_key_of_the_table_is_left_unread() {
    let read: BTreeSet<String> = good(CONTRACT, &[])
        .effective
        .into_iter()
        .map(|setting| setting.path)
        .collect();
    for key in keys::all() {
        let optional = key.default == keys::Default::Unset;
        assert!(
            optional || read.contains(key.path),
            "{} is documented and not read",
            key.path
        );
    }
}

#[test]
fn a_wrong_connection_string_is_told_at_its_place() {
    let wrong = "postgresql://walferry:canary@127.0.0.1:99999/shop?sslmod=require";
    let text = CONTRACT.replace("postgresql://walferry@127.0.0.1:5432/shop", wrong);
    problems(
        &text,
        &[],
        expect![[r#"
        walferry.yaml:4:3: postgres.url: there is no connection parameter 'sslmod'; did you mean 'sslmode'?
        walferry.yaml:4:3: postgres.url: connection parameter 'port': takes a number from 1 to 65535 (in a URL, write '/' and ':' of a password as %2F and %3A)"#]],
    );
}

#[test]
fn two_names_of_one_property_are_told() {
    let text = CONTRACT.replace("kafka:\n", "kafka:\n  compression.codec: zstd\n");
    problems(
        &text,
        &[],
        expect![
            "walferry.yaml:8:3: kafka.compression.type: is given twice (perhaps once by an alias)"
        ],
    );
}

#[test]
fn a_secret_has_one_place() {
    let with = |lines: &str| CONTRACT.replace("postgres:\n", &format!("postgres:\n{lines}"));
    let both = with("  password: canary\n  password_file: /run/secrets/pg\n");
    problems(
        &both,
        &[],
        expect![
            "walferry.yaml:5:3: postgres.password_file: postgres.password is given too; a secret has one place"
        ],
    );
    // The environment replaces the file's place, whichever form each has.
    let config = good(
        &with("  password_file: /none\n"),
        &[("WALFERRY_POSTGRES_PASSWORD", "canary")],
    );
    assert!(matches!(
        config.postgres.password,
        Some(SecretSource::Inline(_))
    ));
    problems(
        &with("  password_file: /none/pg\n"),
        &[],
        expect![
            "walferry.yaml:4:3: postgres.password_file: cannot read the file /none/pg: No such file or directory (os error 2)"
        ],
    );
    problems(
        &with("  password_command: exit 7\n"),
        &[],
        expect![[
            r#"walferry.yaml:4:3: postgres.password_command: the command "exit 7" ended with exit status: 7; run it by hand to see why"#
        ]],
    );
}

/// Every place that takes a secret is filled with its own canary; no form of the configuration or
/// of its problems may show one.
#[test]
fn secrets_are_never_shown() {
    let mut variables = vec![("CANARY_VARIABLE".to_owned(), "canary-variable".to_owned())];
    let secret_keys: Vec<String> = names::all_paths()
        .filter(|path| !names::forms_of_secret(path).is_empty() && !path.contains("_file"))
        .filter(|path| !path.ends_with("_command"))
        // This build of librdkafka has no OIDC, and refuses its properties.
        .filter(|path| {
            let property = path.strip_prefix("kafka.").unwrap_or("client.id");
            librdkafka::refusal(property, "canary").is_none()
        })
        .collect();
    assert!(secret_keys.len() > 4, "{secret_keys:?}");
    for (number, path) in secret_keys.iter().enumerate() {
        variables.push((variable(path), format!("canary-{number}")));
    }
    let environment: Environment = variables.into_iter().collect();
    let url = "url: postgresql://walferry:canary-url@h/d?password=canary-url";
    let text = CONTRACT.replace("url: postgresql://walferry@127.0.0.1:5432/shop", url);

    let config = Config::parse("walferry.yaml", &text, &environment).unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("canary-"), "{shown}");
    assert!(!format!("{environment:?}").contains("canary-"));

    // Wrong in every way, with secrets where they do not belong.
    let wrong = r#"
name: ${CANARY_VARIABLE}!
postgres: { url: "host=h password=canary-url what=canary-what", passwort: canary-typo }
kafka:
  bootstrap.servers: ${CANARY_VARIABLE}
  sasl.passwordd: canary-typo
  linger.ms: ${CANARY_VARIABLE}
  ssl.key.pem: canary-pem
topics: { partitions: "${CANARY_VARIABLE}", prefix: "${CANARY_VARIABLE} " }
tables: { include: "${CANARY_VARIABLE}" }
delivery: ${CANARY_VARIABLE}
admin: { listen: "${CANARY_VARIABLE}" }
"#;
    let error = Config::parse("walferry.yaml", wrong, &environment).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("canary-"), "{shown}");
}

#[test]
fn a_file_that_is_none_is_told() {
    let environment = Environment::default();
    let error = Config::load(Path::new("/nonexistent/walferry.yaml"), &environment).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/walferry.yaml: cannot be read: ")
    );
    let error = Config::load(Path::new("/dev/zero"), &environment).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
    let error = Config::load(Path::new("/"), &environment).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
}

#[test]
fn admin_can_be_off_or_default() {
    let without = contract_without("admin");
    let config = good(&without, &[]);
    assert!(matches!(
        config.admin,
        Listen::At {
            chosen: Chosen::ByDefault,
            ..
        }
    ));
    assert_eq!(
        good(&without, &[("WALFERRY_ADMIN_LISTEN", "off")]).admin,
        Listen::Off
    );
}

#[test]
fn what_decides_the_records_of_a_transaction_has_a_fingerprint() {
    let contract = contract_without("outbox");
    let shape = good(&contract, &[]).shape();
    assert_eq!(good(&contract, &[]).shape(), shape);
    for (variable, value) in [
        ("WALFERRY_TABLES_EXCLUDE", "public.a"),
        ("WALFERRY_ENVELOPE_TOMBSTONES_ON_DELETE", "false"),
    ] {
        let other = good(&contract, &[(variable, value)]).shape();
        assert_ne!(other, shape, "{variable}");
    }
    let elsewhere = [("WALFERRY_SHUTDOWN_TIMEOUT", "7s")];
    assert_eq!(good(&contract, &elsewhere).shape(), shape);
}

#[test]
fn masks_are_read_and_salts_are_not_shown() {
    let masks = r#"
  column.mask.hash.v2.SHA-256.with.salt.pepper: ["public.users.mail", "*.card_*"]
  column:
    truncate.to.20.chars: public.users.note
  message.key.columns: "public.users:mail,id"
  message.prefix.exclude.list: [ "internal.*" ]
"#;
    let text = CONTRACT.replace("\n  format: json\n", &format!("\n  format: json{masks}"));
    let config = good(&text, &[]);
    let columns = &config.envelope.columns;
    let mask = columns.mask("public", "users", "mail");
    assert!(mask.is_some_and(envelope::Mask::tells_apart));
    assert!(columns.mask("public", "users", "note").is_some());
    assert!(columns.mask("public", "users", "name").is_none());
    assert_eq!(columns.key("public", "users").unwrap(), ["mail", "id"]);
    assert!(config.envelope.message_prefixes.admits("outbox"));
    assert_eq!(
        config.envelope.logical_messages,
        envelope::LogicalMessages::Publish
    );
    let shown = format!("{config:?}");
    assert!(!shown.contains("pepper"), "{shown}");
}

#[test]
fn wrong_rules_about_columns_are_told() {
    let wrong = r#"
  column.mask.hash.SHA-3.with.salt.pepper: public.users.mail
  column.mask.with.x.chars: public.users.mail
  column.include.list: "("
  column.masc.with.3.chars: public.users.mail
  message.key.columns: public.users
"#;
    let text = CONTRACT.replace("\n  format: json\n", &format!("\n  format: json{wrong}"));
    problems(
        &text,
        &[],
        expect![[r#"
        walferry.yaml:17:3: envelope.column.mask.hash.SHA-3.with.salt.(redacted): does not know the algorithm SHA-3; it takes one of: MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512, SHA3-224, SHA3-256, SHA3-384, SHA3-512
        walferry.yaml:18:3: envelope.column.mask.with.x.chars: takes a number of characters: .5.chars
        walferry.yaml:19:3: envelope.column.include.list: "(" is no regular expression: error: unclosed group
        walferry.yaml:20:3: envelope.column.masc.with.3.chars: unknown key
        walferry.yaml:21:3: envelope.message.key.columns: "public.users" names no columns; write schema.table:column,column"#]],
    );
    let both = "\n  column.include.list: a\n  column.exclude.list: b\n";
    let text = CONTRACT.replace("\n  format: json\n", &format!("\n  format: json{both}"));
    problems(
        &text,
        &[],
        expect![
            "walferry.yaml:18:3: envelope.column.exclude.list: envelope.column.include.list is given too; one of them says it all"
        ],
    );
}

#[test]
fn a_table_may_have_its_part() {
    let items = r#"
  - { name: public.orders, where: "total > ${LEAST}", columns: [ id, total ] }
  - name: crm.*
    columns: [ id ]
  - public.users
"#;
    let forms = [
        contract_without("tables") + "tables:" + items,
        contract_without("tables") + "tables:\n include:" + items,
    ];
    for text in forms {
        let config = good(&text, &[("LEAST", "7")]);
        let orders = TablePart {
            row_filter: Some("total > 7".to_owned()),
            columns: Some(vec!["id".to_owned(), "total".to_owned()]),
        };
        assert_eq!(config.tables.part("public", "orders"), Some(&orders));
        let of_crm = config.tables.part("crm", "people").expect("a part");
        assert_eq!(of_crm.row_filter, None);
        assert_eq!(config.tables.part("public", "users"), None);
        for (schema, table) in [("public", "orders"), ("crm", "people"), ("public", "users")] {
            assert!(config.tables.matches(schema, table), "{schema}.{table}");
        }
        let told = config.effective.iter().map(|effective| &effective.path);
        let told: Vec<_> = told
            .filter(|path| path.starts_with("tables.include["))
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        // The environment's list has no parts.
        let laid = [("LEAST", "7"), ("WALFERRY_TABLES_INCLUDE", "public.orders")];
        assert_eq!(good(&text, &laid).tables.part("public", "orders"), None);
    }
}

#[test]
fn wrong_parts_of_tables_are_told() {
    let wrong = r#"tables:
  - { nam: public.orders }
  - { name: orders, where: "x > 1" }
  - { name: public.a, where: "" }
  - { name: public.b, columns: [] }
  - { name: public.c, columns: id, where: [ 1 ] }
  - [ public.d ]
"#;
    problems(
        &(contract_without("tables") + wrong),
        &[],
        expect![[r#"
        walferry.yaml:22:5: tables.include: a table here must have its name
        walferry.yaml:22:7: tables.include.nam: a table has name, where and columns, nothing else; did you mean name?
        walferry.yaml:23:7: tables.include: "orders" names no schema; write schema.table, such as public.*
        walferry.yaml:24:23: tables.include.where: has no value
        walferry.yaml:25:5: tables.include.columns: names no column
        walferry.yaml:26:23: tables.include.columns: takes a list of names
        walferry.yaml:26:36: tables.include.where: takes one text
        walferry.yaml:27:5: tables.include: each item of this list must be a text"#]],
    );
}

#[test]
fn rows_without_unchanged_columns_need_the_header_that_names_them() {
    let with = |lines: &str| {
        CONTRACT.replace(
            "\n  format: json\n",
            &format!("\n  format: json\n{lines}\n"),
        )
    };
    let lines = "  unwrap.header.unchanged.name: same\n  unwrap.drop.fields.header.name: same";
    let changes = good(&with(lines), &[])
        .envelope
        .unwrap
        .expect("flat")
        .changes;
    assert_eq!(
        changes.expect("named").dropped,
        Some(envelope::Dropped::Unchanged)
    );
    let lines = "  unwrap.header.changed.name: new\n  unwrap.drop.fields.header.name: same\n  unwrap.drop.fields.from.key: true";
    problems(
        &with(lines),
        &[],
        expect![[r#"
        walferry.yaml:18:3: envelope.unwrap.drop.fields.header.name: names no header of changes: write the name that envelope.unwrap.header.unchanged.name gives
        walferry.yaml:19:3: envelope.unwrap.drop.fields.from.key: has nothing to set here: a key without the columns that an update left alone would be another row's; remove it"#]],
    );
}
