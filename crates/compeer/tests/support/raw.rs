//! A caller made by hand: it speaks frame by frame, and says what it likes.

use std::time::Duration;

use compeer::transport::{ByteStream, Purpose, Transport, Wire};
use compeer::{Addr, PeerId};
use compeer_proto::frame::{self, Frame, Hello};
use compeer_proto::session::GoodbyeReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Raw {
    pub(crate) io: Box<dyn ByteStream>,
    pub(crate) session: [u8; 16],
    unread: Vec<u8>,
}

impl Raw {
    /// After the handshake, before HELLO.
    pub(crate) async fn dial(transport: &impl Transport, to: impl Into<Addr>) -> Raw {
        let Wire { io, session, .. } = wire(transport, to, Purpose::Messages, None).await;
        Raw { io, session, unread: Vec::new() }
    }

    /// After both have said HELLO.
    pub(crate) async fn introduced(transport: &impl Transport, to: impl Into<Addr>) -> Raw {
        let mut raw = Raw::dial(transport, to).await;
        raw.say(&Frame::Hello(Hello::default())).await;
        let first = raw.heard().await.expect("it introduces itself");
        assert_eq!(first[2], 0, "a HELLO, and no {first:?}");
        raw
    }

    pub(crate) async fn say(&mut self, frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        frame::encode(frame, &mut bytes);
        self.bytes(&bytes).await;
    }

    /// Says something; who has hung up need not hear it.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        let said = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        let _ = tokio::time::timeout(PATIENCE, said).await.expect("it reads or hangs up in time");
    }

    /// The next frame as bytes; `None` when the other side has hung up.
    pub(crate) async fn heard(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Ok(Some(len)) = frame::frame_len(&self.unread)
                && self.unread.len() >= len
            {
                let rest = self.unread.split_off(len);
                return Some(std::mem::replace(&mut self.unread, rest));
            }
            let mut some = [0; 16_384];
            let read = tokio::time::timeout(PATIENCE, self.io.read(&mut some)).await.expect("in time");
            match read {
                Ok(n) if n > 0 => self.unread.extend_from_slice(&some[..n]),
                _ => return None,
            }
        }
    }

    /// Reads until the other side has hung up; gives the reason if it said one.
    pub(crate) async fn hung_up(mut self) -> Option<GoodbyeReason> {
        let mut reason = None;
        while let Some(heard) = self.heard().await {
            if let Ok(Some(Frame::Goodbye { reason: code, .. })) = frame::decode(&heard) {
                reason = Some(GoodbyeReason::from_code(code));
            }
        }
        reason
    }
}

pub(crate) async fn wire(
    transport: &impl Transport,
    to: impl Into<Addr>,
    purpose: Purpose,
    expected: Option<PeerId>,
) -> Wire {
    let dialled = transport.dial(to.into(), expected, purpose);
    tokio::time::timeout(PATIENCE, dialled).await.expect("in time").expect("it answers")
}
