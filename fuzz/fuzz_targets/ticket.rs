//! Any text is a ticket or an error, and a ticket that is written again reads the same.
#![no_main]
use compeer_proto::Ticket;

libfuzzer_sys::fuzz_target!(|text: &str| if let Ok((ticket, ext)) = Ticket::decode(text) {
    assert_eq!(Ticket::decode(&ticket.encode(&ext)), Ok((ticket, ext)));
});
