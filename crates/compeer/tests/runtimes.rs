//! A peer lives on the runtime it was spawned on, whoever else uses it.

use std::time::Duration;

use compeer::{Failure, Peer, Request};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn echo(request: Request) -> Result<bytes::Bytes, Failure> {
    Ok(request.body().clone())
}

#[test]
fn a_connection_made_for_another_runtime_outlives_it() {
    let home = runtime();
    let (a, b, c) = home.block_on(async {
        let listening = || Peer::builder().listen("127.0.0.1:0").handle("ECHO", echo).spawn();
        (Peer::builder().spawn().await.unwrap(), listening().await.unwrap(), listening().await.unwrap())
    });
    let guest = runtime();
    guest.block_on(async {
        a.request(b.addr(), "ECHO", "x").one().await.unwrap();
        a.request(a.id(), "NONE", "").one().await.unwrap_err();
        a.connect(c.local_addrs()[0]).await.unwrap();
    });
    drop(guest);
    home.block_on(async {
        for to in [b.id(), c.id()] {
            let reply = a.request(to, "ECHO", "y").timeout(Duration::from_secs(10)).one().await.unwrap();
            assert_eq!(&reply.body[..], b"y");
        }
        let shut = tokio::time::timeout(Duration::from_secs(10), a.shutdown()).await;
        shut.expect("it waits for nobody who is gone");
    });
}
