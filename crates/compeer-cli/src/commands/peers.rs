//! `compeer peers`: who is paired, who is connected, who is near, who is blocked.
//!
//! With `--forget` it undoes: the pairing of a peer, or the key learnt for an address, which is what to do when a machine
//! was set up anew and really has another key.

use crate::context::Context;
use crate::control::{pair, peers, trace};
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use clap::Args;
use clap::builder::BoolishValueParser;

/// List the peers: those you paired with, those connected now, those near, those blocked.
///
/// Near is who announces itself on this network; without a running `compeer up` it is looked for, for a moment.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer peers
  compeer peers --map                  the overlay, as this peer knows it
  compeer peers --forget bob
  compeer peers --forget 192.168.1.20  accept another key there from now on")]
pub(crate) struct Peers {
    /// Draw whom this peer knows in the overlay, by distance
    #[arg(long, hide_env_values = true, env = "COMPEER_MAP", value_parser = BoolishValueParser::new(), conflicts_with = "forget")]
    pub(crate) map: bool,
    /// Forget a paired peer, or the key learnt for an address
    #[arg(long, hide_env_values = true, env = "COMPEER_FORGET", value_name = "PEER")]
    pub(crate) forget: Option<String>,
}

impl Peers {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let forget = self.forget.map(|peer| input::word(&peer)).transpose()?;
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            if let Some(peer) = &forget {
                let question = pair::Forget { peer: peer.clone() };
                let forgotten: pair::Forgotten = gateway.ask(pair::FORGET, &question).await?;
                context.console.show(&forgotten);
                return Ok(());
            }
            if self.map {
                let map: trace::Map = gateway.ask(trace::MAP, &trace::AskMap {}).await?;
                context.console.show(&map);
                return Ok(());
            }
            let rows: Vec<peers::Row> = gateway.ask(peers::KIND, &peers::ListPeers {}).await?;
            if rows.is_empty() {
                context.console.note("nobody yet; `compeer pair PEER` gives a peer a name");
            }
            for row in &rows {
                context.console.show(row);
            }
            Ok(())
        })
        .await
    }
}
