//! Slots and the stream: what goes in comes out, over each kind of socket, to a good end.

use std::time::Duration;

use connector::postgres::{
    Class, Conninfo, PostgresError, ReplicationSession, ReplicationStream, SqlClient,
};
use pgoutput::{Lsn, Message, PgTimestamp, ServerMessage, StatusUpdate};
use pgwire::command::{Failover, NewSlot, SlotLife, SlotSnapshot};

use super::server::Server;

const SOCKETS: [&str; 3] = [
    "user=scram dbname=postgres host=DIR port=PORT",
    "user=scram dbname=postgres host=127.0.0.1 port=PORT sslmode=disable \
        password='scram-canary-пароль'",
    "user=scram dbname=postgres host=127.0.0.1 port=PORT sslmode=verify-full \
        sslrootcert=DIR/ca.crt password='scram-canary-пароль'",
];

fn slot(name: &str) -> NewSlot<'_> {
    NewSlot {
        name,
        life: SlotLife::Permanent,
        snapshot: SlotSnapshot::Export,
        failover: Failover::Off,
    }
}

/// What a stretch of the stream held.
#[derive(Debug, Default)]
struct Seen {
    inserts: u64,
    commits: u64,
    end: Lsn,
    keepalives: u64,
}

/// Reads until `enough`, or 20 s.
async fn read(
    stream: &mut ReplicationStream,
    enough: impl Fn(&Seen) -> bool,
) -> Result<Seen, PostgresError> {
    let mut seen = Seen::default();
    let all = async {
        while !enough(&seen) {
            stream.readable().await?;
            stream.fill()?;
            while let Some(payload) = stream.next_payload()? {
                match ServerMessage::decode(payload).unwrap() {
                    ServerMessage::Keepalive { .. } => seen.keepalives += 1,
                    ServerMessage::WalData { payload, .. } => {
                        match Message::decode(payload).unwrap() {
                            Message::Insert(_) => seen.inserts += 1,
                            Message::Commit(commit) => {
                                seen.commits += 1;
                                seen.end = commit.end_lsn.0;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(())
    };
    let result = tokio::time::timeout(Duration::from_secs(20), all).await;
    result.expect("the stream stands still").map(|()| seen)
}

fn status(flushed: Lsn, reply_requested: bool) -> Vec<u8> {
    let mut out = Vec::new();
    StatusUpdate {
        written: flushed,
        flushed,
        applied: flushed,
        client_time: PgTimestamp(0),
        reply_requested,
    }
    .encode(&mut out);
    out
}

async fn start(conninfo: &Conninfo, name: &str) -> Result<ReplicationStream, PostgresError> {
    ReplicationSession::connect(conninfo)
        .await?
        .start_replication(name, "p", Lsn::ZERO)
        .await
}

#[tokio::test]
async fn a_slot_a_snapshot_a_stream_and_its_end_over_every_socket() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("CREATE TABLE t(id int PRIMARY KEY, body text)");
    server.sql("CREATE PUBLICATION p FOR TABLE t");
    for (index, text) in SOCKETS.iter().enumerate() {
        server.sql("TRUNCATE t; INSERT INTO t VALUES (0, 'before')");
        let conninfo = server.conninfo(text);
        let name = format!("slot_{index}");
        let mut session = ReplicationSession::connect(&conninfo).await.unwrap();
        let identity = session.identify_system().await.unwrap();
        assert_eq!(identity.timeline, 1);
        assert_eq!(
            session.wal_sender_timeout().await.unwrap(),
            Some(Duration::from_secs(60))
        );
        let created = session.create_slot(&slot(&name)).await.unwrap();
        assert!(created.consistent_point >= identity.wal_position);

        // The snapshot shows what was there before the consistent point, and only that.
        server.sql("INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series(1, 50000) n");
        let client = SqlClient::connect(&conninfo).await.unwrap();
        let snapshot = created.snapshot_name.unwrap();
        client
            .batch_execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}'"
            ))
            .await
            .unwrap();
        let rows = client
            .query_one("SELECT count(*) AS n FROM t", &[])
            .await
            .unwrap();
        assert_eq!(rows.get::<_, i64>("n"), 1);
        client.batch_execute("COMMIT").await.unwrap();

        let mut stream = session
            .start_replication(&name, "p", Lsn::ZERO)
            .await
            .unwrap();
        let seen = read(&mut stream, |seen| seen.commits == 1).await.unwrap();
        assert_eq!(seen.inserts, 50_000);
        assert!(
            stream.reads() < 10_000,
            "{} reads over {text}",
            stream.reads()
        );

        stream.send(&status(seen.end, true)).await.unwrap();
        assert!(read(&mut stream, |seen| seen.keepalives > 0).await.is_ok());
        stream.finish().await.unwrap();
        let confirmed = server.sql(&format!(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{name}'"
        ));
        assert_eq!(confirmed, seen.end.to_string(), "{text}");

        let mut session = ReplicationSession::connect(&conninfo).await.unwrap();
        session.drop_slot(&name).await.unwrap();
        assert_eq!(server.sql("SELECT count(*) FROM pg_replication_slots"), "0");
    }
}

#[tokio::test]
async fn a_frame_of_many_megabytes_passes() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("CREATE TABLE t(id int PRIMARY KEY, body text); CREATE PUBLICATION p FOR TABLE t");
    for (index, text) in SOCKETS.iter().enumerate() {
        let conninfo = server.conninfo(text);
        let name = format!("slot_{index}");
        let mut session = ReplicationSession::connect(&conninfo).await.unwrap();
        session.create_slot(&slot(&name)).await.unwrap();
        server.sql("INSERT INTO t SELECT n, repeat('x', 30000000) FROM generate_series(1, 2) n");
        server.sql("TRUNCATE t");
        let mut stream = session
            .start_replication(&name, "p", Lsn::ZERO)
            .await
            .unwrap();
        let seen = read(&mut stream, |seen| seen.commits == 2).await.unwrap();
        assert_eq!(seen.inserts, 2);
        stream.finish().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_refuses_has_its_sqlstate() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("CREATE TABLE t(id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    let conninfo = server.conninfo(SOCKETS[0]);
    let state = |error: &PostgresError| error.sqlstate().map(|state| state.to_string());

    let error = start(&conninfo, "none").await.err().unwrap();
    assert_eq!(
        (state(&error).as_deref(), error.class()),
        (Some("42704"), Class::Permanent)
    );

    let mut session = ReplicationSession::connect(&conninfo).await.unwrap();
    session.create_slot(&slot("s")).await.unwrap();
    let again = session.create_slot(&slot("s")).await.unwrap_err();
    assert_eq!(state(&again).as_deref(), Some("42710"));
    // The session is good for more after a refusal.
    let stream = session
        .start_replication("s", "p", Lsn::ZERO)
        .await
        .unwrap();

    let busy = start(&conninfo, "s").await.err().unwrap();
    assert_eq!(
        (state(&busy).as_deref(), busy.class()),
        (Some("55006"), Class::Retry)
    );
    stream.finish().await.unwrap();

    let mut stream = start(&conninfo, "s").await.unwrap();
    server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots");
    let ended = read(&mut stream, |_| false).await.unwrap_err();
    assert_eq!(
        (state(&ended).as_deref(), ended.class()),
        (Some("57P01"), Class::Retry)
    );
}

#[tokio::test]
async fn a_missing_publication_is_an_error_in_every_version() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("CREATE TABLE t(id int PRIMARY KEY)");
    let conninfo = server.conninfo(SOCKETS[0]);
    let mut session = ReplicationSession::connect(&conninfo).await.unwrap();
    session.create_slot(&slot("s")).await.unwrap();
    server.sql("INSERT INTO t VALUES (1)");
    let error = match session.start_replication("s", "p", Lsn::ZERO).await {
        Ok(mut stream) => read(&mut stream, |seen| seen.commits > 0)
            .await
            .unwrap_err(),
        Err(error) => error,
    };
    // 42704 up to 17; from 18 on a warning with 55000, and the changes would be left out.
    let state = error.sqlstate().unwrap();
    assert!(["42704", "55000"].contains(&state.as_str()), "{error}");
    assert_eq!(error.class(), Class::Permanent);
}

#[tokio::test]
async fn a_fast_shutdown_is_not_held_up_when_everything_is_confirmed() {
    let Some(mut server) = Server::start() else {
        return;
    };
    server.sql("CREATE TABLE t(id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    let conninfo = server.conninfo(SOCKETS[1]);
    let mut session = ReplicationSession::connect(&conninfo).await.unwrap();
    session.create_slot(&slot("s")).await.unwrap();
    let mut stream = session
        .start_replication("s", "p", Lsn::ZERO)
        .await
        .unwrap();
    let reader = tokio::spawn(async move {
        loop {
            stream.readable().await?;
            stream.fill()?;
            let mut answer = None;
            while let Some(payload) = stream.next_payload()? {
                if let Ok(ServerMessage::Keepalive { wal_end, .. }) = ServerMessage::decode(payload)
                {
                    answer = Some(wal_end.0);
                }
            }
            if let Some(wal_end) = answer {
                stream.send(&status(wal_end, false)).await?;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (server, took) = tokio::task::spawn_blocking(move || {
        let took = server.stop("INT");
        (server, took)
    })
    .await
    .unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}\n{}", server.log());
    let end: Result<(), PostgresError> = reader.await.unwrap();
    let end = end.unwrap_err();
    assert_eq!(end.class(), Class::Retry, "{end}");
}

#[tokio::test]
async fn the_catalog_describes_a_table() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql(
        "CREATE SCHEMA shop;
         CREATE TYPE shop.mood AS ENUM ('sad', 'ok');
         ALTER TYPE shop.mood ADD VALUE 'bad' BEFORE 'ok';
         CREATE DOMAIN shop.price AS numeric(10,2);
         CREATE DOMAIN shop.dear AS shop.price CHECK (value > 10);
         CREATE TYPE shop.pair AS (a int, b text);
         CREATE TYPE shop.floats AS RANGE (subtype = float8);
         CREATE TABLE shop.t(
            b int, gone int, a int NOT NULL, m shop.mood[] NOT NULL, d shop.dear, p shop.pair,
            r shop.floats, n numeric, PRIMARY KEY (a, b) INCLUDE (n));
         ALTER TABLE shop.t DROP COLUMN gone",
    );
    let client = SqlClient::connect(&server.conninfo(SOCKETS[0]))
        .await
        .unwrap();
    let oid = server
        .sql("SELECT 'shop.t'::regclass::oid")
        .parse()
        .unwrap();
    let details = client.describe(oid, &[]).await.unwrap();
    assert_eq!(details.primary_key, ["a", "b"]);
    assert_eq!(details.not_null, ["b", "a", "m"]);
    let mut types: Vec<String> = details
        .types
        .iter()
        .map(|kind| format!("{}.{} {:?}", kind.schema, kind.name, kind.kind))
        .collect();
    for kind in &details.types {
        for text in &mut types {
            *text = text.replace(&kind.oid.to_string(), &kind.name);
        }
    }
    types.sort();
    expect_test::expect![[r#"
        shop._mood Array { element: mood, delimiter: 44 }
        shop.dear Domain { base: price, type_modifier: -1 }
        shop.floats Range
        shop.mood Enum { labels: ["sad", "bad", "ok"] }
        shop.pair Composite
        shop.price Domain { base: 1700, type_modifier: 655366 }"#]]
    .assert_eq(&types.join("\n"));
    assert_eq!(
        client.describe(1, &[]).await.unwrap(),
        envelope::RelationDetails::default()
    );
}
