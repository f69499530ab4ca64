//! Who may call: classic listening sockets, and bounds on their callers.
//!
//! All connections together have [`CLASSIC_CONNECTIONS`](limits::CLASSIC_CONNECTIONS) places. When they are taken, the
//! oldest caller of the prefix with the most goes, idle or not, and within a prefix the others wait for their turn
//! (loopback apart): a crowd of the silent only holds up itself. The first frame has to be whole within
//! [`CLASSIC_FRAME_TIMEOUT`](limits::CLASSIC_FRAME_TIMEOUT).

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use compeer_proto::classic::{Reader, dispatched};
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};

use super::request::Request;
use super::wire::Wire;
use crate::link::driver::panic_text;
use crate::peer::Inner;
use crate::peer::accept::{self, Budget, Pauses};
use crate::{Event, Peer, limits, lock};

/// Serves callers until the peer shuts down.
pub(crate) fn serve(inner: &Arc<Inner>, listeners: Vec<TcpListener>) {
    for listener in listeners {
        let Ok(local) = listener.local_addr() else { continue };
        lock(&inner.classic.addrs).push(local);
        let of_task = inner.clone();
        accept::accepting(inner, async move {
            let mut pauses = Pauses::default();
            loop {
                match listener.accept().await {
                    Ok((tcp, from)) => {
                        let served = caller(of_task.clone(), tcp, from);
                        accept::place(
                            &of_task,
                            of_task.classic.callers(),
                            Budget::Strangers,
                            from.ip(),
                            served,
                        );
                    }
                    Err(error) => pauses.pause(&of_task, &error).await,
                }
            }
        });
    }
}

/// One connection, from its first byte to its end.
async fn caller(inner: Arc<Inner>, tcp: TcpStream, from: SocketAddr) {
    let Ok(wire) = Wire::new(tcp) else { return };
    let wire = Arc::new(wire);
    let mut reader = Reader::new(limits::CLASSIC_MAX_BODY);
    let first = wire.read(&mut reader, Some(&inner.classic.room));
    let (message, held) = match tokio::time::timeout(limits::CLASSIC_FRAME_TIMEOUT, first).await {
        Ok(Ok(Some(first))) => first,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "no classic request"),
        Err(_) => return tracing::debug!(%from, "a classic request was too slow"),
    };
    let kind = dispatched(message.kind);
    let Some(handler) = inner.classic.handler(&kind) else { return };
    let peer = Peer(inner.clone());
    let request = Request::new(wire.clone(), reader, peer, from, kind, message.body, held);
    // Begun within what catches a panic.
    let served = AssertUnwindSafe(async move { handler.call(request).await }).catch_unwind();
    match tokio::time::timeout(limits::CLASSIC_TIME, served).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(failure))) => tracing::debug!(%from, %kind, %failure, "a classic handler failed"),
        Ok(Err(panic)) => inner.tell(Event::HandlerPanicked { kind, text: panic_text(&*panic) }),
        Err(_) => tracing::debug!(%from, %kind, "a classic request took too long"),
    }
    // A program that kept the request keeps no connection.
    if Arc::strong_count(&wire) > 1 {
        wire.end();
    }
}
