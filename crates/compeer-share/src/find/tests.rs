//! Searches among peers over the memory transport, in virtual time: what is found, how often, and what the summary
//! says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use compeer::transport::memory::MemoryNetwork;
use compeer::{Identity, PeerId};
use tokio::time::Instant;

use super::*;
use crate::limits::{
    FIND_BURST, MAX_FIND_PEERS, MAX_FIND_RESULTS, MAX_FINDS, MAX_LISTED_NAME, MAX_LISTING, MAX_QUERY,
};

fn identity(n: usize) -> Identity {
    Identity::from_seed(&[n as u8 + 1; 32])
}

fn id(n: usize) -> PeerId {
    identity(n).peer_id()
}

fn addr(n: usize) -> PeerAddr {
    PeerAddr::new(id(n), [SocketAddr::from(([10, 0, 0, n as u8 + 1], 1)).into()])
}

fn share(id: u64, name: &str) -> Published {
    let content = ContentId::of(name.as_bytes());
    Published { id, content, secret: [1; 16], name: name.into(), bytes: 7, files: 1 }
}

/// A catalogue of shares with these numbers and names.
fn catalogue<'a>(names: impl IntoIterator<Item = (u64, &'a str)>) -> Arc<Catalogue> {
    let catalogue = Catalogue::in_memory().unwrap();
    names.into_iter().for_each(|(id, name)| catalogue.add(&share(id, name), []).unwrap());
    Arc::new(catalogue)
}

/// The first so many natural numbers, each with a name made of it.
fn named(count: usize, name: impl Fn(usize) -> String) -> Arc<Catalogue> {
    let names: Vec<_> = (1..=count).map(name).collect();
    catalogue((1..).zip(names.iter().map(String::as_str)))
}

fn listing(n: usize, name: &str) -> Listing {
    let Published { content, secret, name, bytes, files, .. } = share(1, name);
    Listing { content, name, bytes, files, others: 0, at: addr(n), secret, ext: Vec::new() }
}

/// Peers that are connected in some way, each with a share that is called after it and one that all have.
struct Net {
    network: MemoryNetwork,
    peers: Vec<Peer>,
    finders: Vec<Finder>,
    links: Vec<(usize, usize)>,
}

async fn net(seed: u64, count: usize, links: &[(usize, usize)]) -> Net {
    let network = MemoryNetwork::new(seed);
    let mut net = Net { network, peers: Vec::new(), finders: Vec::new(), links: links.to_vec() };
    for n in 0..count {
        let own = format!("tiger of {n}");
        net.add(n, Some(catalogue([(1, &own[..]), (2, "tiger of all"), (3, "lion")]))).await;
    }
    for (a, b) in links {
        net.link(*a, *b).await;
    }
    net
}

impl Net {
    async fn add(&mut self, n: usize, lookup: Option<Arc<Catalogue>>) {
        let at = [10, 0, 0, n as u8 + 1];
        let transport = self.network.transport(id(n), at.into());
        let peer = Peer::builder().transport(transport).identity(identity(n)).seed(n as u64);
        let peer = peer.listen(SocketAddr::from((at, 1))).spawn().await.unwrap();
        if let Some(lookup) = lookup {
            self.finders.push(register(&peer, lookup).unwrap());
        }
        self.peers.push(peer);
    }

    /// Connects two, and waits until both have it.
    async fn link(&self, a: usize, b: usize) {
        self.peers[a].ping(addr(b)).await.unwrap();
    }

    /// How many links away each peer is.
    fn distances(&self, from: usize) -> BTreeMap<usize, usize> {
        let mut distances = BTreeMap::from([(from, 0)]);
        for step in 1.. {
            let before = distances.clone();
            for (a, b) in &self.links {
                for (a, b) in [(a, b), (b, a)] {
                    if before.contains_key(a) {
                        distances.entry(*b).or_insert(step);
                    }
                }
            }
            if before.len() == distances.len() {
                break;
            }
        }
        distances
    }

    async fn search(&self, from: usize, words: &str, hops: u8) -> (Vec<Found>, Summary) {
        let mut search = self.finders[from].search(words, hops, Duration::from_secs(10));
        let mut found = Vec::new();
        while let Some(share) = search.next().await {
            found.push(share);
        }
        (found, search.summary().await)
    }

    /// Searches, and checks that each share within reach is found once and nothing else.
    async fn check(&self, from: usize, hops: u8) -> Summary {
        let (found, summary) = self.search(from, "tiger", hops).await;
        let mut names: Vec<_> =
            found.iter().map(|found| (found.provider().unwrap().id, found.name.clone())).collect();
        names.sort();
        let near =
            self.distances(from).into_iter().filter(|(n, far)| *n != from && *far <= usize::from(hops) + 1);
        let mut expected: Vec<_> = near
            .flat_map(|(n, _)| [(id(n), format!("tiger of {n}")), (id(n), "tiger of all".to_owned())])
            .collect();
        expected.sort();
        assert_eq!(names, expected, "from {from}, {hops} hops");
        summary
    }
}

fn ring(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|n| (n, (n + 1) % count)).collect()
}

#[tokio::test(start_paused = true)]
async fn in_a_ring_everything_within_the_hops_is_found_once() {
    let net = net(1, 30, &ring(30)).await;
    for hops in 0..=MAX_HOPS {
        let summary = net.check(7, hops).await;
        let asked = 2 * (u32::from(hops) + 1);
        assert_eq!(summary, Summary { asked, answered: asked, complete: true, truncated: false });
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_tree_and_where_all_know_all_too() {
    let tree: Vec<_> = (1..30).map(|n| ((n - 1) / 3, n)).collect();
    let tree = net(2, 30, &tree).await;
    for (from, hops) in [(0, 3), (29, 3), (5, 1), (0, 0)] {
        assert!(tree.check(from, hops).await.complete);
    }
    let all: Vec<_> = (0..10).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    let all = net(3, 10, &all).await;
    for hops in [0, 3] {
        assert!(all.check(4, hops).await.complete);
    }
}

#[tokio::test(start_paused = true)]
async fn the_shorter_way_counts_also_when_it_is_the_slower() {
    // 3 hears of it over 1 and 2 first, with too few hops left to reach 6.
    let mut net = net(3, 7, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]).await;
    net.network = net.network.latency(Duration::from_secs(1), Duration::from_secs(1));
    net.link(0, 3).await;
    net.links.push((0, 3));
    assert!(net.check(0, 3).await.complete);
    assert_eq!(net.distances(0)[&6], 4);
}

#[tokio::test(start_paused = true)]
async fn in_a_ring_with_shortcuts_too() {
    let links: Vec<_> = ring(24).into_iter().chain((0..24).step_by(5).map(|n| (n, (n + 9) % 24))).collect();
    for seed in 0..8 {
        let net = net(seed, 24, &links).await;
        for from in [0, 5, 11] {
            assert!(net.check(from, 3).await.complete, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_answers_holds_up_nobody_and_is_told_of() {
    let mut net = net(4, 6, &[(0, 1), (1, 2), (0, 3)]).await;
    net.add(6, None).await;
    net.peers[6].handle(FIND, |_: Request| std::future::pending::<Result<(), Failure>>()).unwrap();
    net.link(1, 6).await;
    let begun = Instant::now();
    let mut search = net.finders[0].search("tiger", 3, Duration::from_secs(10));
    let mut found = BTreeSet::new();
    while found.len() < 6 {
        found.insert(search.next().await.unwrap().ticket.peers[0].id);
        if found.len() == 3 {
            break;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "what is found comes at once");
    let summary = search.summary().await;
    assert_eq!(summary, Summary { asked: 4, answered: 3, complete: false, truncated: false });
    assert!(begun.elapsed() <= Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_half_way_makes_it_incomplete() {
    let mut net = net(5, 2, &[(0, 1)]).await;
    net.add(2, None).await;
    let one = Reply::Found(listing(2, "half"));
    net.peers[2]
        .handle(FIND, move |request: Request| {
            let one = one.encode();
            async move {
                request.reply(one.clone()).await?;
                request.reply(one).await?;
                Ok(())
            }
        })
        .unwrap();
    net.link(0, 2).await;
    let (found, summary) = net.search(0, "tiger", 1).await;
    assert_eq!(found.len(), 3, "what it said counts, once");
    assert_eq!(summary, Summary { asked: 2, answered: 1, complete: false, truncated: false });
}

#[tokio::test(start_paused = true)]
async fn programs_that_share_nothing_are_not_in_it() {
    let mut net = net(6, 2, &[(0, 1)]).await;
    net.add(2, None).await;
    net.link(0, 2).await;
    let summary = net.check(0, 2).await;
    assert_eq!(summary, Summary { asked: 1, answered: 1, complete: true, truncated: false });
    assert!(matches!(net.finders[0].browse(addr(2)).await, Err(RequestError::NoHandler)));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_is_complete_and_empty() {
    let net = net(7, 1, &[]).await;
    let (found, summary) = net.search(0, "tiger", 3).await;
    assert!(found.is_empty());
    assert_eq!(summary, Summary { complete: true, ..Summary::default() });
}

#[tokio::test(start_paused = true)]
async fn too_many_results_and_neighbours_are_said() {
    let mut net = net(8, 1, &[]).await;
    for n in 1..=MAX_FIND_PEERS + 1 {
        let shares = named(20, |share| format!("tiger {share} of {n}"));
        shares.add(&share(100, "lion"), []).unwrap();
        net.add(n, Some(shares)).await;
        net.link(0, n).await;
    }
    let asked = MAX_FIND_PEERS as u32;
    let (found, summary) = net.search(0, "lion", 0).await;
    assert_eq!(found.len(), MAX_FIND_PEERS);
    assert_eq!(summary, Summary { asked, answered: asked, complete: false, truncated: false });
    let (found, summary) = net.search(0, "tiger", 0).await;
    assert_eq!(found.len(), MAX_FIND_RESULTS);
    assert!(summary.truncated && !summary.complete && summary.asked == asked, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_more_than_it_may_answer_says_so() {
    let net = net(9, 2, &[(0, 1)]).await;
    register(&net.peers[1], named(MAX_FOUND_HERE + 1, |n| format!("tiger {n}"))).unwrap();
    let (found, summary) = net.search(0, "tiger", 0).await;
    assert_eq!(found.len(), MAX_FOUND_HERE);
    assert_eq!(summary, Summary { asked: 1, answered: 1, complete: true, truncated: true });
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_for_too_much_is_told_to_wait() {
    let net = net(10, 2, &[(0, 1)]).await;
    let ask = |_| net.finders[0].search("lion", 0, Duration::from_secs(10));
    let searches: Vec<_> = (0..FIND_BURST_ASKED).map(ask).collect();
    let mut refused = 0;
    for search in searches {
        refused += usize::from(!search.summary().await.complete);
    }
    assert!((FIND_BURST_ASKED / 2..FIND_BURST_ASKED).contains(&refused), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn no_more_searches_are_under_way_at_a_peer_than_it_has_places_for() {
    let askers = MAX_FINDS.div_ceil(FIND_BURST as usize) + 1;
    let mut net = net(13, 1 + askers, &[]).await;
    net.add(1 + askers, None).await;
    net.peers[1 + askers].handle(FIND, |_: Request| std::future::pending::<Result<(), Failure>>()).unwrap();
    net.link(0, 1 + askers).await;
    let mut searches = Vec::new();
    for asker in 1..=askers {
        net.link(asker, 0).await;
        let finder = &net.finders[asker];
        searches.extend((0..FIND_BURST as usize).map(|_| finder.search("tiger", 1, Duration::from_secs(10))));
    }
    let mut served = 0;
    for search in searches {
        // Peer 0 is all that an asker asks itself.
        served += usize::from(search.summary().await.answered > 0);
    }
    assert_eq!(served, MAX_FINDS);
}

/// More than anybody may ask for at once.
const FIND_BURST_ASKED: usize = 4 * FIND_BURST as usize;

#[tokio::test(start_paused = true)]
async fn all_shares_of_one_peer_are_listed_page_by_page() {
    let net = net(11, 2, &[(0, 1)]).await;
    let count = 2 * BROWSE_PAGE + 50;
    register(&net.peers[1], named(count, |n| format!("share {n}"))).unwrap();
    let all = net.finders[0].browse(addr(1)).await.unwrap();
    let names: Vec<_> = (1..=count).map(|n| format!("share {n}")).collect();
    assert_eq!(all.iter().map(|found| found.name.clone()).collect::<Vec<_>>(), names);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_is_dropped_ends_everywhere() {
    let mut net = net(12, 2, &[(0, 1)]).await;
    net.add(2, None).await;
    let (gone, ended) = mpsc::channel::<()>(1);
    net.peers[2]
        .handle(FIND, move |_: Request| {
            let gone = gone.clone();
            async move {
                // Held for as long as the request lasts.
                let _gone = gone;
                std::future::pending::<Result<(), Failure>>().await
            }
        })
        .unwrap();
    net.link(1, 2).await;
    let mut search = net.finders[0].search("tiger", 3, Duration::from_secs(30));
    assert!(search.next().await.is_some());
    let begun = Instant::now();
    drop(search);
    net.peers[2].remove_handler(FIND);
    let mut ended = ended;
    assert!(tokio::time::timeout(Duration::from_secs(5), ended.recv()).await.unwrap().is_none());
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn contents_of_several_providers_become_one_result() {
    let found = |n, name, others| Found { others, ..Found::from(listing(n, name)) };
    let merged = by_content(vec![found(1, "a", 0), found(2, "b", 6), found(3, "a", 1)]);
    assert_eq!(merged.len(), 2);
    assert_eq!((merged[0].1, merged[1].1), (2, 7));
    assert_eq!(merged[0].0.ticket.peers.iter().map(|at| at.id).collect::<Vec<_>>(), [id(1), id(3)]);
}

#[test]
fn messages_beyond_the_bounds_are_refused() {
    let query = Query { id: [0; 16], words: "x".repeat(MAX_QUERY), hops: MAX_HOPS, ext: Vec::new() };
    assert_eq!(Query::decode(&wire::encode(&query)), Some(query.clone()));
    let longer = Query { words: query.words.clone() + "x", ..query.clone() };
    assert_eq!(Query::decode(&wire::encode(&longer)), None);
    let farther = Query { hops: MAX_HOPS + 1, ..query };
    assert_eq!(Query::decode(&wire::encode(&farther)), None);
    assert_eq!(wire::clip(&"ä".repeat(9), 5), "ää");
    let long = Reply::Found(listing(1, &"n".repeat(MAX_LISTED_NAME + 1)));
    assert_eq!(Reply::decode(&long.encode()), None);
    let mut many = listing(1, &"n".repeat(1000));
    let name = |n: usize| format!("{n}.{}:5", ["a"; 120].join(".")).parse().unwrap();
    many.at.addrs = (0..16).map(name).collect();
    many.ext = vec![0; MAX_LISTING - 2000];
    let fitted = Reply::Found(many.fitted());
    assert_eq!(Reply::decode(&fitted.encode()), Some(fitted));
    let page = |count: usize| Page { listings: vec![listing(1, "n"); count], next: None, ext: Vec::new() };
    assert!(Page::decode(&page(BROWSE_PAGE).encode()).is_some());
    assert!(Page::decode(&page(BROWSE_PAGE + 1).encode()).is_none());
}

/// A run of hex digits, wherever `docs/protocol.md` breaks it into fields.
fn is_on_the_page(bytes: &[u8]) -> bool {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md")).unwrap();
    // In a block, hex stands before the first two spaces in a row.
    let hex: String =
        page.lines().map(|line| line.split("  ").next().unwrap_or("").replace(' ', "") + "").collect();
    hex.contains(&data_encoding::HEXLOWER.encode(bytes))
}

#[test]
fn the_messages_are_those_of_the_page() {
    let id = *b"0123456789abcdef";
    let query = wire::encode(&Query { id, words: "tiger".into(), hops: 2, ext: Vec::new() });
    assert!(is_on_the_page(&query), "{}", data_encoding::HEXLOWER.encode(&query));
    let summary = Summary { asked: 300, answered: 299, complete: false, truncated: true };
    let done = Reply::Done(summary).encode();
    assert!(is_on_the_page(&done), "{}", data_encoding::HEXLOWER.encode(&done));
    let mut found = listing(1, "tiger");
    found.at.id = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena".parse().unwrap();
    let reply = Reply::Found(found.clone()).encode();
    assert!(is_on_the_page(&reply), "{}", data_encoding::HEXLOWER.encode(&reply));
    let page = Page { listings: vec![found], next: Some(1), ext: Vec::new() }.encode();
    assert_eq!(page, [&[1], &reply[1..], &[1, 1, 0]].concat());
}
