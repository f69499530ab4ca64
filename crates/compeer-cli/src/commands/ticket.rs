//! `compeer ticket`: this peer's id and addresses as one word to paste elsewhere.
//!
//! It goes to standard output alone, ready for a pipe: `compeer ticket | ssh other compeer say - hello`.

use crate::console::Report;
use crate::context::Context;
use crate::control::ticket;
use crate::exit::Outcome;
use crate::gateway::Gateway;
use crate::node::Settings;
use crate::node::listen::Listening;
use crate::qr;
use clap::Args;
use serde::Serialize;

/// Print this peer's ticket: its id and every address where it may be reached.
///
/// A ticket is public: whoever has it can reach this peer and be sure it is this one, nothing more.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer ticket
  compeer ticket --advertise home.example.org:26673
  compeer ticket | ssh other compeer say - hello")]
pub(crate) struct Ticket {
    /// Put this address in the ticket instead of the ones found on this machine; repeatable
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_ADVERTISE",
        value_name = "HOST[:PORT]",
        value_delimiter = ','
    )]
    pub(crate) advertise: Vec<String>,
    #[command(flatten)]
    pub(crate) qr: super::send::Qr,
}

impl Ticket {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let make = ticket::MakeTicket { advertise: ticket::addresses(&self.advertise)? };
        // Alone, the port is taken for a moment as `up` would: the ticket must name the one it will have.
        let alone = Settings { listening: Listening::Usual, ..Settings::alone() };
        Gateway::through(context, alone, async |gateway: &Gateway| {
            let made: ticket::Made = gateway.ask(ticket::KIND, &make).await?;
            if let Some(port) = made.taken_port {
                context
                    .console
                    .note(&format!("another program has port {port}: `compeer up` will use another one"));
            }
            if self.qr.qr {
                qr::show(&context.console, &made.ticket);
            }
            context.console.show(&Printed { event: "ticket", ticket: made.ticket });
            Ok(())
        })
        .await
    }
}

#[derive(Serialize)]
struct Printed {
    event: &'static str,
    ticket: String,
}

impl Report for Printed {
    fn human(&self) -> String {
        self.ticket.clone()
    }
}
