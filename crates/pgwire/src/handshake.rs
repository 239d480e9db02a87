//! From the first byte to ReadyForQuery: the TLS question, startup, authentication ("Start-up",
//! "SASL Authentication").
//!
//! Sans I/O: frames in, bytes to send out. What it holds to, whoever is at the other end:
//! a password leaves in clear text only where nobody can listen; the server's proof of knowing the
//! password is checked before AuthenticationOk is believed; `channel_binding=require` accepts
//! nothing but SCRAM-SHA-256-PLUS; SCRAM's iterations (100,000, by `postgres-protocol`) and the
//! number of frames are bounded. Kerberos, GSSAPI, SSPI and OAuth are not offered.

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use thiserror::Error;

use crate::body::Body;
use crate::error::{ServerError, WireError};
use crate::frame::Frame;

/// More frames than any server sends before it is ready; notices could otherwise go on for ever.
const FRAMES_MAX: u32 = 1000;

/// Who can listen on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// TCP without TLS: anyone on the way.
    Plain,
    /// A unix socket: nobody but this machine's root.
    UnixSocket,
    /// TLS, with the hash of the server's certificate that channel binding uses
    /// (`tls-server-end-point`, RFC 5929), where its signature algorithm has one.
    Tls(Option<Vec<u8>>),
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where TLS and the server allow it.
    #[default]
    Prefer,
    /// Or no session at all.
    Require,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The server refused.
    #[error("{0}")]
    Server(ServerError),
    /// The peer's bytes are not the protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server wants a password and none was given.
    #[error("the server asks for a password ({0}) and none is configured")]
    PasswordMissing(&'static str),
    /// A password in clear text, where others could read it.
    #[error(
        "the server asks for the password in clear text over an unencrypted connection: \
        set sslmode=require or better, or let the server use scram-sha-256"
    )]
    Cleartext,
    /// `channel_binding=require` could not be had.
    #[error("channel_binding=require, but {0}")]
    ChannelBinding(&'static str),
    /// A method that walferry does not speak.
    #[error(
        "the server asks for authentication by {0}, which walferry does not have: \
        use scram-sha-256, md5 or a client certificate in pg_hba.conf"
    )]
    Method(String),
    /// The SCRAM exchange failed on our side: among others, the server could not prove that it
    /// knows the password.
    #[error("SCRAM authentication failed: {0}")]
    Scram(String),
}

/// What a server tells while it gets ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// ParameterStatus values by name, as `server_version` and `in_hot_standby`.
    pub parameters: Vec<(String, String)>,
    /// The backend's process id.
    pub process_id: i32,
    /// What a cancel request must carry.
    pub secret_key: i32,
}

impl Greeting {
    /// The value of a reported parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Asks for TLS. Exactly one byte may be read for the answer.
pub fn tls_request(out: &mut BytesMut) {
    frontend::ssl_request(out);
}

/// The server's answer to [`tls_request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsAnswer {
    /// `S`: the TLS handshake follows.
    Accepted,
    /// `N`: the server has no TLS.
    Refused,
}

/// Reads the one byte of the answer.
///
/// # Errors
/// Any other byte. An `E` would start an ErrorResponse, which no one has authenticated, so its
/// text is not read (CVE-2024-10977).
pub fn tls_answer(byte: u8) -> Result<TlsAnswer, WireError> {
    match byte {
        b'S' => Ok(TlsAnswer::Accepted),
        b'N' => Ok(TlsAnswer::Refused),
        other => Err(WireError::TlsAnswer(other)),
    }
}

/// The session's startup and authentication.
pub struct Handshake<'a> {
    user: &'a str,
    password: Option<&'a [u8]>,
    privacy: Privacy,
    binding: ChannelBinding,
    state: State,
    frames: u32,
    greeting: Greeting,
}

enum State {
    Asked,
    ScramFirst {
        scram: ScramSha256,
        bound: bool,
    },
    ScramFinal {
        scram: ScramSha256,
        bound: bool,
    },
    /// The password was sent, or the server proved that it knows it.
    Answered {
        bound: bool,
    },
    Authenticated,
}

/// What [`Handshake::handle`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum HandshakeStep {
    /// More frames are to come.
    Continue,
    /// The session is ready for its first command.
    Ready(Greeting),
}

impl<'a> Handshake<'a> {
    /// Writes the startup message; `parameters` are all of them but `user`.
    ///
    /// # Errors
    /// A NUL inside a name or value.
    pub fn start(
        user: &'a str,
        password: Option<&'a [u8]>,
        parameters: &[(&str, &str)],
        privacy: Privacy,
        binding: ChannelBinding,
        out: &mut BytesMut,
    ) -> Result<Self, HandshakeError> {
        let all = std::iter::once(("user", user)).chain(parameters.iter().copied());
        frontend::startup_message(all, out)
            .map_err(|_| WireError::Unsendable("a startup parameter"))?;
        Ok(Handshake {
            user,
            password,
            privacy,
            binding,
            state: State::Asked,
            frames: 0,
            greeting: Greeting::default(),
        })
    }

    /// Takes a frame of the server and writes what there is to answer.
    ///
    /// # Errors
    /// Refusals of the server, and everything named in [`HandshakeError`].
    pub fn handle(
        &mut self,
        frame: Frame<'_>,
        out: &mut BytesMut,
    ) -> Result<HandshakeStep, HandshakeError> {
        self.frames += 1;
        if self.frames > FRAMES_MAX {
            return Err(WireError::EndlessHandshake(self.frames).into());
        }
        let authenticated = matches!(self.state, State::Authenticated);
        let mut body = Body::new(frame);
        match frame.tag {
            b'E' => return Err(HandshakeError::Server(ServerError::parse(frame)?)),
            b'N' => {
                ServerError::parse(frame)?;
            }
            b'R' if !authenticated => self.authenticate(body, out)?,
            b'S' if authenticated => {
                let name = body.text("parameter name")?;
                self.greeting
                    .parameters
                    .push((name, body.text("parameter value")?));
            }
            b'K' if authenticated => {
                self.greeting.process_id = body.int("process id")?;
                self.greeting.secret_key = body.int("secret key")?;
            }
            b'Z' if authenticated => {
                return Ok(HandshakeStep::Ready(std::mem::take(&mut self.greeting)));
            }
            tag => {
                return Err(WireError::Unexpected {
                    tag,
                    phase: "during startup",
                }
                .into());
            }
        }
        Ok(HandshakeStep::Continue)
    }

    fn authenticate(
        &mut self,
        mut body: Body<'_>,
        out: &mut BytesMut,
    ) -> Result<(), HandshakeError> {
        // An error leaves `Asked` behind; the session is over then anyway.
        let state = std::mem::replace(&mut self.state, State::Asked);
        let method = body.int("authentication method")?;
        self.state = match (method, state) {
            (0, State::Asked) => self.accepted(false)?,
            (0, State::Answered { bound }) => self.accepted(bound)?,
            (0, State::ScramFirst { .. } | State::ScramFinal { .. }) => {
                let reason = "the server skipped its proof of knowing the password";
                return Err(HandshakeError::Scram(reason.to_owned()));
            }
            (3, State::Asked) => self.cleartext(out)?,
            (5, State::Asked) => self.md5(body.salt("salt")?, out)?,
            (10, State::Asked) => self.scram_begin(&mut body, out)?,
            (11, State::ScramFirst { mut scram, bound }) => {
                scram.update(body.rest()).map_err(scram_error)?;
                frontend::sasl_response(scram.message(), out).map_err(scram_error)?;
                State::ScramFinal { scram, bound }
            }
            (12, State::ScramFinal { mut scram, bound }) => {
                scram.finish(body.rest()).map_err(scram_error)?;
                State::Answered { bound }
            }
            (other, State::Asked) => return Err(HandshakeError::Method(method_name(other))),
            (other, _) => {
                let field = "authentication method";
                let value = i64::from(other);
                return Err(WireError::Impossible {
                    tag: b'R',
                    field,
                    value,
                }
                .into());
            }
        };
        Ok(())
    }

    fn accepted(&self, bound: bool) -> Result<State, HandshakeError> {
        if self.binding == ChannelBinding::Require && !bound {
            let reason = "the server let us in without it";
            return Err(HandshakeError::ChannelBinding(reason));
        }
        Ok(State::Authenticated)
    }

    fn cleartext(&self, out: &mut BytesMut) -> Result<State, HandshakeError> {
        self.refuse_if_binding_is_required()?;
        if self.privacy == Privacy::Plain {
            return Err(HandshakeError::Cleartext);
        }
        frontend::password_message(self.password("cleartext")?, out)
            .map_err(|_| WireError::Unsendable("the password"))?;
        Ok(State::Answered { bound: false })
    }

    fn md5(&self, salt: [u8; 4], out: &mut BytesMut) -> Result<State, HandshakeError> {
        self.refuse_if_binding_is_required()?;
        let hash = md5_hash(self.user.as_bytes(), self.password("md5")?, salt);
        frontend::password_message(hash.as_bytes(), out)
            .map_err(|_| WireError::Unsendable("the password"))?;
        Ok(State::Answered { bound: false })
    }

    fn scram_begin(
        &self,
        body: &mut Body<'_>,
        out: &mut BytesMut,
    ) -> Result<State, HandshakeError> {
        let (mut plain, mut plus) = (false, false);
        while !body.is_empty() {
            match body.cstr("mechanism")? {
                b"" => break,
                name if name == SCRAM_SHA_256.as_bytes() => plain = true,
                name if name == SCRAM_SHA_256_PLUS.as_bytes() => plus = true,
                _ => {}
            }
        }
        if !plain && !plus {
            return Err(HandshakeError::Method(
                "a SASL mechanism other than SCRAM".to_owned(),
            ));
        }
        let (mechanism, binding) = self.mechanism(plain, plus)?;
        let scram = ScramSha256::new(self.password("scram-sha-256")?, binding);
        frontend::sasl_initial_response(mechanism, scram.message(), out).map_err(scram_error)?;
        Ok(State::ScramFirst {
            scram,
            bound: mechanism == SCRAM_SHA_256_PLUS,
        })
    }

    /// Chooses between SCRAM-SHA-256 and -PLUS, and says to the server what we could have done,
    /// so that a man in the middle cannot take PLUS from the list unseen (RFC 5802, section 6).
    fn mechanism(
        &self,
        plain: bool,
        plus: bool,
    ) -> Result<(&'static str, sasl::ChannelBinding), HandshakeError> {
        let required = self.binding == ChannelBinding::Require;
        let hash = match (&self.privacy, self.binding) {
            (_, ChannelBinding::Disable) => None,
            (Privacy::Tls(hash), _) => hash.as_ref(),
            (Privacy::Plain | Privacy::UnixSocket, _) if required => {
                let reason = "the connection has no TLS: set sslmode=require or better";
                return Err(HandshakeError::ChannelBinding(reason));
            }
            (Privacy::Plain | Privacy::UnixSocket, _) => None,
        };
        match hash {
            Some(hash) if plus => {
                let binding = sasl::ChannelBinding::tls_server_end_point(hash.clone());
                Ok((SCRAM_SHA_256_PLUS, binding))
            }
            Some(_) if required => {
                let reason = "the server does not offer SCRAM-SHA-256-PLUS";
                Err(HandshakeError::ChannelBinding(reason))
            }
            None if required => {
                let reason = "the server's certificate has a signature without a hash to bind to";
                Err(HandshakeError::ChannelBinding(reason))
            }
            _ if !plain => {
                let reason = "SCRAM-SHA-256-PLUS alone, and channel binding is not to be had";
                Err(HandshakeError::Method(reason.to_owned()))
            }
            Some(_) => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
            None => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
        }
    }

    fn refuse_if_binding_is_required(&self) -> Result<(), HandshakeError> {
        if self.binding == ChannelBinding::Require {
            let reason = "the server asks for a password without SCRAM";
            return Err(HandshakeError::ChannelBinding(reason));
        }
        Ok(())
    }

    fn password(&self, method: &'static str) -> Result<&'a [u8], HandshakeError> {
        self.password.ok_or(HandshakeError::PasswordMissing(method))
    }
}

fn scram_error(error: std::io::Error) -> HandshakeError {
    HandshakeError::Scram(error.to_string().replace(char::is_control, " "))
}

fn method_name(code: i32) -> String {
    match code {
        2 => "Kerberos V5".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        other => format!("method {other}"),
    }
}

#[cfg(test)]
mod tests;
