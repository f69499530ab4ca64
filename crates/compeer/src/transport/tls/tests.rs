use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Answers calls: proves the key, sends one byte (behind the ticket), hangs up.
async fn serve(identity: &Identity, at: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let transport = TlsTransport::new(identity).unwrap();
    let mut listener = transport.listen(at).unwrap();
    let local = listener.local_addr();
    let task = tokio::spawn(async move {
        while let Ok(incoming) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = incoming.handshake.await?;
                let _ = wire.io.write_all(b"!").await;
                let _ = wire.io.shutdown().await;
                let _ = wire.io.read(&mut [0]).await;
                Ok::<_, ConnectError>(())
            });
        }
    });
    (local, task)
}

async fn dial(from: &TlsTransport, to: SocketAddr, expected: Option<PeerId>) -> Result<Wire, ConnectError> {
    let mut wire = from.dial(Addr::from(to), expected, Purpose::Messages).await?;
    let _ = wire.io.read_exact(&mut [0]).await;
    Ok(wire)
}

#[tokio::test]
async fn a_known_peer_is_resumed_and_still_named() {
    let alice = Identity::generate();
    let (at, _task) = serve(&alice, "127.0.0.1:0".parse().unwrap()).await;
    let bob = TlsTransport::new(&Identity::generate()).unwrap();
    let first = dial(&bob, at, Some(alice.peer_id())).await.unwrap();
    let second = dial(&bob, at, Some(alice.peer_id())).await.unwrap();
    assert!(!first.resumed && second.resumed);
    assert_eq!(second.peer, alice.peer_id());
    assert_ne!(first.binding, second.binding);
}

#[tokio::test]
async fn whoever_is_not_expected_by_key_is_not_resumed() {
    let alice = Identity::generate();
    let (at, _task) = serve(&alice, "127.0.0.1:0".parse().unwrap()).await;
    let bob = TlsTransport::new(&Identity::generate()).unwrap();
    for _ in 0..3 {
        let wire = dial(&bob, at, None).await.unwrap();
        assert!(!wire.resumed);
        assert_eq!(wire.peer, alice.peer_id());
    }
}

#[tokio::test]
async fn a_ticket_for_one_key_does_not_open_another() {
    let (alice, mallory) = (Identity::generate(), Identity::generate());
    let (at, task) = serve(&alice, "127.0.0.1:0".parse().unwrap()).await;
    let bob = TlsTransport::new(&Identity::generate()).unwrap();
    dial(&bob, at, Some(alice.peer_id())).await.unwrap();
    assert!(dial(&bob, at, Some(alice.peer_id())).await.unwrap().resumed, "there is a ticket to be misused");
    task.abort();
    let _ = task.await;
    let (at, _task) = serve(&mallory, at).await;
    let error = dial(&bob, at, Some(alice.peer_id())).await.map(drop).unwrap_err();
    let (expected, proven) = (alice.peer_id(), mallory.peer_id());
    assert_eq!(error, ConnectError::WrongKey { addr: at.into(), expected, proven });
    // And the other way round: the one expected now is not taken for the other.
    assert_eq!(dial(&bob, at, Some(proven)).await.unwrap().peer, proven);
}

#[tokio::test]
async fn the_two_ends_agree_on_binding_and_session() {
    let (alice, bob) = (Identity::generate(), Identity::generate());
    let (a, b) = (TlsTransport::new(&alice).unwrap(), TlsTransport::new(&bob).unwrap());
    let (near, far) = tokio::io::duplex(4096);
    let (near, far) = tokio::join!(
        a.call(Box::new(near), Some(bob.peer_id()), Purpose::Stream),
        b.answer(Box::new(far), None)
    );
    let (near, far) = (near.unwrap(), far.unwrap());
    assert_eq!((near.peer, far.peer), (bob.peer_id(), alice.peer_id()));
    assert_eq!((near.binding, near.session, near.purpose), (far.binding, far.session, far.purpose));
}

/// What is said of one who answers a call so.
async fn said_of<F: Future<Output = ()> + Send>(
    answer: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { answer(listener.accept().await.unwrap().0).await });
    let bob = TlsTransport::new(&Identity::generate()).unwrap();
    let error = dial(&bob, at, None).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("no Compeer peer answers there: it "), "{error}");
    error
}

#[tokio::test]
async fn what_is_no_peer_is_told_in_words_that_help() {
    let http = said_of(async |mut tcp: TcpStream| {
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = tcp.read(&mut [0]).await;
    });
    assert!(http.await.contains("another protocol"));
    assert!(said_of(async |tcp| drop(tcp)).await.contains("hung up"));
    let other = said_of(async |tcp: TcpStream| {
        let mut config = (**TlsTransport::new(&Identity::generate()).unwrap().acceptor.config()).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let _ = TlsAcceptor::from(Arc::new(config)).accept(tcp).await;
    });
    assert!(other.await.contains("not as Compeer does"));
}

#[test]
fn no_alert_and_no_address_of_documentation_is_shown() {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    let of = |error: Error| words::handshake(&io::Error::new(io::ErrorKind::InvalidData, error));
    for (error, said) in [
        (Error::InvalidCertificate(CertificateError::BadEncoding), "no key that a peer has"),
        (Error::AlertReceived(Alert::BadCertificate), "takes ours for none"),
        (Error::AlertReceived(Alert::ProtocolVersion), "up to date"),
        (Error::DecryptError, "changed on the way"),
        (Error::AlertReceived(Alert::AccessDenied), "it refuses"),
    ] {
        assert!(of(error).contains(said), "{said}");
    }
    let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "see https://docs.rs/");
    assert_eq!(broken(&cut), "the connection was cut off");
}
