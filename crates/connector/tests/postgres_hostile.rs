//! Servers that do not answer, answer nonsense, or try to be listened to before TLS: each ends
//! with an error that says what was wrong, in bounded time, and without a password sent. And what
//! becomes of a stream that is left unread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use connector::postgres::{Class, Conninfo, PostgresError, ReplicationSession, ReplicationStream};
use pgoutput::Lsn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each message of one client with the next of these; what it heard comes back.
async fn script(answers: &'static [&'static [u8]]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        for answer in answers {
            let count = socket.read(&mut buffer).await.unwrap_or(0);
            heard.extend_from_slice(&buffer[..count]);
            if socket.write_all(answer).await.is_err() {
                break;
            }
        }
        if answers
            .last()
            .is_some_and(|answer| answer.starts_with(b"d"))
        {
            return heard;
        }
        // Until the client goes, so that it is not told by a closed connection.
        let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut heard)).await;
        heard
    });
    (port, task)
}

async fn connect(text: &str) -> PostgresError {
    let conninfo = Conninfo::parse(text, &|_| None).unwrap();
    match ReplicationSession::connect(&conninfo).await {
        Ok(_) => panic!("{text}: this must not work"),
        Err(error) => error,
    }
}

/// The stream of a server that lets us in and starts one.
async fn stream_from(port: u16) -> ReplicationStream {
    let text = format!("host=127.0.0.1 port={port} user=u sslmode=disable");
    let conninfo = Conninfo::parse(&text, &|_| None).unwrap();
    let session = ReplicationSession::connect(&conninfo).await.unwrap();
    let started = session.start_replication("s", "p", Lsn::ZERO).await;
    started.unwrap()
}

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const ERROR: &[u8] = b"E\0\0\0\x1dVFATAL\0C28P01\0Mcanary!!\0\0";

#[tokio::test]
async fn nonsense_is_named_and_nothing_secret_is_sent() {
    let cases: [(&str, &'static [&'static [u8]], &str); 11] = [
        (
            "disable",
            &[b"HTTP/1.1 400 Bad Request\r\n"],
            "is this a Postgres server",
        ),
        ("disable", &[b"R\0\0\0\x03"], "length word"),
        ("disable", &[b"R\x7f\xff\xff\xff"], "at most"),
        ("disable", &[b"R\0\0\0\x06\0\0"], "ends inside"),
        ("disable", &[b"R\0\0\0\x08\0\0\0\x03"], "clear text"),
        ("disable", &[b"R\0\0\0\x08\0\0\0\x07"], "GSSAPI"),
        ("disable", &[b"Z\0\0\0\x05I"], "not expected"),
        ("disable", &[OK, b""], "no answer within"),
        ("require", &[b"N"], "the server has none"),
        // An ErrorResponse before TLS could be anyone's: its words are not repeated.
        ("require", &[ERROR], "answered the TLS request with 'E'"),
        // Plaintext behind the S must be no part of the session (CVE-2021-23222).
        (
            "require",
            &[b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"],
            "TLS with",
        ),
    ];
    for (sslmode, answers, part) in cases {
        let (port, server) = script(answers).await;
        let error = connect(&format!(
            "host=127.0.0.1 port={port} user=u password=canary connect_timeout=1 sslmode={sslmode}"
        ))
        .await;
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(part), "{part}: {shown}");
        assert!(!shown.contains("canary"), "{shown}");
        let heard = server.await.unwrap();
        assert!(!heard.windows(6).any(|bytes| bytes == b"canary"), "{part}");
    }
}

#[tokio::test]
async fn a_silent_server_costs_its_share_of_time_and_the_next_is_tried() {
    let (silent, _held) = script(&[]).await;
    let (refusing, _refuses) = script(&[ERROR]).await;
    let started = Instant::now();
    let error = connect(&format!(
        "host=127.0.0.1,127.0.0.1 port={silent},{refusing} user=u connect_timeout=1 \
         sslmode=disable"
    ))
    .await;
    assert!(error.is_authentication(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4));

    let (silent, _held) = script(&[]).await;
    let error = connect(&format!(
        "host=127.0.0.1,127.0.0.1 port={silent},1 user=u connect_timeout=1 sslmode=disable"
    ))
    .await;
    assert_eq!(error.class(), Class::Retry);
    let shown = error.to_string();
    assert!(
        shown.contains("no answer within 1 s") && shown.contains("127.0.0.1:1"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_authentication_that_failed_is_final() {
    let (first, _one) = script(&[ERROR]).await;
    let (second, other) = script(&[]).await;
    let error = connect(&format!(
        "host=127.0.0.1,127.0.0.1 port={first},{second} user=u connect_timeout=1 sslmode=disable"
    ))
    .await;
    assert_eq!(
        error.sqlstate().map(|state| state.to_string()).as_deref(),
        Some("28P01")
    );
    assert!(!other.is_finished(), "the second host must not be asked");
}

/// AuthenticationOk, the version, ReadyForQuery.
const GREETING: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19server_version\x0015.18\0Z\0\0\0\x05I";

/// CopyBothResponse and a CopyData.
const STREAM: &[u8] = b"W\0\0\0\x07\0\0\0d\0\0\0\x07one";

#[tokio::test]
async fn how_a_stream_ends_is_told_after_what_came_before() {
    let cases: [(&'static [&'static [u8]], &str, Class); 6] = [
        (
            &[GREETING, STREAM, b"E\0\0\0\x16VFATAL\0C57P01\0Mx\0\0"],
            "57P01",
            Class::Retry,
        ),
        (&[GREETING, STREAM, b"c\0\0\0\x04"], "ended", Class::Retry),
        (
            &[GREETING, STREAM, b"C\0\0\0\x0bCOPY 0\0"],
            "ended",
            Class::Retry,
        ),
        (
            &[GREETING, STREAM, b"N\0\0\0\x18VWARNING\0C55000\0Mx\0\0"],
            "leaves changes out",
            Class::Permanent,
        ),
        (
            &[GREETING, STREAM, b"R\0\0\0\x08\0\0\0\0"],
            "not expected",
            Class::Permanent,
        ),
        // Half a frame, and the connection is closed.
        (
            &[GREETING, STREAM, b"d\0\0\0\x09tw"],
            "without a word",
            Class::Retry,
        ),
    ];
    for (answers, part, class) in cases {
        let (port, server) = script(answers).await;
        let mut stream = stream_from(port).await;
        let mut payloads = Vec::new();
        // Anything at all, so that the server says its last words.
        stream.send(b"r").await.unwrap();
        let error = loop {
            stream.readable().await.unwrap();
            if let Err(error) = stream.fill() {
                break error;
            }
            match stream.next_payload() {
                Ok(Some(payload)) => payloads.push(payload.to_vec()),
                Ok(None) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(payloads, [b"one"], "{part}");
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_eq!(error.class(), class, "{error}");
        drop(stream);
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_tls_handshake_that_is_cut_is_tried_again_and_one_that_is_refused_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for hello in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(b"S").await;
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(hello).await;
        }
    });
    let text = format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=require");
    let cut = connect(&text).await;
    assert_eq!(cut.class(), Class::Retry, "{cut}");
    let refused = connect(&text).await;
    assert_eq!(refused.class(), Class::Permanent, "{refused}");
}

/// Sends messages of a walsender's size, as fast as they are taken, until the client is gone; `heard`
/// counts the bytes that the client sends meanwhile.
async fn pour(mut socket: TcpStream, heard: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    for answer in [GREETING, STREAM] {
        let _ = socket.read(&mut buffer).await?;
        socket.write_all(answer).await?;
    }
    socket.set_nodelay(true)?;
    let mut message = vec![0; 241];
    message[..5].copy_from_slice(b"d\0\0\0\xf0");
    let (mut from, mut into) = socket.into_split();
    let pouring = tokio::spawn(async move { while into.write_all(&message).await.is_ok() {} });
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        heard.fetch_add(count, Ordering::Relaxed);
    }
    pouring.abort();
    Ok(())
}

/// Reads what comes for half a second.
async fn read_for_a_while(stream: &mut ReplicationStream) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        stream.readable().await.unwrap();
        stream.fill().unwrap();
        while stream.next_payload().unwrap().is_some() {}
    }
}

/// What a receive buffer of a fixed size does not keep: filled with small messages, the kernel hears
/// no acknowledgement any more, and sends nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn status_updates_arrive_however_long_the_stream_is_left_unread() {
    const UPDATES: usize = 10;
    const UPDATE: &[u8] = &[b'r'; 34];
    for round in 0..4 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(AtomicUsize::new(0));
        let hears = Arc::clone(&heard);
        let server = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            pour(socket, hears).await
        });
        let mut stream = stream_from(port).await;
        read_for_a_while(&mut stream).await;
        let before = heard.load(Ordering::Relaxed);
        for _ in 0..UPDATES {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.send(UPDATE).await.unwrap();
        }
        let expected = UPDATES * (UPDATE.len() + 5);
        let deadline = Instant::now() + Duration::from_secs(3);
        while heard.load(Ordering::Relaxed) - before < expected && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            heard.load(Ordering::Relaxed) - before,
            expected,
            "bytes in round {round}"
        );
        drop(stream);
        server.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_broke_is_told_to_who_does_not_read() {
    let (port, server) = script(&[GREETING, STREAM]).await;
    let mut stream = stream_from(port).await;
    server.abort();
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(Instant::now() < deadline, "it is not told");
        if let Err(error) = stream.send(b"r").await {
            break error;
        }
    };
    assert_eq!(error.class(), Class::Retry, "{error}");
}

#[tokio::test]
async fn the_servers_last_words_are_read_though_writing_has_failed() {
    let (port, server) = script(&[GREETING, STREAM, ERROR]).await;
    let mut stream = stream_from(port).await;
    stream.send(b"r").await.unwrap();
    // They have arrived, and nobody has looked.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.abort();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream
            .send(b"r")
            .await
            .expect("it is for the reader to tell");
    }
    let said = loop {
        stream.readable().await.unwrap();
        stream.fill().expect("the words come before the end");
        match stream.next_payload() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(said, PostgresError::Server { .. }), "{said}");
}
