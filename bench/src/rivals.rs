//! Other libraries that connect peers, measured in the same rounds as Compeer:
//! libp2p, over TCP (Noise, yamux) and over QUIC, and iroh.
//!
//! Each has one caller here and one serving end, which is in this process or in
//! a child, as for the rest. What is asked of them is the same for all: one
//! stream, a 64-byte echo with so many in flight, 128 bytes one way. How they
//! are set up, and why so, is in their files. Without the feature `rivals`
//! there are none, and everything else is measured as before.

#![cfg_attr(not(feature = "rivals"), allow(unused, reason = "with none of them, nobody asks"))]

use std::any::Any;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Child;

use crate::server::spawn;
use crate::stats::Times;
use crate::{Options, Result};

#[cfg(feature = "rivals")]
mod with_iroh;
#[cfg(feature = "rivals")]
mod with_libp2p;

#[cfg(feature = "rivals")]
use {with_iroh::Iroh, with_libp2p::Libp2p};

/// Requests in flight at most, which each of them has to let through.
#[cfg(feature = "rivals")]
const MOST_IN_FLIGHT: u32 = 1024;

/// Bytes of a one-way message.
pub(crate) const TOLD: usize = 128;

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(feature = "rivals")]
    Libp2pTcp,
    #[cfg(feature = "rivals")]
    Libp2pQuic,
    #[cfg(feature = "rivals")]
    Iroh,
}

impl Kind {
    pub(crate) const ALL: &[Kind] = &[
        #[cfg(feature = "rivals")]
        Kind::Libp2pTcp,
        #[cfg(feature = "rivals")]
        Kind::Libp2pQuic,
        #[cfg(feature = "rivals")]
        Kind::Iroh,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "rivals")]
            Kind::Libp2pTcp => "libp2p, TCP",
            #[cfg(feature = "rivals")]
            Kind::Libp2pQuic => "libp2p, QUIC",
            #[cfg(feature = "rivals")]
            Kind::Iroh => "iroh",
        }
    }

    /// An end that others call, and its address as one word; it serves until it is dropped.
    pub(crate) async fn listen(self) -> Result<(String, Called)> {
        match self {
            #[cfg(feature = "rivals")]
            Kind::Libp2pTcp | Kind::Libp2pQuic => with_libp2p::listen(self).await,
            #[cfg(feature = "rivals")]
            Kind::Iroh => with_iroh::listen().await,
        }
    }

    /// A caller with a key of its own, connected.
    pub(crate) async fn call(self, address: &str) -> Result<Rival> {
        match self {
            #[cfg(feature = "rivals")]
            Kind::Libp2pTcp | Kind::Libp2pQuic => {
                Ok(Rival::Libp2p(Box::new(Libp2p::call(self, address).await?)))
            }
            #[cfg(feature = "rivals")]
            Kind::Iroh => Ok(Rival::Iroh(Iroh::call(address).await?)),
        }
    }

    /// The child of the row `idle` that calls: one end, a connection for each line of its input.
    pub(crate) async fn call_each(self, addresses: crate::idle::Input) -> Result<()> {
        match self {
            #[cfg(feature = "rivals")]
            Kind::Libp2pTcp | Kind::Libp2pQuic => with_libp2p::call_each(self, addresses).await,
            #[cfg(feature = "rivals")]
            Kind::Iroh => with_iroh::call_each(addresses).await,
        }
    }
}

/// A serving end. Whoever called it can be waited for.
pub(crate) struct Called {
    pub(crate) arrived: tokio::sync::mpsc::UnboundedReceiver<()>,
    _end: Box<dyn Any + Send>,
}

/// The calling end, with its connection.
pub(crate) enum Rival {
    #[cfg(feature = "rivals")]
    Libp2p(Box<Libp2p>),
    #[cfg(feature = "rivals")]
    Iroh(Iroh),
}

impl Rival {
    /// One stream for so long, in MB/s.
    pub(crate) async fn pour(&mut self, time: Duration) -> Result<f64> {
        match *self {
            #[cfg(feature = "rivals")]
            Rival::Libp2p(ref mut libp2p) => libp2p.pour(time).await,
            #[cfg(feature = "rivals")]
            Rival::Iroh(ref mut iroh) => iroh.pour(time).await,
        }
    }

    /// A 64-byte echo, so many at a time: how many a second, and how long each took.
    pub(crate) async fn ask(&mut self, in_flight: usize, time: Duration) -> Result<(f64, Times)> {
        match *self {
            #[cfg(feature = "rivals")]
            Rival::Libp2p(ref mut libp2p) => libp2p.ask(in_flight, time).await,
            #[cfg(feature = "rivals")]
            Rival::Iroh(ref mut iroh) => iroh.ask(in_flight, time).await,
        }
    }

    /// Messages of 128 bytes one way, until the other side has counted them:
    /// how many a second, and how many.
    pub(crate) async fn tell(&mut self, in_flight: usize, time: Duration) -> Result<(f64, u64)> {
        match *self {
            #[cfg(feature = "rivals")]
            Rival::Libp2p(ref mut libp2p) => libp2p.tell(in_flight, time).await,
            #[cfg(feature = "rivals")]
            Rival::Iroh(ref mut iroh) => iroh.tell(time).await,
        }
    }
}

/// All of them, connected, and what serves them.
pub(crate) struct Rivals {
    pub(crate) all: Vec<(Kind, Rival)>,
    _here: Vec<Called>,
    _child: Option<Child>,
}

impl Rivals {
    pub(crate) async fn start(options: Options) -> Result<Rivals> {
        let (mut here, mut child) = (Vec::new(), None);
        let line = if options.two_processes {
            let (started, line) = spawn(&["serve-rivals"]).await?;
            child = Some(started);
            line
        } else {
            listen_all(&mut here).await?
        };
        let mut all = Vec::new();
        for (kind, address) in Kind::ALL.iter().zip(line.split_whitespace()) {
            all.push((*kind, kind.call(address).await?));
        }
        Ok(Rivals { all, _here: here, _child: child })
    }
}

async fn listen_all(ends: &mut Vec<Called>) -> Result<String> {
    let mut addresses = Vec::new();
    for kind in Kind::ALL {
        let (address, end) = kind.listen().await?;
        addresses.push(address);
        ends.push(end);
    }
    Ok(addresses.join(" "))
}

/// The child: serves until its standard input ends.
pub(crate) async fn child() -> Result<()> {
    let mut ends = Vec::new();
    println!("{}", listen_all(&mut ends).await?);
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    std::process::exit(0);
}
