//! `compeer call PEER KIND [BODY]`: a request of any kind, its replies printed as they come.
//!
//! Replies go to standard output and nothing else does, so that they can be piped; `--raw` gives their bytes exactly.
//! What the handler on the other side calls an error ends with exit code 1, after the replies that came before it.

use crate::console::Report;
use crate::context::Context;
use crate::control::call;
use crate::exit::{CommandError, Outcome};
use crate::gateway::{Answers, Gateway};
use crate::input;
use crate::node::Settings;
use bytes::Bytes;
use clap::Args;
use clap::builder::BoolishValueParser;
use compeer::text;
use serde::Serialize;
use std::time::Duration;

/// Send a message of any kind to a peer and print the replies.
///
/// Each reply's body is printed as it comes, one per line. A peer that is `up` answers ECHO and NAME. PEER may be
/// `classic:HOST:PORT`, a program of the 2007 protocol: nothing of that is encrypted or proven.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer call bob ECHO hello
  compeer call 192.168.1.20 NAME
  compeer call bob my/query - --raw --timeout 2m < query > answer
  compeer call classic:192.168.1.9:4444 LIST")]
pub(crate) struct Call {
    /// Name, address, ticket, id or classic:HOST:PORT
    pub(crate) peer: String,
    /// The kind of message, 1 to 64 bytes
    pub(crate) kind: String,
    /// The body; `-` reads it from standard input
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) body: String,
    /// Want no reply: leave as soon as the message is on its way
    #[arg(long, hide_env_values = true, env = "COMPEER_NO_REPLY", value_parser = BoolishValueParser::new())]
    pub(crate) no_reply: bool,
    /// Give up after this long
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "30s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
    /// Print the bodies' bytes exactly, with nothing between them
    #[arg(long, hide_env_values = true, env = "COMPEER_RAW", value_parser = BoolishValueParser::new())]
    pub(crate) raw: bool,
}

impl Call {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if self.peer == "-" && self.body == "-" {
            return Err(CommandError::usage("only one of PEER and BODY can come from standard input"));
        }
        let peer = input::word(&self.peer)?;
        let body = input::bytes(&self.body)?;
        let timeout_ms = self.timeout.as_millis() as u64;
        let call = call::Call { peer, kind: self.kind, no_reply: self.no_reply, timeout_ms };
        Gateway::through(context, Settings::alone(), async |gateway: &Gateway| {
            let mut answers = gateway.open_call(call::KIND, &call).await?;
            // What the node has to say against it comes as an answer.
            let _ = answers.send(call::KIND, body.clone()).await;
            answers.finish();
            while let Some((kind, body)) = next(&mut answers).await? {
                let written = match self.raw && !context.console.json() {
                    true => context.console.raw(&body),
                    false => context.console.show(&Reply::new(kind, &body)),
                };
                // Nobody reads any more: leaving cancels what is left of the request.
                if !written {
                    break;
                }
            }
            Ok(())
        })
        .await
    }
}

/// The next reply of the peer: its kind and its body.
async fn next(answers: &mut Answers) -> Outcome<Option<(String, Bytes)>> {
    let Some(kind) = answers.next().await? else { return Ok(None) };
    let kind = String::from_utf8_lossy(&kind.body).into_owned();
    match answers.next().await? {
        Some(body) if body.kind == call::REPLY_BODY => Ok(Some((kind, body.body))),
        _ => Err(CommandError::failed("a reply came without its body")),
    }
}

/// A body. One that is no text is shown as such to people, and in base64 to programs.
#[derive(Serialize)]
pub(super) struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip)]
    shown: String,
}

impl Body {
    pub(super) fn new(body: &[u8]) -> Body {
        let text = std::str::from_utf8(body).ok();
        let shown = text::escape_bytes_lines(body);
        Body {
            body: text.map(str::to_string),
            body_base64: text.is_none().then(|| data_encoding::BASE64.encode(body)),
            shown: shown.strip_suffix('\n').unwrap_or(&shown).to_string(),
        }
    }

    /// For people: harmless, and without the last line break.
    pub(super) fn shown(&self) -> String {
        self.shown.clone()
    }
}

/// One reply.
#[derive(Serialize)]
struct Reply {
    event: &'static str,
    kind: String,
    #[serde(flatten)]
    body: Body,
}

impl Reply {
    fn new(kind: String, body: &[u8]) -> Reply {
        Reply { event: "reply", kind, body: Body::new(body) }
    }
}

impl Report for Reply {
    fn human(&self) -> String {
        self.body.shown()
    }
}
