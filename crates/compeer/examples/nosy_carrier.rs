//! A carrier that looks at all it passes on, and finds neither a kind nor a body in it.
//!
//! ```console
//! $ cargo run --example nosy_carrier -p compeer -- --flip
//! $ cargo run --example custom_router -p compeer -- serve TICKET
//! $ cargo run --example custom_router -p compeer -- ask TICKET ID hello
//! ```
//!
//! It prints every byte that it forwards, after its own TLS with its neighbours has been taken
//! off. With `--flip` it changes one bit of each circuit, in the frame where the ends have
//! finished their handshake; that breaks the circuit, and who asked is told who carried it.
//! A [`Tap`](compeer::Tap) sees what passes, to count it, to measure it, or to test what
//! becomes of it when it is changed.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::Mutex;

use compeer::{Carried, Carry, Peer, Ticket};

/// The frame of a circuit that is changed, counted from 1. The first few are the handshake.
const FLIPPED: usize = 6;

#[derive(Default)]
struct Nosy {
    flips: bool,
    /// Frames seen, by circuit. A program that runs for long would forget some.
    seen: Mutex<BTreeMap<[u8; 16], usize>>,
}

impl Nosy {
    fn look(&self, circuit: &Carried, bytes: &mut [u8]) {
        let mut hex = String::new();
        for byte in &*bytes {
            let _ = write!(hex, "{byte:02x}");
        }
        println!("{} -> {}: {hex}", circuit.from.short(), circuit.to.short());
        let mut seen = self.seen.lock().unwrap_or_else(|error| error.into_inner());
        let frames = seen.entry(circuit.circuit).or_default();
        *frames += 1;
        if self.flips
            && *frames == FLIPPED
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
            println!("flipped one bit");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let flips = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--flip") => true,
        Some(_) => return Err("usage: nosy_carrier [--flip]".into()),
    };
    let nosy = Nosy { flips, ..Nosy::default() };
    let tap = move |circuit: &Carried, bytes: &mut [u8]| nosy.look(circuit, bytes);
    let carry = Carry { tap: Some(std::sync::Arc::new(tap)), ..Carry::default() };
    let peer = Peer::builder().listen("127.0.0.1:0").carry(carry).spawn().await?;
    println!("ticket: {}", Ticket::from(peer.addr()));
    peer.run().await; // until ctrl-c
    Ok(())
}
