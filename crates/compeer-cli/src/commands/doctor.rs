//! `compeer doctor [PEER]`: what is wrong here, on the network, or on the way to a peer.
//!
//! It looks from where things can be seen: the settings and the machine from here, the ports from within the node, whether
//! our announcement is heard from a second pair of ears. Where no `up` runs, a node of its own listens for that long, as `up`
//! would. Each finding is a line of its own as soon as it is there; a problem among them is exit code 1.

use crate::context::Context;
use crate::control::doctor::{self, AskPeer, AskPorts, Ports, Way};
use crate::control::status::{self, AskStatus, NodeStatus};
use crate::doctor::{Finding, Level, firewall, machine, network, way};
use crate::exit::{CommandError, Outcome};
use crate::gateway::Gateway;
use crate::input;
use crate::node::Settings;
use crate::node::listen::Listening;
use crate::settings::Place;
use clap::Args;
use std::cell::Cell;
use std::time::Duration;

/// How long each speed is measured. A guess: TCP has found the speed of most lines by then.
const MEASURE: Duration = Duration::from_millis(1500);

/// Find out what is wrong: with this machine, its network, or the way to a peer.
///
/// Each line is ok, a note, a warning or a problem, and says what to do. With PEER: how it is reached, the round trip, and the
/// speed each way with what sets it; `compeer up` must run there. A problem is exit code 1.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer doctor
  compeer doctor bob
  sudo compeer doctor --home ~/.local/share/compeer      root may read the firewall's rules")]
pub(crate) struct Doctor {
    /// Examine the way to this peer too: name, address, ticket or id
    peer: Option<String>,
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let peer = self.peer.as_deref().map(input::word).transpose()?;
        let problems = Cell::new(0);
        let tell = |finding: Finding| {
            if finding.level == Level::Problem {
                problems.set(problems.get() + 1);
            }
            context.console.show(&finding);
        };
        tell(settings(context)?);
        // Alone, it listens as `up` would.
        let alone = Settings { listening: Listening::Usual, ..Settings::alone() };
        Gateway::through(context, alone, async |gateway: &Gateway| {
            let status: NodeStatus = gateway.ask(status::KIND, &AskStatus {}).await?;
            network::listening(&status).into_iter().for_each(tell);
            let ports: Ports = gateway.ask(doctor::PORTS, &AskPorts {}).await?;
            let rules = status.port().and_then(firewall::against);
            network::ports(&status, &ports, rules).into_iter().for_each(tell);
            tell(machine::ipv6());
            tell(machine::descriptors(&status));
            tell(machine::clock(ports.clock_set_ms));
            network::near(context.discovery(), status.peer, &ports).await.into_iter().for_each(tell);
            tell(machine::speed(MEASURE).await);
            if let Some(peer) = &peer {
                let ask = AskPeer { peer: peer.clone(), time_ms: MEASURE.as_millis() as u64 };
                let asked: Outcome<Way> = gateway.ask(doctor::PEER, &ask).await;
                way::findings(asked).into_iter().for_each(tell);
            }
            Ok(())
        })
        .await?;
        match problems.get() {
            0 => Ok(()),
            1 => Err(CommandError::failed("there is a problem")),
            many => Err(CommandError::failed(format!("there are {many} problems"))),
        }
    }
}

/// Whether the settings can be read: if not, all other checks are made without them.
fn settings(context: &Context) -> Outcome<Finding> {
    const CHECK: &str = "settings";
    let place = Place::of(&context.global)?;
    Ok(match place.read() {
        Ok(settings) => match settings.len() {
            0 => Finding::ok(CHECK, "none; `compeer config` lists what can be set"),
            set => Finding::ok(CHECK, format!("{set} in {}", place.path.display())),
        },
        Err(error) => {
            let remedy = error.hint.unwrap_or_else(|| "see `compeer config`".to_string());
            Finding::problem(CHECK, error.message, remedy)
        }
    })
}
