//! Connection strings as people write them, right and wrong.

use std::fmt::Write as _;

use expect_test::expect;

use super::*;

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Conninfo, ConninfoError> {
    Conninfo::parse(text, &|name| {
        environment
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn shown(text: &str, environment: &[(&str, &str)]) -> String {
    let info = parse(text, environment).unwrap();
    let mut out = info.target();
    for host in &info.hosts {
        write!(out, " {:?}", host.address).unwrap();
    }
    write!(out, " password={:?}", info.password().map(Secret::expose)).unwrap();
    out
}

#[test]
fn urls_and_keywords() {
    let cases = [
        "postgresql://walferry@127.0.0.1:5432/shop",
        "postgres://u:p%40ss%2Fw%25@db.example/shop?application_name=x",
        "postgresql://u@a:1,b:2,[::1]:3/d",
        "postgresql://u@/shop?host=/srv/pg&port=5433",
        "postgresql://u@%2Fsrv%2Fpg:5434/shop",
        "host=db.example hostaddr=10.0.0.1 user=u dbname = 'my db' password='it\\'s a \\\\'",
        "user=u host=a,b port=5433",
        "user=u",
        "  user=u   host=/tmp  ",
    ];
    let mut out = String::new();
    for text in cases {
        writeln!(out, "{}", shown(text, &[])).unwrap();
    }
    expect![[r#"
        walferry at 127.0.0.1:5432, database shop Ip(127.0.0.1) password=None
        u at db.example:5432, database shop Lookup password=Some("p@ss/w%")
        u at a:1,b:2,[::1]:3, database d Lookup Lookup Ip(::1) password=None
        u at /srv/pg/.s.PGSQL.5433, database shop UnixDirectory("/srv/pg") password=None
        u at /srv/pg/.s.PGSQL.5434, database shop UnixDirectory("/srv/pg") password=None
        u at db.example:5432, database my db Ip(10.0.0.1) password=Some("it's a \\")
        u at a:5433,b:5433, database u Lookup Lookup password=None
        u at /var/run/postgresql/.s.PGSQL.5432, database u UnixDirectory("/var/run/postgresql") password=None
        u at /tmp/.s.PGSQL.5432, database u UnixDirectory("/tmp") password=None
    "#]]
    .assert_eq(&out);
}

#[test]
fn the_string_goes_before_the_environment() {
    let environment = [
        ("PGHOST", "elsewhere"),
        ("PGPORT", "6000"),
        ("PGUSER", "someone"),
        ("PGPASSWORD", "from-env"),
        ("PGDATABASE", ""),
        ("PGSSLMODE", "require"),
        ("HOME", "/home/w"),
    ];
    let info = parse("postgresql://u@db/", &environment).unwrap();
    assert_eq!(info.target(), "u at db:6000, database u");
    assert_eq!(info.password().map(Secret::expose), Some("from-env"));
    assert_eq!(info.ssl.mode, SslMode::Require);
    assert_eq!(info.passfile, Some("/home/w/.pgpass".into()));
    assert_eq!(
        info.ssl.root,
        RootCertificates::Default(Some("/home/w/.postgresql/root.crt".into()))
    );
    let other = info.with_password(Secret::new("from-file"));
    assert_eq!(other.password().map(Secret::expose), Some("from-file"));
}

#[test]
fn defaults_find_a_dead_peer_within_thirty_seconds() {
    let info = parse("user=u host=h", &[]).unwrap();
    let keepalives = info.tcp.keepalives.unwrap();
    assert!(keepalives.idle + keepalives.interval * keepalives.count < Duration::from_secs(30));
    assert!(info.tcp.user_timeout.unwrap() < Duration::from_secs(30));
    assert_eq!(info.connect_timeout, Some(Duration::from_secs(10)));
    assert_eq!(
        (info.ssl.mode, info.application_name.as_str()),
        (SslMode::Prefer, "walferry")
    );

    let text = "user=u host=h keepalives=0 tcp_user_timeout=0 connect_timeout=0 keepalives_idle=7";
    let info = parse(text, &[]).unwrap();
    assert_eq!((info.tcp.keepalives, info.tcp.user_timeout), (None, None));
    assert_eq!(info.connect_timeout, None);
}

#[test]
fn sslrootcert_system_asks_for_the_whole_check() {
    let info = parse("user=u sslrootcert=system", &[]).unwrap();
    assert_eq!(info.ssl.mode, SslMode::VerifyFull);
    assert!(parse("user=u sslrootcert=system sslmode=require", &[]).is_err());
}

#[test]
fn every_problem_is_told_at_once_and_names_what_to_do() {
    let mut out = String::new();
    for text in [
        "user=u sslmod=require aplication_name=x zzzzzz=1",
        "user=u sslmode=allow port=0 connect_timeout=soon target_session_attrs=leader",
        "user=u service=shop gssencmode=require client_encoding=LATIN1",
        "user=u host=a,b port=1,2,3 hostaddr=1.2.3.4,nope",
        "user=u sslcert=/a channel_binding=yes sslnegotiation=direct",
        "host=h",
        "user=u dbname",
        "user=u password='open",
        "postgresql://u:p@h/d?sslmode",
        "postgresql://u:p%zz@h/d",
        "postgresql://u@[::1/d",
    ] {
        writeln!(
            out,
            "{}",
            parse(text, &[])
                .unwrap_err()
                .to_string()
                .replace("; ", "\n  ")
        )
        .unwrap();
    }
    expect![[r#"
        there is no connection parameter 'sslmod'
          did you mean 'sslmode'?
          there is no connection parameter 'aplication_name'
          did you mean 'application_name'?
          there is no connection parameter 'zzzzzz'
        connection parameter 'port': takes a number from 1 to 65535 (in a URL, write '/' and ':' of a password as %2F and %3A)
          connection parameter 'sslmode': allow tries without encryption first: use prefer, or require
          connection parameter 'connect_timeout': takes a whole number
          connection parameter 'target_session_attrs': takes any, read-write, read-only, primary, standby or prefer-standby
        connection parameter 'service' is not supported: write the service's settings into the URL
          connection parameter 'client_encoding': walferry reads UTF8 only: leave it away
          connection parameter 'gssencmode': there is no GSSAPI: leave it away
        connection parameter 'port': takes one port, or one for each host
          connection parameter 'hostaddr': takes IP addresses
          names go into 'host'
        connection parameter 'sslkey': is missing: a certificate and its key go together
          connection parameter 'sslnegotiation': can be direct only with sslmode=require or better
          connection parameter 'channel_binding': takes disable, prefer or require
        no user: write it into the URL, or set PGUSER
        there is a word without '=' at character 8
          a value with spaces needs quotes: password='two words'
        the quote that opens at character 17 is not closed
        the URL has a parameter without '=' after its '?'
        the URL has a wrong percent escape
          write % itself as %25
        the URL has an IPv6 address without its closing bracket
    "#]].assert_eq(&out);
}

#[test]
fn no_part_of_a_password_is_shown() {
    for text in [
        "postgresql://u:canary/canary@host/db",
        "postgresql://u:can@canary@host/db",
        "postgresql://u:12/canary@host/db",
        "postgresql://u:%canary@host/db",
        "postgresql://u:canary?canary@host/db",
        "user=u password=a canary host=h",
        "user=u password=a canary=b host=h",
        "user=u password='canary host=h",
        "user=u password=canary port=x",
    ] {
        let error = parse(text, &[]).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("canary"), "{text}: {shown}");
        }
    }
    let info = parse("user=u password=canary", &[]).unwrap();
    assert!(!format!("{info:?} {}", info.target()).contains("canary"));
}
