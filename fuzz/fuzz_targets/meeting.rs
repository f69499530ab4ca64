//! Any bytes are a message of a meeting or an error, and one that is written again reads the same.
#![no_main]
use compeer_share::code::message::Message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| if let Ok(message) = Message::decode(bytes) {
    assert_eq!(Message::decode(&message.encode()), Ok(message));
});
