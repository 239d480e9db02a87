//! Scripts of servers, honest and not.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::frame::Frame;

fn begin(privacy: Privacy, binding: ChannelBinding) -> Handshake<'static> {
    let parameters = [("database", "shop"), ("replication", "database")];
    let mut out = BytesMut::new();
    let started = Handshake::start(
        "walferry",
        Some(b"pencil"),
        &parameters,
        privacy,
        binding,
        &mut out,
    );
    assert_eq!(
        &out[8..],
        b"user\0walferry\0database\0shop\0replication\0database\0\0".as_slice()
    );
    started.unwrap()
}

fn give(
    handshake: &mut Handshake<'_>,
    tag: u8,
    body: &[u8],
) -> (Result<HandshakeStep, HandshakeError>, Vec<u8>) {
    let mut out = BytesMut::new();
    let step = handshake.handle(Frame { tag, body }, &mut out);
    (step, out.to_vec())
}

const OK: &[u8] = &[0, 0, 0, 0];
const CLEARTEXT: &[u8] = &[0, 0, 0, 3];
const MD5: &[u8] = &[0, 0, 0, 5, 0x2a, 0x3d, 0x8f, 0xe0];
const SCRAM: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
const SCRAM_AND_PLUS: &[u8] = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

fn tls() -> Privacy {
    Privacy::Tls(Some(vec![1; 32]))
}

#[test]
fn trust_then_parameters_then_ready() {
    let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
    for (tag, body) in [
        (b'R', OK),
        (b'S', b"server_version\x0015.18\0".as_slice()),
        (b'N', b"VNOTICE\0C00000\0Mhello\0\0"),
        (b'K', &[0, 0, 1, 0, 0, 0, 0, 7]),
    ] {
        assert_eq!(
            give(&mut handshake, tag, body).0.unwrap(),
            HandshakeStep::Continue
        );
    }
    let (Ok(HandshakeStep::Ready(greeting)), _) = give(&mut handshake, b'Z', b"I") else {
        panic!()
    };
    assert_eq!(greeting.parameter("server_version"), Some("15.18"));
    assert_eq!(greeting.parameter("in_hot_standby"), None);
    assert_eq!((greeting.process_id, greeting.secret_key), (256, 7));
}

#[test]
fn cleartext_only_where_nobody_listens() {
    for (privacy, allowed) in [
        (Privacy::Plain, false),
        (Privacy::UnixSocket, true),
        (tls(), true),
    ] {
        let mut handshake = begin(privacy.clone(), ChannelBinding::Prefer);
        let (step, sent) = give(&mut handshake, b'R', CLEARTEXT);
        if allowed {
            assert_eq!(sent, b"p\0\0\0\x0bpencil\0", "{privacy:?}");
        } else {
            assert!(matches!(step, Err(HandshakeError::Cleartext)), "{step:?}");
            assert!(sent.is_empty());
        }
    }
}

#[test]
fn md5_is_the_manuals_double_hash() {
    let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
    let (_, sent) = give(&mut handshake, b'R', MD5);
    let hash = md5_hash(b"walferry", b"pencil", [0x2a, 0x3d, 0x8f, 0xe0]);
    assert_eq!(&sent[5..], [hash.as_bytes(), b"\0"].concat());
}

#[test]
fn the_gs2_header_says_what_could_have_been() {
    for (privacy, binding, offer, mechanism, header) in [
        (
            Privacy::Plain,
            ChannelBinding::Prefer,
            SCRAM,
            SCRAM_SHA_256,
            "n,,",
        ),
        (
            Privacy::UnixSocket,
            ChannelBinding::Prefer,
            SCRAM,
            SCRAM_SHA_256,
            "n,,",
        ),
        (
            tls(),
            ChannelBinding::Disable,
            SCRAM_AND_PLUS,
            SCRAM_SHA_256,
            "n,,",
        ),
        (tls(), ChannelBinding::Prefer, SCRAM, SCRAM_SHA_256, "y,,"),
        (
            Privacy::Tls(None),
            ChannelBinding::Prefer,
            SCRAM_AND_PLUS,
            SCRAM_SHA_256,
            "n,,",
        ),
        (
            tls(),
            ChannelBinding::Prefer,
            SCRAM_AND_PLUS,
            SCRAM_SHA_256_PLUS,
            "p=tls-server-end-point,,",
        ),
        (
            tls(),
            ChannelBinding::Require,
            SCRAM_AND_PLUS,
            SCRAM_SHA_256_PLUS,
            "p=tls-server-end-point,,",
        ),
    ] {
        let mut handshake = begin(privacy.clone(), binding);
        let (step, sent) = give(&mut handshake, b'R', offer);
        assert_eq!(step.unwrap(), HandshakeStep::Continue);
        let text = String::from_utf8_lossy(&sent[5..]).into_owned();
        assert!(
            text.starts_with(&format!("{mechanism}\0")),
            "{privacy:?} {binding:?} {text:?}"
        );
        assert!(
            text.contains(&format!("{header}n=,r=")),
            "{privacy:?} {binding:?} {text:?}"
        );
    }
}

#[test]
fn required_channel_binding_takes_nothing_less() {
    for (privacy, answer) in [
        (Privacy::Plain, SCRAM),
        (Privacy::UnixSocket, SCRAM),
        (tls(), SCRAM),
        (Privacy::Tls(None), SCRAM_AND_PLUS),
        (tls(), OK),
        (tls(), CLEARTEXT),
        (tls(), MD5),
    ] {
        let mut handshake = begin(privacy.clone(), ChannelBinding::Require);
        let (step, sent) = give(&mut handshake, b'R', answer);
        assert!(
            matches!(step, Err(HandshakeError::ChannelBinding(_))),
            "{privacy:?} {step:?}"
        );
        assert!(sent.is_empty(), "nothing may leave");
    }
}

#[test]
fn a_server_that_skips_its_proof_is_refused() {
    let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
    assert!(give(&mut handshake, b'R', SCRAM).0.is_ok());
    let (step, _) = give(&mut handshake, b'R', OK);
    assert!(matches!(step, Err(HandshakeError::Scram(_))), "{step:?}");
}

#[test]
fn scram_iterations_are_bounded_and_the_nonce_is_checked() {
    for (iterations, nonce, wanted) in [
        ("4096", "mine", None),
        ("1000000000", "mine", Some("iteration")),
        ("4096", "", Some("nonce")),
    ] {
        let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
        let (_, sent) = give(&mut handshake, b'R', SCRAM);
        let text = String::from_utf8(sent[5 + SCRAM_SHA_256.len() + 5..].to_vec()).unwrap();
        let client = if nonce.is_empty() {
            "x"
        } else {
            text.split("r=").nth(1).unwrap()
        };
        let first = format!("r={client}server,s=QSXCR+Q6sek8bf92,i={iterations}");
        let body = [&[0, 0, 0, 11], first.as_bytes()].concat();
        match (give(&mut handshake, b'R', &body).0, wanted) {
            (Ok(HandshakeStep::Continue), None) => {}
            (Err(HandshakeError::Scram(why)), Some(part)) => assert!(why.contains(part), "{why}"),
            (step, _) => panic!("{step:?}"),
        }
        if wanted.is_none() {
            let forged = b"\0\0\0\x0cv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
            let (step, _) = give(&mut handshake, b'R', forged);
            assert!(matches!(step, Err(HandshakeError::Scram(_))), "{step:?}");
        }
    }
}

#[test]
fn refusals() {
    for (body, method) in [
        ([0, 0, 0, 7].as_slice(), "GSSAPI"),
        (b"\0\0\0\x0aOAUTHBEARER\0\0", "SASL mechanism"),
        (b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0", "PLUS alone"),
        (&[0, 0, 0, 11], "method 11"),
    ] {
        let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
        let error = give(&mut handshake, b'R', body).0.unwrap_err();
        let HandshakeError::Method(name) = &error else {
            panic!("{error:?}")
        };
        assert!(name.contains(method), "{name}");
    }
    let mut out = BytesMut::new();
    let mut silent = Handshake::start(
        "u",
        None,
        &[],
        Privacy::Plain,
        ChannelBinding::Prefer,
        &mut out,
    )
    .unwrap();
    assert!(matches!(
        give(&mut silent, b'R', SCRAM).0,
        Err(HandshakeError::PasswordMissing("scram-sha-256"))
    ));
    let nul = Handshake::start(
        "a\0b",
        None,
        &[],
        Privacy::Plain,
        ChannelBinding::Prefer,
        &mut out,
    );
    assert!(matches!(
        nul,
        Err(HandshakeError::Wire(WireError::Unsendable(_)))
    ));
}

#[test]
fn a_server_is_not_believed_before_it_has_authenticated_us() {
    for (tag, body) in [
        (b'Z', b"I".as_slice()),
        (b'S', b"a\0b\0"),
        (b'K', &[0; 8]),
        (b'd', b"x"),
    ] {
        let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
        let step = give(&mut handshake, tag, body).0;
        assert!(
            matches!(
                step,
                Err(HandshakeError::Wire(WireError::Unexpected { .. }))
            ),
            "{step:?}"
        );
    }
}

#[test]
fn endless_notices_end() {
    let mut handshake = begin(Privacy::Plain, ChannelBinding::Prefer);
    let notice = b"VNOTICE\0C00000\0Mhello\0\0";
    let error = (0..5000).find_map(|_| give(&mut handshake, b'N', notice).0.err());
    assert!(matches!(
        error,
        Some(HandshakeError::Wire(WireError::EndlessHandshake(_)))
    ));
}

#[test]
fn the_tls_answer_is_one_of_two_bytes() {
    for byte in 0..=u8::MAX {
        match (byte, tls_answer(byte)) {
            (b'S', Ok(TlsAnswer::Accepted)) | (b'N', Ok(TlsAnswer::Refused)) => {}
            (_, Err(WireError::TlsAnswer(other))) => assert_eq!(other, byte),
            (_, other) => panic!("{byte} {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn noise_never_panics(
        frames in proptest::collection::vec(
            (prop_oneof![Just(b'R'), Just(b'S'), Just(b'K'), Just(b'E'), any::<u8>()],
             0u8..14, proptest::collection::vec(any::<u8>(), 0..40)), 0..8)
    ) {
        let mut handshake = begin(tls(), ChannelBinding::Prefer);
        for (tag, method, rest) in &frames {
            let body = [&[0, 0, 0, *method], rest.as_slice()].concat();
            let _ = give(&mut handshake, *tag, &body);
        }
    }
}
