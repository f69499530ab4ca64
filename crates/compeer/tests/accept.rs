//! Accepting when the system gives no more descriptors: it pauses, says so now and
//! then, makes a little room, and goes on.

#![allow(clippy::disallowed_methods, reason = "the virtual time of a paused runtime")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compeer::transport::{Incoming, Listener, Purpose, Transport, Wire};
use compeer::{Addr, BoxFuture, ConnectError, Event, Peer, PeerId, limits};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A door at which it is told what comes: callers who never say a word, and errors.
#[derive(Clone)]
struct Door(Arc<Mutex<Option<mpsc::UnboundedReceiver<io::Result<Caller>>>>>);

/// Tells when it is hung up on.
type Caller = mpsc::UnboundedSender<()>;

fn at() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1))
}

impl Transport for Door {
    fn dial(&self, _: Addr, _: Option<PeerId>, _: Purpose) -> BoxFuture<'static, Result<Wire, ConnectError>> {
        Box::pin(async { Err(ConnectError::TimedOut) })
    }

    fn listen(&self, _: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let comes = self.0.lock().unwrap().take().ok_or(io::ErrorKind::AddrInUse)?;
        Ok(Box::new(DoorListener(comes)))
    }
}

struct DoorListener(mpsc::UnboundedReceiver<io::Result<Caller>>);

impl Listener for DoorListener {
    fn local_addr(&self) -> SocketAddr {
        at()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async {
            let caller = self.0.recv().await.expect("the test runs")?;
            let handshake = async move {
                let _hung_up_on = caller;
                std::future::pending().await
            };
            Ok(Incoming { from: at(), handshake: Box::pin(handshake) })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn without_descriptors_it_pauses_and_says_so_and_makes_room() {
    let (comes, listener) = mpsc::unbounded_channel();
    let door = Door(Arc::new(Mutex::new(Some(listener))));
    let peer = Peer::builder().transport(door).listen(at()).spawn().await.unwrap();
    let mut events = peer.events();
    let mut callers = Vec::new();
    let mut call = || {
        let (caller, hung_up) = mpsc::unbounded_channel();
        comes.send(Ok(caller)).unwrap();
        callers.push(hung_up);
    };
    let first = limits::FREED_AT_PAUSE * 2 + 1;
    for _ in 0..first {
        call();
    }
    // EMFILE: three pauses in a row, and a caller behind them.
    let started = Instant::now();
    for _ in 0..3 {
        comes.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }
    call();
    let told = events.recv().await;
    assert!(matches!(told, Some(Event::AcceptPaused { .. })), "{told:?}");
    // The first sixteen are hung up on, eight at a time, then the last one there was.
    for (n, hung_up) in callers.iter_mut().enumerate().take(first) {
        assert_eq!(hung_up.recv().await, None);
        let pauses = u32::try_from(n / limits::FREED_AT_PAUSE).unwrap();
        assert_eq!(started.elapsed(), limits::ACCEPT_PAUSE * pauses);
    }
    // Who came afterwards is let in, and only its own time ends that.
    let last = callers.last_mut().unwrap();
    assert_eq!(last.recv().await, None);
    assert_eq!(started.elapsed(), limits::ACCEPT_PAUSE * 3 + limits::HANDSHAKE_TIMEOUT);
    // Told again only after a while.
    for _ in 0..40 {
        comes.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }
    tokio::time::sleep(limits::ACCEPT_PAUSE * 40 + Duration::from_millis(1)).await;
    comes.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
    peer.shutdown().await;
    let mut times = 0;
    while let Some(event) = events.recv().await {
        times += usize::from(matches!(event, Event::AcceptPaused { .. }));
    }
    assert_eq!(times, 2);
}
