//! TLS as libpq's `sslmode` words mean it ("SSL Support"), by rustls with the ring provider.
//!
//! | sslmode | encrypted | chain checked | name checked |
//! |---|---|---|---|
//! | prefer, require | yes | only with a root certificate given | no |
//! | verify-ca | yes | yes | no |
//! | verify-full | yes | yes | yes, also IP addresses |
//!
//! A server certificate that is itself in the root file is trusted as it is, which libpq does too
//! (self-signed servers). Differences: names in the subject's CN do not count, only subject
//! alternative names; revocation lists are not read.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::ObjectIdentifier;

use super::conninfo::{ClientCertificate, RootCertificates, SslMode, SslNegotiation, SslSettings};
use super::error::PostgresError;

const ALPN: &[u8] = b"postgresql";

/// Ready for handshakes with any host of one connection string.
pub(super) struct Tls {
    connector: TlsConnector,
}

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

impl Tls {
    /// Reads the certificate files.
    ///
    /// # Errors
    /// A file that is missing or cannot be used, named with its parameter.
    pub(super) fn new(ssl: &SslSettings) -> Result<Self, PostgresError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = roots(ssl)?;
        let check = match (ssl.mode, &roots) {
            (SslMode::VerifyFull, _) => Check::ChainAndName,
            (SslMode::VerifyCa, _) => Check::Chain,
            // libpq: a root certificate makes require into verify-ca.
            (SslMode::Require, Some(_)) => Check::Chain,
            _ => Check::Nothing,
        };
        let verifier = Verifier {
            check,
            roots: roots.unwrap_or_else(Roots::none),
            provider,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| file_error("sslmode", Path::new(""), error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match client_certificate(ssl.client.as_ref())? {
            None => builder.with_no_client_auth(),
            Some((files, chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| file_error("sslcert", &files.certificate, error))?,
        };
        if ssl.negotiation == SslNegotiation::Direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Makes the stream a TLS one; `host` is its name in the certificate.
    pub(super) async fn handshake(
        &self,
        host: &str,
        stream: BufReader<TcpStream>,
    ) -> Result<TlsStream<BufReader<TcpStream>>, HandshakeFailure> {
        let refused = HandshakeFailure::Refused;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| refused(format!("'{host}' is no name that a certificate can have")))?;
        let connecting = self.connector.connect(name, stream);
        let stream = Box::pin(connecting).await.map_err(HandshakeFailure::of)?;
        // Without the question before TLS, only ALPN tells that this is Postgres (ALPACA).
        let offered = !self.connector.config().alpn_protocols.is_empty();
        if offered && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            let reason = "the server did not agree to speak Postgres (sslnegotiation=direct \
                needs Postgres 17)";
            return Err(refused(reason.to_owned()));
        }
        Ok(stream)
    }

    /// The hash that SCRAM binds to: `tls-server-end-point` (RFC 5929, section 4.1), over the
    /// certificate, by its signature's hash function, SHA-256 in place of MD5 and SHA-1.
    pub(super) fn server_end_point(stream: &TlsStream<BufReader<TcpStream>>) -> Option<Vec<u8>> {
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        let parsed = Certificate::from_der(certificate).ok()?;
        end_point_hash(parsed.signature_algorithm.oid, certificate)
    }
}

fn end_point_hash(algorithm: ObjectIdentifier, certificate: &[u8]) -> Option<Vec<u8>> {
    match algorithm.to_string().as_str() {
        // md5, sha1 and sha256 with RSA; ECDSA with sha1 and sha256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
            Some(Sha384::digest(certificate).to_vec())
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => {
            Some(Sha512::digest(certificate).to_vec())
        }
        // Ed25519 has no hash of its own, RSA-PSS hides it in its parameters.
        _ => None,
    }
}

/// Why no TLS session came about.
#[derive(Debug)]
pub(super) enum HandshakeFailure {
    /// The connection broke in the middle of it: no word about TLS.
    Cut(io::Error),
    /// One side would not go on.
    Refused(String),
}

impl HandshakeFailure {
    /// rustls' own errors come as [`io::ErrorKind::InvalidData`]; any other kind is the socket's.
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Refused(explained(&error)),
            _ => Self::Cut(error),
        }
    }
}

fn explained(error: &io::Error) -> String {
    let text = error.to_string();
    let certificate = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match certificate {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            format!("{text} (names count only as subject alternative names; or sslmode=verify-ca)")
        }
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            format!("{text} (sslrootcert does not have the authority that signed it)")
        }
        _ => text,
    }
}

/// The trusted authorities; `None` when there are none and none are needed.
fn roots(ssl: &SslSettings) -> Result<Option<Roots>, PostgresError> {
    let needed = ssl.mode >= SslMode::VerifyCa;
    let path = match &ssl.root {
        RootCertificates::System => return system_roots().map(Some),
        RootCertificates::File(path) => path,
        RootCertificates::Default(Some(path)) if path.exists() => path,
        RootCertificates::Default(_) if !needed => return Ok(None),
        RootCertificates::Default(path) => {
            let path = path
                .as_deref()
                .unwrap_or(Path::new("~/.postgresql/root.crt"));
            let reason = "sslmode asks for a check and there is no such file; \
                name the authority's file, or sslrootcert=system";
            return Err(file_error("sslrootcert", path, reason));
        }
    };
    let certificates = read_certificates("sslrootcert", path)?;
    let mut roots = Roots::none();
    for certificate in certificates {
        // What cannot be an authority may still be the server's own certificate.
        let _ = roots.authorities.add(certificate.clone());
        roots.certificates.push(certificate);
    }
    Ok(Some(roots))
}

fn system_roots() -> Result<Roots, PostgresError> {
    let mut roots = Roots::none();
    let (added, _) = roots
        .authorities
        .add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        let reason = "the system has no certificates; install ca-certificates";
        return Err(file_error("sslrootcert", Path::new("system"), reason));
    }
    Ok(roots)
}

type ClientAuth<'a> = (
    &'a ClientCertificate,
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
);

fn client_certificate(
    files: Option<&ClientCertificate>,
) -> Result<Option<ClientAuth<'_>>, PostgresError> {
    let Some(files) = files else { return Ok(None) };
    let there = files.certificate.exists() && files.key.exists();
    if !files.named && !there {
        return Ok(None);
    }
    let chain = read_certificates("sslcert", &files.certificate)?;
    refuse_open_key(&files.key)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        file_error(
            "sslkey",
            &files.key,
            format!(
                "{error}; it must be an \
            unencrypted PEM key"
            ),
        )
    })?;
    Ok(Some((files, chain, key)))
}

fn read_certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match all {
        Ok(certificates) if certificates.is_empty() => Err(file_error(
            setting,
            path,
            "there is no PEM certificate inside",
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(file_error(setting, path, error)),
    }
}

/// As libpq: no rights for others, or root's file that our group may read.
fn refuse_open_key(path: &Path) -> Result<(), PostgresError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata =
            std::fs::metadata(path).map_err(|error| file_error("sslkey", path, error))?;
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        if metadata.mode() & forbidden != 0 {
            return Err(file_error("sslkey", path, "others may read it: chmod 600"));
        }
    }
    Ok(())
}

fn file_error(setting: &'static str, path: &Path, reason: impl std::fmt::Display) -> PostgresError {
    let (path, reason) = (path.display().to_string(), reason.to_string());
    PostgresError::CertificateFile {
        setting,
        path,
        reason,
    }
}

#[derive(Debug)]
struct Roots {
    authorities: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn none() -> Self {
        Roots {
            authorities: RootCertStore::empty(),
            certificates: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: Roots,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity);
        if self
            .roots
            .certificates
            .iter()
            .any(|root| root == end_entity)
        {
            check_dates(end_entity, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                certificate.as_ref().map_err(Clone::clone)?,
                &self.roots.authorities,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if self.check == Check::ChainAndName {
            verify_server_name(&certificate?, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A trust anchor that is the server's own certificate is in no chain, so its dates are ours to
/// check.
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = parsed.tbs_certificate.validity;
    let now = now.as_secs();
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}
