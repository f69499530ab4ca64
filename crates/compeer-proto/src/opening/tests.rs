use super::*;

fn opening() -> Opening {
    Opening { session: *b"0123456789abcdef", stream: 2, kind: Kind::from_static("FILE") }
}

/// The bytes that `docs/protocol.md` shows.
#[test]
fn bytes_are_the_golden_ones() {
    let golden = include_str!("../../tests/golden/opening.txt");
    let hex = |bytes: Vec<u8>| data_encoding::HEXLOWER.encode(&bytes);
    let lines = [
        format!("opening: {}", hex(opening().encode())),
        format!("accepted: {}", hex(Answer::Accepted.encode())),
        format!("no handler: {}", hex(Answer::Refused(Outcome::NoHandler).encode())),
        format!("refused: {}", hex(Answer::Refused(Outcome::Failed("no".into())).encode())),
    ];
    assert_eq!(golden.lines().collect::<Vec<_>>(), lines);
}

fn body(framed: &[u8]) -> &[u8] {
    let (prefix, body) = framed.split_first_chunk().unwrap();
    assert_eq!(body_len(*prefix), Ok(body.len()));
    body
}

#[test]
fn they_read_as_they_were_written() {
    assert_eq!(Opening::decode(body(&opening().encode())), Ok(opening()));
    let refusals = [
        Outcome::Failed("no".into()),
        Outcome::Failed(String::new()),
        Outcome::NoHandler,
        Outcome::Busy,
        Outcome::Denied,
        Outcome::Cancelled,
    ];
    for answer in refusals.map(Answer::Refused).into_iter().chain([Answer::Accepted]) {
        assert_eq!(Answer::decode(body(&answer.encode())), Ok(answer));
    }
}

#[test]
fn words_are_cut_to_what_fits() {
    let longest = Answer::Refused(Outcome::Failed("ä".repeat(limits::MAX_TEXT / 2)));
    let longer = Answer::Refused(Outcome::Failed("ä".repeat(limits::MAX_TEXT)));
    assert_eq!(Answer::decode(body(&longer.encode())), Ok(longest));
    let by_another = [&[1, 0x81, 8][..], &[b'x'; limits::MAX_TEXT + 1]].concat();
    assert_eq!(Answer::decode(&by_another), Err(OpeningError));
}

#[test]
fn lengths_are_bounded() {
    let most = u16::try_from(MAX_OPENING - 2).unwrap();
    assert_eq!(body_len(most.to_be_bytes()), Ok(MAX_OPENING - 2));
    assert_eq!(body_len((most + 1).to_be_bytes()), Err(OpeningError));
    assert_eq!(body_len([0, 0]), Err(OpeningError));
}

#[test]
fn what_is_short_long_or_without_a_kind_is_refused() {
    let whole = opening().encode();
    for end in 2..whole.len() {
        assert_eq!(Opening::decode(&whole[2..end]), Err(OpeningError));
    }
    assert_eq!(Opening::decode(&[body(&whole), &[0]].concat()), Err(OpeningError));
    assert_eq!(Opening::decode(&[&[0; 17][..], &[0]].concat()), Err(OpeningError));
    // A status of a newer version is a refusal in its words.
    let newer = Answer::Refused(Outcome::Failed("x".into()));
    assert_eq!(Answer::decode(&[99, 1, b'x']), Ok(newer));
    assert_eq!(Answer::decode(&[0, 0, 0]), Err(OpeningError));
}
