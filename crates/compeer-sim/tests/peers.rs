//! Whole peers in virtual time: the same run twice, cables that are cut, hours that take no time.

use std::time::Duration;

use compeer::{Failure, Request};
use compeer_sim::peers::{Network, Ran, Sim, SimError};

async fn echo(request: Request) -> Result<String, Failure> {
    Ok(request.text())
}

fn run(seed: u64) -> Ran<Vec<bool>> {
    let sim = Sim::new(seed).peers(5, |_, builder| builder.handle("ECHO", echo));
    let among = async |network: &Network| {
        let peers = network.peers();
        let mut answered = Vec::new();
        for cut in [false, true, false] {
            match cut {
                true => network.cut(0, 1),
                false => network.heal(0, 1),
            }
            let call = peers[0].request(peers[1].addr(), "ECHO", "hello").timeout(Duration::from_secs(5));
            answered.push(call.one().await.is_ok());
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        answered
    };
    sim.run(among).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let (first, second) = (run(1), run(1));
    assert_eq!(first, second);
    assert_eq!(first.value, [true, false, true]);
    assert!(first.took >= Duration::from_secs(3 * 3600) && first.bytes > 0, "{first:?}");
    assert_ne!(first.trace_hash, run(2).trace_hash);
}

#[test]
fn a_peer_that_cannot_begin_is_named() {
    let sim = Sim::new(1).peers(2, |_, b| b).peers(1, |n, builder| {
        assert_eq!(n, 2);
        builder.handle("", echo)
    });
    match sim.run(async |_: &Network| ()) {
        Err(SimError::Spawn { number: 2, .. }) => {}
        _ => panic!("a kind without a name"),
    }
}
