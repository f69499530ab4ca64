//! `compeer call PEER KIND [BODY]`: a request of any kind, its replies printed as they come.
//!
//! Replies go to standard output and nothing else does, so that they can be piped; `--raw` gives their bytes exactly.
//! What the handler on the other side calls an error ends with exit code 1, after the replies that came before it.
//! With `--spread` there are many requests and many peers: `call/spread.rs`.

mod spread;

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
/// Each reply's body is printed as it comes, one per line; bytes that are no text are escaped, also into a pipe, and --raw
/// gives them as they are. A peer that is `up` answers ECHO and NAME; `compeer on` makes it
/// answer more. PEER may be `classic:HOST:PORT`, a program of the 2007 protocol: nothing of that is encrypted or proven.
///
/// With --spread, each line of standard input is a request, asked of any of the peers that answer KIND: those connected that
/// are paired or joined (--anyone: all), this one, or those named by --to. Each has as many at a time as it has room for.
/// What came of each line is printed as one line, in their order; of a line that failed, an empty one, and why on standard
/// error. The lines of a peer that is lost go to others; half-way lost, a line may have run there too. A line that is overdue
/// is asked of another peer as well, when one has nothing else to do; the first answer counts.
#[derive(Args, Debug)]
#[command(
    override_usage = "compeer call [OPTIONS] <PEER> <KIND> [BODY]\n       compeer call [OPTIONS] --spread <KIND> -",
    after_help = "\
Examples:
  compeer call bob ECHO hello
  compeer call 192.168.1.20 NAME
  compeer call bob PICTURE --raw | od -c
  compeer call bob my/query - --raw --timeout 2m < query > answer
  compeer call classic:192.168.1.9:4444 LIST
  compeer call --spread FACTOR - < numbers > factors"
)]
pub(crate) struct Call {
    /// Name, address, ticket, id or classic:HOST:PORT
    #[arg(required_unless_present = "spread")]
    pub(crate) peer: Option<String>,
    /// The kind of message, 1 to 64 bytes
    #[arg(required_unless_present = "spread")]
    pub(crate) kind: Option<String>,
    /// The body; `-` reads it from standard input
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) body: String,
    /// Want no reply: leave as soon as the message is on its way
    #[arg(long, hide_env_values = true, env = "COMPEER_NO_REPLY", value_parser = BoolishValueParser::new())]
    pub(crate) no_reply: bool,
    /// Give up after this long; with --spread: when nobody answers KIND for this long
    #[arg(long, hide_env_values = true, env = "COMPEER_TIMEOUT", value_name = "D", default_value = "30s", value_parser = crate::duration::parse)]
    pub(crate) timeout: Duration,
    /// Print the bodies' bytes exactly, with nothing between them
    #[arg(long, hide_env_values = true, env = "COMPEER_RAW", value_parser = BoolishValueParser::new())]
    pub(crate) raw: bool,
    /// Ask KIND once for each line of standard input, of all peers that answer it
    #[arg(
        long,
        hide_env_values = true,
        env = "COMPEER_SPREAD",
        value_name = "KIND",
        conflicts_with = "no_reply"
    )]
    pub(crate) spread: Option<String>,
    /// With --spread: ask only this peer; repeatable
    #[arg(long, hide_env_values = true, env = "COMPEER_TO", value_name = "PEER", value_delimiter = ',')]
    pub(crate) to: Vec<String>,
    /// With --spread: ask every connected peer, not only those paired or joined; they see the lines
    #[arg(long, hide_env_values = true, env = "COMPEER_ANYONE", value_parser = BoolishValueParser::new())]
    pub(crate) anyone: bool,
    /// With --spread: after how long a line is overdue [default: four times what half of the lines take, 2s at least; --timeout until five are done]
    #[arg(long, hide_env_values = true, env = "COMPEER_OVERDUE", value_name = "D", value_parser = crate::duration::parse)]
    pub(crate) overdue: Option<Duration>,
    /// With --spread: print what comes of the lines as it comes
    #[arg(long, hide_env_values = true, env = "COMPEER_UNORDERED", value_parser = BoolishValueParser::new())]
    pub(crate) unordered: bool,
}

impl Call {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        if let Some(kind) = &self.spread {
            return self.spread(kind, context).await;
        }
        if self.unordered || self.anyone || self.overdue.is_some() || !self.to.is_empty() {
            return Err(CommandError::usage("--to, --anyone, --overdue and --unordered go with --spread"));
        }
        let peer = self.peer.unwrap_or_default();
        if peer == "-" && self.body == "-" {
            return Err(CommandError::usage("only one of PEER and BODY can come from standard input"));
        }
        let peer = input::word(&peer)?;
        let body = input::bytes(&self.body)?;
        let timeout_ms = self.timeout.as_millis() as u64;
        let call =
            call::Call { peer, kind: self.kind.unwrap_or_default(), no_reply: self.no_reply, timeout_ms };
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
