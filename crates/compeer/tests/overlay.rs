//! Peers that find each other by id, over the memory network in virtual time: by a chain of introductions, after
//! many have died, and when whoever is looked for cannot be called.

use std::net::IpAddr;
use std::time::Duration;

use compeer::transport::memory::MemoryNetwork;
use compeer::{Builder, Identity, Kademlia, Peer, PeerAddr, Request, RequestError};

async fn who(request: Request) -> Result<(), compeer::Failure> {
    request.reply(request.peer().id().to_string()).await?;
    Ok(())
}

fn ip(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

fn builder(network: &MemoryNetwork, n: u8) -> Builder {
    let identity = Identity::from_seed(&[n; 32]);
    Peer::builder()
        .transport(network.transport(identity.peer_id(), ip(n)))
        .identity(identity)
        .seed(u64::from(n))
        .overlay()
        .router(Kademlia)
        .handle("WHO", who)
}

/// Peers that were each told of the one before.
async fn chain(network: &MemoryNetwork, n: u8) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for n in 1..=n {
        let peer = builder(network, n).listen(format!("10.0.0.{n}:7").as_str()).spawn().await.unwrap();
        peer.overlay().unwrap().join(peers.last().map(Peer::addr));
        peers.push(peer);
    }
    peers
}

async fn ask(from: &Peer, to: &Peer) -> Result<String, RequestError> {
    Ok(from.request(PeerAddr::from(to.id()), "WHO", "").one().await?.text())
}

#[tokio::test(start_paused = true)]
async fn everybody_reaches_everybody_by_id() {
    let network = MemoryNetwork::new(1);
    let peers = chain(&network, 30).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    for (n, from) in peers.iter().enumerate() {
        let to = &peers[(n * 11 + 5) % peers.len()];
        assert_eq!(ask(from, to).await.unwrap(), to.id().to_string(), "{n}");
    }
    let known = peers.iter().map(|peer| peer.overlay().unwrap().known_by()).min();
    assert!(known >= Some(15), "a record is kept by {known:?} peers");
    // A third is gone without a word, the first among them.
    for gone in (1..=30).step_by(3) {
        (1..=30).for_each(|other| network.cut(ip(gone), ip(other)));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    for n in (0..peers.len()).filter(|n| n % 3 != 0) {
        let to = &peers[(n + 13) % peers.len()];
        if (n + 13) % peers.len() % 3 != 0 {
            assert_eq!(ask(&peers[n], to).await.unwrap(), to.id().to_string(), "{n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_unknown_is_told_to_be() {
    let network = MemoryNetwork::new(2);
    let peers = chain(&network, 5).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let nobody = Identity::from_seed(&[99; 32]).peer_id();
    let error = peers[0].request(PeerAddr::from(nobody), "WHO", "").one().await.unwrap_err();
    assert!(error.to_string().contains("no way") || error.to_string().contains("route"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_has_a_content_is_found_and_then_no_longer() {
    let network = MemoryNetwork::new(3);
    let peers = chain(&network, 12).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let content = [7; 32];
    for n in [2, 9] {
        peers[n].overlay().unwrap().provide(content).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut found: Vec<_> =
        peers[5].overlay().unwrap().providers(content).await.unwrap().iter().map(|peer| peer.id).collect();
    found.sort();
    let mut wanted = [peers[2].id(), peers[9].id()];
    wanted.sort();
    assert_eq!(found, wanted);
    peers[2].overlay().unwrap().withdraw(content);
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    let found = peers[5].overlay().unwrap().providers(content).await.unwrap();
    assert_eq!(found.iter().map(|peer| peer.id).collect::<Vec<_>>(), [peers[9].id()]);
}

#[tokio::test(start_paused = true)]
async fn who_listens_nowhere_looks_up_and_is_in_no_table() {
    let network = MemoryNetwork::new(4);
    let peers = chain(&network, 8).await;
    let client = builder(&network, 100).spawn().await.unwrap();
    client.overlay().unwrap().join([peers[3].addr()]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ask(&client, &peers[6]).await.unwrap(), peers[6].id().to_string());
    for peer in &peers {
        let table = peer.overlay().unwrap().peers();
        assert!(table.iter().all(|known| known.addr.id != client.id()));
        assert_eq!(table.len(), peers.len() - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_called_is_reached_over_a_peer_that_it_keeps() {
    let network = MemoryNetwork::new(5);
    let carrying =
        |n| builder(&network, n).carry(compeer::Carry::default()).listen(format!("10.0.0.{n}:7").as_str());
    let (a, b, e) = (carrying(1).spawn().await.unwrap(), carrying(2).spawn().await.unwrap(), carrying(3));
    network.cut(ip(1), ip(3));
    let e = e.spawn().await.unwrap();
    e.keep(b.addr());
    a.overlay().unwrap().join([b.addr()]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(ask(&a, &e).await.unwrap(), e.id().to_string());
    let connection = a.connections().into_iter().find(|connection| connection.peer_id == e.id()).unwrap();
    assert_eq!(connection.over, [b.id()]);
}
