//! TLS 1.3 over TCP, each side proving its PeerId.
//!
//! Raw public keys both ways (RFC 7250), one Ed25519 key per peer, no
//! certificates, no server names on the wire. ALPN `compeer/1` opens a message
//! connection, `compeer-stream/1` a bulk stream. Key exchange prefers hybrid
//! X25519MLKEM768; the cipher is AES-128-GCM where the CPU has AES, else
//! ChaCha20-Poly1305.
//!
//! Resumption needs care (DESIGN §4.3): on a resumed handshake the verifiers do
//! not run and the peer's key comes from the ticket. So there is one
//! `ClientConfig` and one verifier per peer, tickets are found by a name made
//! of the expected id, a dial without an expected id does not resume, there is
//! no early data, and after *every* handshake the proven key is compared with
//! the expected one, here, and with the block list, above.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use compeer_proto::{Addr, PeerId};
use futures_util::future::BoxFuture;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, CommonState, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

pub(crate) use words::{broken, is_altered};

use super::{ByteStream, Incoming, Listener, Purpose, Side, Transport, Wire, check_key, unreachable};
use crate::{ConnectError, Identity};

#[cfg(test)]
mod tests;
mod verify;
mod words;

const ALPN_MESSAGES: &[u8] = b"compeer/1";
const ALPN_STREAM: &[u8] = b"compeer-stream/1";
const LABEL_BINDING: &[u8] = b"EXPORTER-compeer-channel-binding";
const LABEL_SESSION: &[u8] = b"EXPORTER-compeer-session-id";

/// Tickets kept for peers that we called or that called us. A guess: more than
/// anybody's acquaintances; each costs about a kilobyte.
const RESUMABLE: usize = 256;

/// Calls that the system queues while we are busy.
const BACKLOG: i32 = 1024;

/// TLS over TCP for one identity. Clones share their configuration and tickets.
#[derive(Clone)]
pub struct TlsTransport {
    connector: TlsConnector,
    fresh_connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl TlsTransport {
    /// For an identity.
    ///
    /// # Errors
    /// The TLS library refuses the key.
    pub fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        let provider = Arc::new(verify::provider());
        let der = identity.pkcs8();
        let key = provider
            .key_provider
            .load_private_key(PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der.to_vec())))?;
        let spki = verify::spki(&identity.peer_id());
        let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![CertificateDer::from(spki)], key));
        let verifier = Arc::new(verify::ProvenKey::new(&provider));

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(Arc::new(verify::OurKey(certified.clone())));
        client.enable_sni = false;
        client.enable_early_data = false;
        client.resumption = Resumption::in_memory_sessions(RESUMABLE);
        let mut fresh = client.clone();
        fresh.resumption = Resumption::disabled();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(verify::OurKey(certified)));
        server.alpn_protocols = vec![ALPN_MESSAGES.to_vec(), ALPN_STREAM.to_vec()];
        server.session_storage = rustls::server::ServerSessionMemoryCache::new(RESUMABLE);
        server.send_tls13_tickets = 1;
        server.max_early_data_size = 0;
        Ok(TlsTransport {
            connector: TlsConnector::from(Arc::new(client)),
            fresh_connector: TlsConnector::from(Arc::new(fresh)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
        })
    }

    /// The handshake of who calls, over any byte stream.
    pub(crate) fn call(
        &self,
        io: Box<dyn ByteStream>,
        expected: Option<PeerId>,
        purpose: Purpose,
    ) -> BoxFuture<'static, io::Result<Wire>> {
        let (connector, name) = match expected {
            Some(id) => (&self.connector, format!("{id}.compeer.invalid")),
            None => (&self.fresh_connector, "unknown.compeer.invalid".to_owned()),
        };
        let alpn = match purpose {
            Purpose::Messages => ALPN_MESSAGES,
            Purpose::Stream => ALPN_STREAM,
        };
        let connector = connector.clone();
        Box::pin(async move {
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            let stream = connector.with_alpn(vec![alpn.to_vec()]).connect(name, io).await?;
            wire(TlsStream::Client(stream), None)
        })
    }

    /// The handshake of who is called, over any byte stream.
    pub(crate) fn answer(
        &self,
        io: Box<dyn ByteStream>,
        addr: Option<Addr>,
    ) -> BoxFuture<'static, io::Result<Wire>> {
        let acceptor = self.acceptor.clone();
        Box::pin(async move { wire(TlsStream::Server(acceptor.accept(io).await?), addr) })
    }
}

impl Transport for TlsTransport {
    fn dial(
        &self,
        addr: Addr,
        expected: Option<PeerId>,
        purpose: Purpose,
    ) -> BoxFuture<'static, Result<Wire, ConnectError>> {
        let tls = self.clone();
        Box::pin(async move {
            let connect = async {
                let tcp = match &addr {
                    Addr::Ip(ip) => TcpStream::connect(ip).await,
                    Addr::Dns { host, port, .. } => TcpStream::connect((host.as_str(), *port)).await,
                    _ => Err(io::Error::other("an address of a kind this version does not know")),
                };
                let tcp = tcp.map_err(|e| unreachable(&addr, e))?;
                tcp.set_nodelay(true).map_err(|e| unreachable(&addr, e))?;
                let mut wire = tls.call(Box::new(tcp), expected, purpose).await.map_err(|e| {
                    unreachable(&addr, format!("no Compeer peer answers there: {}", words::handshake(&e)))
                })?;
                wire.addr = Some(addr.clone());
                check_key(&addr, expected, wire.peer)?;
                Ok(wire)
            };
            match tokio::time::timeout(crate::limits::HANDSHAKE_TIMEOUT, connect).await {
                Ok(result) => result,
                Err(_) => Err(unreachable(&addr, "no answer in time")),
            }
        })
    }

    fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let listener = bind(addr)?;
        let local = listener.local_addr()?;
        Ok(Box::new(TlsListener { listener, local, acceptor: self.acceptor.clone() }))
    }

    fn secure(&self, io: Box<dyn ByteStream>, side: Side) -> BoxFuture<'static, io::Result<Wire>> {
        match side {
            Side::Calls { expected, purpose } => {
                let called = self.call(io, Some(expected), purpose);
                Box::pin(async move {
                    let wire = called.await?;
                    // After every handshake, resumed ones included.
                    if wire.peer == expected {
                        Ok(wire)
                    } else {
                        Err(io::Error::other("another key answered"))
                    }
                })
            }
            Side::Called => self.answer(io, None),
        }
    }
}

/// A listening socket, with a queue that is long enough for a crowd.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Unix only: elsewhere it would let two programs share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

struct TlsListener {
    listener: TcpListener,
    local: SocketAddr,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let (tcp, from) = loop {
                match self.listener.accept().await {
                    // It has left already, or its network has: the next one.
                    Err(error) if is_of_caller(&error) => {}
                    accepted => break accepted?,
                }
            };
            let acceptor = self.acceptor.clone();
            let handshake = async move {
                let addr = Addr::Ip(from);
                let greeted = async {
                    tcp.set_nodelay(true)?;
                    first_bytes(&tcp).await
                };
                greeted.await.map_err(|e| unreachable(&addr, e))?;
                // In a box, so that who says nothing does not take the memory for it.
                let answered = Box::pin(async {
                    let io: Box<dyn ByteStream> = Box::new(tcp);
                    wire(TlsStream::Server(acceptor.accept(io).await?), Some(addr.clone()))
                });
                answered.await.map_err(|e| unreachable(&addr, e))
            };
            Ok(Incoming { from, handshake: Box::pin(handshake) })
        })
    }
}

/// Whether a failed accept says something about who called, and nothing about us
/// (accept(2), "Error handling").
fn is_of_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

/// Waits for the caller to say anything at all. The byte is looked at: that there is
/// one to read is said of a fresh socket too.
async fn first_bytes(tcp: &TcpStream) -> io::Result<()> {
    let patience = crate::limits::FIRST_BYTES_TIMEOUT;
    match tokio::time::timeout(patience, tcp.peek(&mut [0])).await {
        Ok(Ok(0)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the caller hung up")),
        Ok(looked) => looked.map(drop),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the caller said nothing")),
    }
}

fn wire(stream: TlsStream<Box<dyn ByteStream>>, addr: Option<Addr>) -> io::Result<Wire> {
    let (_, state) = stream.get_ref();
    let peer = proven(state)?;
    let resumed = state.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    let purpose = match state.alpn_protocol() {
        Some(ALPN_MESSAGES) => Purpose::Messages,
        Some(ALPN_STREAM) => Purpose::Stream,
        _ => return Err(io::Error::other("the other side speaks no version of this protocol")),
    };
    let (binding, session) = match &stream {
        TlsStream::Client(s) => {
            exports(|out, label| s.get_ref().1.export_keying_material(out, label, None).map(drop))
        }
        TlsStream::Server(s) => {
            exports(|out, label| s.get_ref().1.export_keying_material(out, label, None).map(drop))
        }
    }
    .map_err(io::Error::other)?;
    Ok(Wire { io: Box::new(stream), peer, addr, over: Vec::new(), binding, session, resumed, purpose })
}

/// The two exports (RFC 8446 §7.5) of whichever side of TLS it is.
fn exports(
    export: impl Fn(&mut [u8], &[u8]) -> Result<(), rustls::Error>,
) -> Result<([u8; 32], [u8; 16]), rustls::Error> {
    let (mut binding, mut session) = ([0; 32], [0; 16]);
    export(&mut binding, LABEL_BINDING)?;
    export(&mut session, LABEL_SESSION)?;
    Ok((binding, session))
}

/// The key the other side proved, in this handshake or in the one resumed.
fn proven(state: &CommonState) -> io::Result<PeerId> {
    let certs = state.peer_certificates().unwrap_or_default();
    let [spki] = certs else { return Err(io::Error::other("the other side proved no key")) };
    verify::peer_id(spki).ok_or_else(|| io::Error::other("the other side's key is no PeerId"))
}
