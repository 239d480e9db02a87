//! From a [`Conninfo`] to an authenticated session: each host in turn, each of its addresses.
//!
//! As libpq: the next host is tried when one cannot be reached, or is of the wrong kind; an
//! authentication that failed is final. Settings that change the bytes of values are pinned in
//! the startup message, where they win over those of the role and the database.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use pgwire::frame::{BODY_MAX, BODY_MAX_BEFORE_AUTHENTICATION};
use pgwire::handshake::{self, HandshakeStep, TlsAnswer};
use pgwire::{FrameBuffer, Greeting, Handshake, HandshakeError, Privacy, ServerVersion, WireError};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::conninfo::{
    Address, Conninfo, Host, SslMode, SslNegotiation, TargetSessionAttrs, TcpSettings,
};
use super::error::PostgresError;
use super::passfile;
use super::tls::{HandshakeFailure, Tls};
use super::transport::{TLS_READ_BYTES, Transport};

/// What the session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A walsender.
    Replication,
    /// An ordinary backend.
    Sql,
}

/// An authenticated session, ready for its first command.
pub(super) struct Connected {
    pub(super) transport: Transport,
    pub(super) frames: FrameBuffer,
    pub(super) greeting: Greeting,
    pub(super) version: ServerVersion,
    /// Host and port, for messages.
    pub(super) peer: String,
}

/// Values must come out the same whatever the role, the database or the server say, and no timeout
/// meant for people's queries may end the session.
const PINNED: [(&str, &str); 11] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// Connects to the first server that will do.
pub(super) async fn connect(
    conninfo: &Conninfo,
    purpose: Purpose,
) -> Result<Connected, PostgresError> {
    let passes: &[TargetSessionAttrs] = match conninfo.target_session_attrs {
        TargetSessionAttrs::PreferStandby => {
            &[TargetSessionAttrs::Standby, TargetSessionAttrs::Any]
        }
        TargetSessionAttrs::Any => &[TargetSessionAttrs::Any],
        TargetSessionAttrs::ReadWrite => &[TargetSessionAttrs::ReadWrite],
        TargetSessionAttrs::ReadOnly => &[TargetSessionAttrs::ReadOnly],
        TargetSessionAttrs::Primary => &[TargetSessionAttrs::Primary],
        TargetSessionAttrs::Standby => &[TargetSessionAttrs::Standby],
    };
    let mut errors = Vec::new();
    for attrs in passes {
        errors.clear();
        for host in &conninfo.hosts {
            match connect_host(conninfo, host, purpose, *attrs).await {
                Ok(connected) => return Ok(connected),
                Err(error) if ends_the_search(&error) => return Err(error),
                Err(error) => {
                    debug!(%host, %error, "the next host is tried");
                    errors.push(error);
                }
            }
        }
    }
    match <[PostgresError; 1]>::try_from(errors) {
        Ok([only]) => Err(only),
        Err(errors) => Err(PostgresError::NoHost(errors)),
    }
}

/// A password refused here must not be offered to the others: it may lock the role.
fn ends_the_search(error: &PostgresError) -> bool {
    error.is_authentication() || matches!(error, PostgresError::CertificateFile { .. })
}

async fn connect_host(
    conninfo: &Conninfo,
    host: &Host,
    purpose: Purpose,
    attrs: TargetSessionAttrs,
) -> Result<Connected, PostgresError> {
    let attempt = Box::pin(async {
        let connected = match Attempt::new(conninfo, host, purpose)?.run().await {
            // libpq's prefer: a server whose TLS does not work is tried without.
            Err(PostgresError::Tls { reason, .. }) if conninfo.ssl.mode == SslMode::Prefer => {
                warn!(%host, reason, "TLS failed; sslmode=prefer goes on unencrypted");
                Attempt::plain(conninfo, host, purpose).run().await?
            }
            other => other?,
        };
        check_attrs(&connected, attrs)?;
        Ok(connected)
    });
    match conninfo.connect_timeout {
        None => attempt.await,
        Some(after) => timeout(after, attempt).await.unwrap_or_else(|_| {
            Err(PostgresError::Timeout {
                doing: format!("connect to {host}"),
                after,
            })
        }),
    }
}

fn check_attrs(connected: &Connected, attrs: TargetSessionAttrs) -> Result<(), PostgresError> {
    let on = |name| connected.greeting.parameter(name) == Some("on");
    let standby = on("in_hot_standby");
    let read_only = standby || on("default_transaction_read_only");
    let suits = match attrs {
        TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => true,
        TargetSessionAttrs::ReadWrite => !read_only,
        TargetSessionAttrs::ReadOnly => read_only,
        TargetSessionAttrs::Primary => !standby,
        TargetSessionAttrs::Standby => standby,
    };
    if suits {
        return Ok(());
    }
    let found = match (standby, read_only) {
        (true, _) => "a standby",
        (false, true) => "read-only",
        (false, false) => "a primary that takes writes",
    };
    Err(PostgresError::WrongServer {
        host: connected.peer.clone(),
        found,
    })
}

/// One host, one way of encryption.
struct Attempt<'a> {
    conninfo: &'a Conninfo,
    host: &'a Host,
    purpose: Purpose,
    tls: Option<Tls>,
}

impl<'a> Attempt<'a> {
    fn new(
        conninfo: &'a Conninfo,
        host: &'a Host,
        purpose: Purpose,
    ) -> Result<Self, PostgresError> {
        // As in libpq, sslmode does not concern unix sockets.
        let unix = matches!(host.address, Address::UnixDirectory(_));
        let tls = match conninfo.ssl.mode {
            SslMode::Disable => None,
            _ if unix => None,
            _ => Some(Tls::new(&conninfo.ssl)?),
        };
        Ok(Attempt {
            conninfo,
            host,
            purpose,
            tls,
        })
    }

    fn plain(conninfo: &'a Conninfo, host: &'a Host, purpose: Purpose) -> Self {
        Attempt {
            conninfo,
            host,
            purpose,
            tls: None,
        }
    }

    async fn run(self) -> Result<Connected, PostgresError> {
        let (transport, privacy) = self.transport().await?;
        self.start(transport, privacy).await
    }

    async fn transport(&self) -> Result<(Transport, Privacy), PostgresError> {
        if let Address::UnixDirectory(directory) = &self.host.address {
            let path = directory.join(format!(".s.PGSQL.{}", self.host.port));
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| self.io(error))?;
            return Ok((Transport::Unix(stream), Privacy::UnixSocket));
        }
        let mut stream = self.tcp().await?;
        let Some(tls) = &self.tls else {
            return Ok((Transport::Tcp(stream), Privacy::Plain));
        };
        if self.conninfo.ssl.negotiation == SslNegotiation::Postgres
            && self.ask_for_tls(&mut stream).await? == TlsAnswer::Refused
        {
            if self.conninfo.ssl.mode > SslMode::Prefer {
                let reason = "the server has none (its setting ssl is off)".to_owned();
                return Err(PostgresError::Tls {
                    host: self.host.to_string(),
                    reason,
                });
            }
            return Ok((Transport::Tcp(stream), Privacy::Plain));
        }
        let stream = BufReader::with_capacity(TLS_READ_BYTES, stream);
        let stream =
            tls.handshake(&self.host.name, stream)
                .await
                .map_err(|failure| match failure {
                    HandshakeFailure::Cut(error) => self.tls_cut(error),
                    HandshakeFailure::Refused(reason) => PostgresError::Tls {
                        host: self.host.to_string(),
                        reason,
                    },
                })?;
        let end_point = Tls::server_end_point(&stream);
        Ok((Transport::Tls(Box::new(stream)), Privacy::Tls(end_point)))
    }

    /// Takes exactly one byte: what an attacker may have put behind it before TLS begins stays in
    /// the socket and is no TLS record (CVE-2021-23222).
    async fn ask_for_tls(&self, stream: &mut TcpStream) -> Result<TlsAnswer, PostgresError> {
        let mut out = BytesMut::new();
        handshake::tls_request(&mut out);
        stream
            .write_all(&out)
            .await
            .map_err(|error| self.io(error))?;
        let answer = stream.read_u8().await.map_err(|error| self.io(error))?;
        handshake::tls_answer(answer).map_err(|error| self.handshake(error.into()))
    }

    async fn tcp(&self) -> Result<TcpStream, PostgresError> {
        let addresses: Vec<SocketAddr> = match self.host.address {
            Address::Ip(ip) => vec![SocketAddr::new(ip, self.host.port)],
            _ => tokio::net::lookup_host((self.host.name.as_str(), self.host.port))
                .await
                .map_err(|error| self.io(error))?
                .collect(),
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        // A black hole must not eat the time of the addresses after it.
        let share = u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let bound = self
            .conninfo
            .connect_timeout
            .unwrap_or(Duration::from_secs(3600))
            / share;
        for address in addresses {
            let connecting = connect_tcp(address, self.conninfo.tcp);
            match timeout(bound, connecting).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
            }
        }
        Err(self.io(last))
    }

    async fn start(
        self,
        mut transport: Transport,
        privacy: Privacy,
    ) -> Result<Connected, PostgresError> {
        let password = self.conninfo.password().cloned().or_else(|| {
            let path = self.conninfo.passfile.as_deref()?;
            passfile::lookup(path, self.host, &self.conninfo.dbname, &self.conninfo.user)
        });
        let mut parameters = vec![
            ("database", self.conninfo.dbname.as_str()),
            ("application_name", self.conninfo.application_name.as_str()),
        ];
        if self.purpose == Purpose::Replication {
            parameters.push(("replication", "database"));
        }
        if let Some(options) = &self.conninfo.options {
            parameters.push(("options", options));
        }
        parameters.extend(PINNED);
        let mut out = BytesMut::new();
        let mut handshake = Handshake::start(
            &self.conninfo.user,
            password
                .as_ref()
                .map(|password| password.expose().as_bytes()),
            &parameters,
            privacy,
            self.conninfo.channel_binding,
            &mut out,
        )
        .map_err(|error| self.handshake(error))?;
        let mut frames = FrameBuffer::new(BODY_MAX_BEFORE_AUTHENTICATION);
        let greeting = loop {
            if !out.is_empty() {
                transport
                    .write_all(&out)
                    .await
                    .map_err(|error| self.io(error))?;
                transport.flush().await.map_err(|error| self.io(error))?;
                out.clear();
            }
            let step = match frames.next() {
                Ok(Some(frame)) => handshake.handle(frame, &mut out),
                Ok(None) => {
                    self.read_more(&mut transport, &mut frames).await?;
                    continue;
                }
                Err(error) => Err(error.into()),
            };
            match step.map_err(|error| self.handshake(error))? {
                HandshakeStep::Continue => {}
                HandshakeStep::Ready(greeting) => break greeting,
            }
        };
        frames.set_body_max(BODY_MAX);
        let version = greeting
            .parameter("server_version")
            .and_then(ServerVersion::parse);
        let version = version.ok_or(PostgresError::Answer {
            command: "the startup message",
            field: "server_version",
        })?;
        Ok(Connected {
            transport,
            frames,
            greeting,
            version,
            peer: self.host.to_string(),
        })
    }

    async fn read_more(
        &self,
        transport: &mut Transport,
        frames: &mut FrameBuffer,
    ) -> Result<(), PostgresError> {
        let count = transport
            .read(frames.spare_mut(4096))
            .await
            .map_err(|error| self.io(error))?;
        if count == 0 {
            return Err(self.io(io::ErrorKind::UnexpectedEof.into()));
        }
        frames.commit(count);
        Ok(())
    }

    fn io(&self, error: io::Error) -> PostgresError {
        PostgresError::Io {
            doing: format!("connect to {}", self.host),
            error,
        }
    }

    fn tls_cut(&self, error: io::Error) -> PostgresError {
        // An older server closes at the first byte, just as one that is restarted.
        let hint = match self.conninfo.ssl.negotiation {
            SslNegotiation::Direct => " (sslnegotiation=direct needs Postgres 17)",
            SslNegotiation::Postgres => "",
        };
        PostgresError::Io {
            doing: format!("TLS with {}{hint}", self.host),
            error,
        }
    }

    fn handshake(&self, error: HandshakeError) -> PostgresError {
        PostgresError::Handshake {
            host: self.host.to_string(),
            error,
        }
    }
}

async fn connect_tcp(address: SocketAddr, settings: TcpSettings) -> io::Result<TcpStream> {
    // The receive buffer is left to the kernel. Where it has a fixed size (`SO_RCVBUF`), a walsender's
    // small messages overfill it as soon as they are left unread for long; Linux 6.18 then offers no
    // room at all, and passes over what the server acknowledges meanwhile: status updates do not
    // arrive any more, and the server ends the session.
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let options = SockRef::from(&socket);
    options.set_tcp_nodelay(true)?;
    if let Some(keepalives) = settings.keepalives {
        let keepalive = TcpKeepalive::new()
            .with_time(keepalives.idle)
            .with_interval(keepalives.interval)
            .with_retries(keepalives.count);
        options.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    options.set_tcp_user_timeout(settings.user_timeout)?;
    socket.connect(address).await
}

/// Wraps a protocol error with what we were about.
pub(super) fn wire(doing: &'static str) -> impl Fn(WireError) -> PostgresError {
    move |error| PostgresError::Wire { doing, error }
}
