//! The baselines: raw TCP, and plain tokio-rustls with what Compeer uses too:
//! TLS 1.3, AES-128-GCM, X25519MLKEM768, an Ed25519 raw public key on each
//! side, one ticket a connection.
//!
//! The serving end takes one byte that says what it is to be: an echo, of
//! messages one by one or of all that has come, or a sink that says at the end how
//! much it was.

use std::io;
use std::sync::Arc;

use compeer::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Result;

/// Bytes of one echoed message.
pub(crate) const ECHOED: usize = 64;

/// Bytes of one write of a stream.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Asks the serving end to be an echo.
pub(crate) const ECHO: u8 = b'e';
/// The same, of many messages at a time.
pub(crate) const ECHO_MANY: u8 = b'm';
/// Asks the serving end to be a sink.
pub(crate) const SINK: u8 = b's';

pub(crate) type PlainTls = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) async fn connect_tcp(addr: std::net::SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

pub(crate) async fn connect_tls(connector: &TlsConnector, addr: std::net::SocketAddr) -> Result<PlainTls> {
    let name = ServerName::try_from("baseline.invalid")?;
    Ok(connector.connect(name, connect_tcp(addr).await?).await?)
}

/// Serves whoever comes, each in a task.
pub(crate) fn listen(listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                tcp.set_nodelay(true)?;
                match acceptor {
                    Some(acceptor) => serve(acceptor.accept(tcp).await?).await,
                    None => serve(tcp).await,
                }
            });
        }
    });
}

async fn serve(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    match io.read_u8().await? {
        SINK => sink(io).await,
        ECHO_MANY => echo(io, CHUNK).await,
        _ => echo(io, ECHOED).await,
    }
}

/// Sends back what has come, up to `most` bytes at a time.
async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin, most: usize) -> io::Result<()> {
    let mut space = vec![0; most];
    loop {
        let n = io.read(&mut space).await?;
        if n == 0 {
            return Ok(());
        }
        io.write_all(&space[..n]).await?;
        io.flush().await?;
    }
}

/// Reads to the end and says how much it was.
pub(crate) async fn sink(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut space = vec![0; CHUNK];
    let mut total = 0u64;
    loop {
        match io.read(&mut space).await? {
            0 => break,
            n => total += n as u64,
        }
    }
    io.write_u64(total).await?;
    io.shutdown().await
}

/// The configuration of the calling end, with tickets of its own.
pub(crate) fn connector() -> Result<TlsConnector> {
    let (provider, key) = ours()?;
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyKey(provider)))
        .with_client_cert_resolver(key);
    config.enable_sni = false;
    config.resumption = Resumption::in_memory_sessions(256);
    Ok(Arc::new(config).into())
}

/// The configuration of the called end.
pub(crate) fn acceptor() -> Result<TlsAcceptor> {
    let (provider, key) = ours()?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey(provider)))
        .with_cert_resolver(key);
    config.session_storage = ServerSessionMemoryCache::new(256);
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config).into())
}

/// The cipher and the key exchange that Compeer has where the CPU has AES.
pub(crate) fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider
}

fn ours() -> Result<(Arc<CryptoProvider>, Arc<OurKey>)> {
    let provider = provider();
    let identity = Identity::generate();
    let id = identity.peer_id();
    // RFC 8410: §7 the private key, §4 the public one.
    let pkcs8 =
        [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20], &identity.seed()[..]];
    let spki = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0], &id.as_bytes()[..]];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.concat()));
    let key = provider.key_provider.load_private_key(key)?;
    let key = CertifiedKey::new(vec![CertificateDer::from(spki.concat())], key);
    Ok((Arc::new(provider), Arc::new(OurKey(Arc::new(key)))))
}

/// Takes any key whose owner signs with it.
#[derive(Debug)]
struct AnyKey(Arc<CryptoProvider>);

impl AnyKey {
    fn signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.0.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Shows our key, whoever asks.
#[derive(Debug)]
struct OurKey(Arc<CertifiedKey>);

impl ResolvesClientCert for OurKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OurKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}
