//! `compeer` alone: where one stands and what to type next, in at most 15 lines.
//!
//! For the newcomer three commands; for who has a running peer, its address and the peers around it.

use crate::console::Report;
use crate::context::Context;
use crate::control::peers::{ListPeers, Row};
use crate::control::status::{AskStatus, NodeStatus};
use crate::control::{peers, status};
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::node::{Role, Settings};
use compeer::text;
use serde::Serialize;

/// Peers shown; the rest is counted. With what stands around them, 15 lines.
const MAX_ROWS: usize = 6;

pub(crate) async fn run(context: &Context) -> Outcome {
    Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
        let status: NodeStatus = gateway.ask(status::KIND, &AskStatus {}).await?;
        let peers: Vec<Row> = gateway.ask(peers::KIND, &ListPeers {}).await?;
        context.console.show(&Overview { event: "overview", status, peers });
        Ok(())
    })
    .await
}

#[derive(Serialize)]
struct Overview {
    event: &'static str,
    status: NodeStatus,
    peers: Vec<Row>,
}

impl Report for Overview {
    fn human(&self) -> String {
        let up = self.status.role == Role::Up;
        let mut lines = Vec::new();
        let name = text::escape(&self.status.name);
        match self.status.line().filter(|_| up) {
            Some(line) => {
                lines.push(format!(
                    "{name} ({}) is up. On another machine:  {line}",
                    self.status.peer.short()
                ));
            }
            None => {
                lines.push(format!("No peer runs here. You would be {name} ({}).", self.status.peer.short()))
            }
        }
        for row in self.peers.iter().take(MAX_ROWS) {
            lines.push(format!("  {}", row.human()));
        }
        if self.peers.len() > MAX_ROWS {
            lines.push(format!("  and {} more: compeer peers", self.peers.len() - MAX_ROWS));
        }
        lines.push("What to type next:".to_string());
        let friend = self.peers.iter().find(|row| row.paired).map(|row| row.name.as_str());
        let near = self.peers.iter().find(|row| row.near && !row.connected && !row.blocked);
        let near = near.and_then(|row| row.addr.as_deref()).unwrap_or("ADDRESS");
        lines.push("  compeer send FILE              send it; prints the line to type elsewhere".into());
        match (up, friend) {
            (false, _) => {
                lines.push(
                    "  compeer up                     be a peer; prints the line to type elsewhere".into(),
                );
                let say = format!("compeer say {} hello", friend.unwrap_or(near));
                lines.push(format!("  {say:<30} say something to a peer that is up"));
                lines.push("  compeer try                    a tour on this machine alone".into());
            }
            (true, friend) => {
                let friend = friend.unwrap_or(near);
                lines.push(format!("  {:<30} say something", format!("compeer say {friend} hello")));
                lines.push(format!("  {:<30} talk line by line", format!("compeer chat {friend}")));
                lines.push("  compeer pair                   give another machine a name, once".into());
            }
        }
        lines.push("All commands: compeer --help".into());
        lines.join("\n")
    }
}
