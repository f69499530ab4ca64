//! Any bytes are a message or a record of the overlay or an error; what is read is written back as it came or shorter.
#![no_main]
use compeer_proto::overlay::{Answer, Find, Record};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(find) = Find::decode(data) {
        assert_eq!(Find::decode(&find.encode()), Ok(find));
    }
    if let Ok(answer) = Answer::decode(data) {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    let signature = compeer::Identity::from_seed(&[1; 32]).sign("compeer/1 overlay record", data);
    for bytes in [data, &[data, &signature].concat()] {
        assert!(Record::read(bytes).is_ok_and(|record| record.bytes() == bytes) || Record::read(bytes).is_err());
    }
});
