//! Getting in: every way that should work does, every way that should not says why.

use connector::postgres::{Class, PostgresError, ReplicationSession, SqlClient};

use super::server::Server;

const SCRAM: &str = "user=scram password='scram-canary-пароль' dbname=postgres port=PORT";

/// Both kinds of session, for they share one way in.
async fn both(server: &Server, text: &str) -> Result<(), PostgresError> {
    let conninfo = server.conninfo(text);
    let mut session = ReplicationSession::connect(&conninfo).await?;
    assert_eq!(session.identify_system().await?.database, "postgres");
    session.close().await;
    let client = SqlClient::connect(&conninfo).await?;
    let row = client.query_one("SELECT 1 AS one", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>("one"), 1);
    Ok(())
}

#[tokio::test]
async fn every_way_in_works() {
    let Some(server) = Server::start() else {
        return;
    };
    let certificate = "sslcert=DIR/client.crt sslkey=DIR/client.key";
    for text in [
        format!("{SCRAM} host=127.0.0.1 sslmode=disable"),
        format!("{SCRAM} host=127.0.0.1"),
        format!("{SCRAM} host=127.0.0.1 sslmode=require channel_binding=require"),
        format!("{SCRAM} host=127.0.0.1 sslmode=require channel_binding=disable"),
        format!("{SCRAM} host=localhost sslmode=verify-full sslrootcert=DIR/ca.crt"),
        format!("{SCRAM} host=127.0.0.1 sslmode=verify-full sslrootcert=DIR/ca.crt"),
        format!(
            "{SCRAM} host=localhost hostaddr=127.0.0.1 sslmode=verify-full \
            sslrootcert=DIR/ca.crt channel_binding=require"
        ),
        format!("{SCRAM} host=::1 sslmode=verify-ca sslrootcert=DIR/ca.crt"),
        format!("{SCRAM} host=localhost sslmode=verify-full sslrootcert=DIR/server.crt"),
        "user=md5user password=md5-canary dbname=postgres host=127.0.0.1 port=PORT".to_owned(),
        "user=clear password=clear-canary dbname=postgres host=127.0.0.1 port=PORT \
            sslmode=require"
            .to_owned(),
        format!(
            "user=certuser dbname=postgres host=127.0.0.1 port=PORT sslmode=verify-full \
            sslrootcert=DIR/ca.crt {certificate}"
        ),
        "user=scram dbname=postgres host=DIR port=PORT".to_owned(),
        "postgresql://scram@/postgres?host=DIR&port=PORT".to_owned(),
        format!("{SCRAM} host=127.0.0.1,DIR sslmode=disable target_session_attrs=read-write"),
    ] {
        if let Err(error) = both(&server, &text).await {
            panic!("{text}: {error}\n{}", server.log());
        }
    }
}

/// What only a person can mend, and a part of the message.
const PERMANENT: [(&str, &str); 14] = [
    ("user=scram password=wrong-canary host=127.0.0.1", "28P01"),
    ("user=md5user password=wrong-canary host=127.0.0.1", "28P01"),
    ("user=nobody password=wrong-canary host=127.0.0.1", "28P01"),
    (
        "user=scram host=127.0.0.1 passfile=/nowhere",
        "asks for a password",
    ),
    (
        "user=clear password=clear-canary host=127.0.0.1 sslmode=disable",
        "clear text",
    ),
    (
        "user=scram password=scram-canary-пароль host=127.0.0.1 sslmode=disable \
            channel_binding=require",
        "no TLS",
    ),
    (
        "user=md5user password=md5-canary host=127.0.0.1 sslmode=require channel_binding=require",
        "without SCRAM",
    ),
    (
        "user=scram password=canary host=::1 sslmode=verify-full sslrootcert=DIR/ca.crt",
        "subject alternative names",
    ),
    (
        "user=scram password=canary host=127.0.0.1 sslmode=verify-ca sslrootcert=DIR/other-ca.crt",
        "TLS with",
    ),
    (
        "user=scram password=canary host=127.0.0.1 sslmode=verify-ca sslrootcert=DIR/none.crt",
        "sslrootcert",
    ),
    (
        "user=scram password=canary host=127.0.0.1 sslmode=verify-ca",
        "sslrootcert",
    ),
    (
        "user=certuser host=127.0.0.1 sslmode=require sslcert=DIR/client.crt sslkey=DIR/open.key",
        "chmod 600",
    ),
    ("user=certuser host=127.0.0.1 sslmode=require", "28000"),
    (
        "user=scram password=scram-canary-пароль host=127.0.0.1 dbname=none",
        "3D000",
    ),
];

/// What time may mend.
const PASSING: [(&str, &str); 3] = [
    (
        "user=scram password=canary host=127.0.0.1 port=1",
        "connect to 127.0.0.1:1",
    ),
    (
        "user=scram password=canary host=no-such-host.invalid",
        "no-such-host.invalid",
    ),
    (
        "user=scram host=DIR target_session_attrs=standby",
        "takes writes",
    ),
];

#[tokio::test]
async fn refusals_say_why_and_never_the_password() {
    let Some(server) = Server::start() else {
        return;
    };
    let key = std::fs::read_to_string(server.directory.join("client.key")).unwrap();
    server.file("open.key", &key, 0o644);
    let permanent = PERMANENT.iter().map(|case| (case, Class::Permanent));
    let passing = PASSING.iter().map(|case| (case, Class::Retry));
    for ((text, part), class) in permanent.chain(passing) {
        let port = if text.contains("port=") {
            ""
        } else {
            " port=PORT"
        };
        let dbname = if text.contains("dbname=") {
            ""
        } else {
            " dbname=postgres"
        };
        let conninfo = server.conninfo(&format!("{text}{port}{dbname}"));
        let Err(error) = ReplicationSession::connect(&conninfo).await else {
            panic!("{text}: this must not work")
        };
        assert_eq!(error.class(), class, "{text}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(part), "{text}: {shown}");
        assert!(!shown.contains("canary"), "{shown}");
        let Err(sql) = SqlClient::connect(&conninfo).await else {
            panic!("{text}")
        };
        assert_eq!(sql.to_string(), error.to_string());
    }
}

#[tokio::test]
async fn the_password_file_is_asked_when_there_is_no_password() {
    let Some(server) = Server::start() else {
        return;
    };
    let line = "127.0.0.1:*:postgres:scram:scram-canary-пароль\n";
    let private = server.file("pgpass", line, 0o600);
    let open = server.file("pgpass-open", line, 0o644);
    let text = "user=scram dbname=postgres host=127.0.0.1 port=PORT";
    for (path, works) in [(private, true), (open, false)] {
        let environment = [("PGPASSFILE", path.display().to_string())];
        let conninfo = server.conninfo_with(text, &environment);
        let connected = ReplicationSession::connect(&conninfo).await;
        assert_eq!(connected.is_ok(), works, "{}", path.display());
    }
}

#[tokio::test]
async fn settings_are_pinned_over_the_roles_own() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("ALTER ROLE scram SET datestyle = 'German'");
    server.sql("ALTER ROLE scram SET statement_timeout = '1s'");
    server.sql("ALTER ROLE scram SET extra_float_digits = '-10'");
    let text = "user=scram dbname=postgres host=DIR port=PORT options='-c intervalstyle=iso_8601'";
    let client = SqlClient::connect(&server.conninfo(text)).await.unwrap();
    let query = "SELECT concat_ws(' ', '2026-05-04 03:02:01+09'::timestamptz, 0.1::float8 + 0.2, \
        '1 day 2 hours'::interval, '\\x01ff'::bytea, current_setting('statement_timeout'), \
        current_setting('client_encoding'), current_setting('application_name')) AS all";
    let row = client.query_one(query, &[]).await.unwrap();
    assert_eq!(
        row.get::<_, String>("all"),
        "2026-05-03 18:02:01+00 0.30000000000000004 1 day 02:00:00 \\x01ff 0 UTF8 walferry"
    );
}

#[tokio::test]
async fn tls_from_the_first_byte_where_the_server_can() {
    let Some(server) = Server::start() else {
        return;
    };
    let version = server
        .sql("SHOW server_version_num")
        .parse::<u32>()
        .unwrap();
    let text = format!(
        "{SCRAM} host=localhost sslmode=verify-full sslrootcert=DIR/ca.crt \
         sslnegotiation=direct channel_binding=require connect_timeout=3"
    );
    match both(&server, &text).await {
        Ok(()) => assert!(version >= 170_000),
        Err(error) => {
            assert!(version < 170_000, "{error}");
            assert!(
                error.to_string().starts_with("TLS with localhost"),
                "{error}"
            );
        }
    }
}
