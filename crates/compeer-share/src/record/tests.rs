//! Records: what is signed is what is read, and each way to be wrong is refused.

use std::time::Duration;

use super::*;

const NOW: u64 = 1_800_000_000;

fn me() -> Identity {
    Identity::from_seed(&[7; 32])
}

fn record() -> ProviderRecord {
    let here = PeerAddr::new(me().peer_id(), ["10.0.0.1:5".parse().unwrap(), "a.example:6".parse().unwrap()]);
    ProviderRecord::sign(&me(), ContentId::of(b"x"), here, true, NOW)
}

/// The same body, changed and signed anew.
fn resigned(change: impl FnOnce(&mut Body)) -> Vec<u8> {
    let mut body = record().body;
    change(&mut body);
    let mut bytes = postcard::to_allocvec(&body).unwrap();
    bytes.extend(me().sign(DOMAIN, &bytes));
    bytes
}

#[test]
fn what_is_signed_is_what_is_read() {
    let record = record();
    let read = ProviderRecord::read(record.bytes()).unwrap();
    assert_eq!(read, record);
    assert_eq!(
        (read.content(), read.peer(), read.is_complete()),
        (ContentId::of(b"x"), me().peer_id(), true)
    );
    assert_eq!(read.provider().addrs.len(), 2);
    assert_eq!((read.issued(), read.expires()), (NOW, NOW + 3600));
}

/// The bytes that `docs/protocol.md` shows.
#[test]
fn the_bytes_stay_what_they_are() {
    let hex = data_encoding::HEXLOWER.encode(&record().bytes()[..record().bytes().len() - SIGNATURE]);
    let content = data_encoding::HEXLOWER.encode(ContentId::of(b"x").as_bytes());
    let id = data_encoding::HEXLOWER.encode(me().peer_id().as_bytes());
    let addrs = "02".to_owned() + "0006" + "0005" + "0a000001" + "020b" + "0006" + "612e6578616d706c65";
    assert_eq!(hex, content + &id + &addrs + "01" + "80a4a7da06" + "90c0a7da06" + "00");
}

#[test]
fn every_bit_counts() {
    let record = record();
    for place in 0..record.bytes().len() * 8 {
        let mut bytes = record.bytes().to_vec();
        bytes[place / 8] ^= 1 << (place % 8);
        assert!(ProviderRecord::read(&bytes).is_err(), "bit {place}");
    }
    for len in 0..record.bytes().len() {
        assert!(ProviderRecord::read(&record.bytes()[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_signature_for_another_purpose_or_of_another_peer_is_none() {
    let record = record();
    let body = &record.bytes()[..record.bytes().len() - SIGNATURE];
    let other = Identity::from_seed(&[8; 32]).sign(DOMAIN, body);
    let purpose = me().sign("compeer/1 other", body);
    for signature in [other, purpose] {
        let bytes = [body, &signature].concat();
        assert_eq!(ProviderRecord::read(&bytes), Err(RecordError::Signature));
    }
}

#[test]
fn times_and_sizes_are_bounded() {
    let too_long = resigned(|body| body.expires += 1);
    assert_eq!(ProviderRecord::read(&too_long), Err(RecordError::Times));
    let backwards = resigned(|body| body.expires = body.issued - 1);
    assert_eq!(ProviderRecord::read(&backwards), Err(RecordError::Times));
    let shorter = resigned(|body| body.expires -= 1);
    assert!(ProviderRecord::read(&shorter).is_ok());
    let addrs = |n: usize| (0..n).map(|i| format!("10.0.0.{i}:5").parse().unwrap()).collect::<Vec<_>>();
    let most = resigned(|body| body.provider.addrs = addrs(MAX_RECORD_ADDRS));
    assert!(ProviderRecord::read(&most).is_ok());
    let too_many = resigned(|body| body.provider.addrs = addrs(MAX_RECORD_ADDRS + 1));
    assert_eq!(ProviderRecord::read(&too_many), Err(RecordError::Malformed));
    let grown = |len: usize| resigned(|body| body.ext.push(9, &vec![0; len]).unwrap());
    let spare = MAX_RECORD - grown(200).len() + 200;
    assert!(ProviderRecord::read(&grown(spare)).is_ok(), "what a later version adds is no error");
    assert_eq!(ProviderRecord::read(&grown(spare + 1)), Err(RecordError::Malformed));
}

#[test]
fn addresses_too_many_or_too_long_are_left_out() {
    let name = |n: usize| format!("{n}.{}:5", ["a"; 120].join(".")).parse().unwrap();
    let addr = PeerAddr::new(me().peer_id(), (0..16).map(name));
    let record = ProviderRecord::sign(&me(), ContentId::of(b""), addr, false, NOW);
    let kept = record.provider().addrs.len();
    assert!((1..MAX_RECORD_ADDRS).contains(&kept), "{kept}");
    assert!(record.bytes().len() <= MAX_RECORD);
    assert_eq!(ProviderRecord::read(record.bytes()), Ok(record));
}

#[test]
fn a_record_is_current_while_it_lasts_give_or_take_a_clock() {
    let record = record();
    let differ = CLOCKS_DIFFER.as_secs();
    for (now, current) in [
        (NOW, true),
        (NOW - differ, true),
        (NOW - differ - 1, false),
        (NOW + 3599 + differ, true),
        (NOW + 3600 + differ, false),
    ] {
        assert_eq!(record.is_current(now), current, "{now}");
    }
    assert_eq!(seconds(UNIX_EPOCH + Duration::from_millis(1999)), 1);
}
