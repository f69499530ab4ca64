//! What TLS says went wrong, in words for a person.
//!
//! The library's own words name alerts and message types, which tell nobody what to do. The usual troubles are few:
//! another program is at that port, it is cut off, something on the way changes what is sent. What is not usual keeps
//! the library's words.

use std::io;

use rustls::{AlertDescription as Alert, Error};

/// Why a handshake that we began did not succeed; goes on after "no Compeer peer answers there: ".
pub(super) fn handshake(error: &io::Error) -> String {
    let said = match tls(error) {
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
            "it speaks another protocol; is the port right?"
        }
        Some(
            Error::PeerIncompatible(_)
            | Error::NoApplicationProtocol
            | Error::AlertReceived(
                Alert::NoApplicationProtocol | Alert::ProtocolVersion | Alert::HandshakeFailure,
            ),
        ) => {
            "it speaks TLS, but not as Compeer does; is the port right, and Compeer up to date on both machines?"
        }
        Some(
            Error::InvalidCertificate(_)
            | Error::NoCertificatesPresented
            | Error::AlertReceived(
                Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown,
            ),
        ) => "it proves no key that a peer has, or takes ours for none; is the port right?",
        Some(_) => return broken(error),
        None if is_cut_off(error) => {
            "it hung up before it had proven a key; is the port right, and has it room for one more?"
        }
        None => return broken(error),
    };
    said.into()
}

/// Why a connection broke.
pub(crate) fn broken(error: &io::Error) -> String {
    match tls(error) {
        Some(Error::DecryptError | Error::AlertReceived(Alert::BadRecordMac | Alert::DecryptError)) => {
            "what was sent was changed on the way; does a firewall or proxy between the two look into it?"
                .into()
        }
        Some(Error::AlertReceived(alert)) => format!("it refuses ({alert:?})"),
        // Its words end with an address of its documentation.
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the connection was cut off".into(),
        _ => error.to_string(),
    }
}

/// Whether what was sent was changed on the way: by whom is not said, and a handshake fails at
/// whatever the change looks like.
pub(crate) fn is_altered(error: &io::Error) -> bool {
    matches!(
        tls(error),
        Some(
            Error::DecryptError
                | Error::InvalidMessage(_)
                | Error::InappropriateMessage { .. }
                | Error::InappropriateHandshakeMessage { .. }
                | Error::PeerMisbehaved(_)
                | Error::InvalidCertificate(_)
                | Error::AlertReceived(
                    Alert::BadRecordMac
                        | Alert::DecryptError
                        | Alert::DecodeError
                        | Alert::RecordOverflow
                        | Alert::IllegalParameter
                        | Alert::UnexpectedMessage
                        | Alert::ProtocolVersion
                )
        )
    )
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn is_cut_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}
