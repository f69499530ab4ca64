//! The catalogue: what words find, and that no text is a wrong search.

use proptest::prelude::*;

use super::*;

fn share(id: u64, name: &str) -> Published {
    let content = ContentId::of(name.as_bytes());
    Published { id, content, secret: [id as u8; 16], name: name.into(), bytes: 1 << 40, files: 2 }
}

/// A catalogue of these shares: a name, and names of files.
fn catalogue(shares: &[(&str, &[&str])]) -> Catalogue {
    let catalogue = Catalogue::in_memory().unwrap();
    for (id, (name, files)) in (1..).zip(shares) {
        catalogue.add(&share(id, name), files.iter().copied()).unwrap();
    }
    catalogue
}

#[track_caller]
fn finds(catalogue: &Catalogue, words: &str, ids: &[u64]) {
    let found: Vec<_> = catalogue.search(words, 10).unwrap().iter().map(|share| share.id).collect();
    assert_eq!(found, ids, "{words:?}");
}

#[test]
fn words_are_found_whatever_their_case_and_accents() {
    let catalogue = catalogue(&[
        ("Holiday photos", &["Holiday photos/IMG_2021-08.jpg", "Holiday photos/Café Müller.jpg"]),
        ("한국 음악", &["한국 음악/노래.flac"]),
        ("C++ notes.pdf", &[]),
    ]);
    finds(&catalogue, "HOLIDAY", &[1]);
    finds(&catalogue, "cafe muller", &[1]);
    finds(&catalogue, "CAFÉ", &[1]);
    finds(&catalogue, "img 2021 jpg", &[1]);
    finds(&catalogue, "음악", &[2]);
    finds(&catalogue, "c++ notes", &[3]);
    finds(&catalogue, "notes.pdf", &[3]);
    finds(&catalogue, "holiday notes", &[]);
    finds(&catalogue, "nothing", &[]);
}

#[test]
fn only_the_last_word_may_be_a_beginning() {
    let catalogue = catalogue(&[("Holiday photos", &[]), ("Holidays of 1999", &[])]);
    finds(&catalogue, "holi", &[1, 2]);
    finds(&catalogue, "holiday ph", &[1]);
    finds(&catalogue, "holi photos", &[]);
}

#[test]
fn the_name_of_a_share_counts_for_more_than_names_of_files() {
    let files: &[&str] = &["other/tiger.txt"];
    let catalogue = catalogue(&[("other", files), ("tiger", &[]), ("third", files)]);
    let found = catalogue.search("tiger", 10).unwrap();
    assert_eq!(found[0], share(2, "tiger"));
    assert_eq!(found.len(), 3);
    assert_eq!(catalogue.search("tiger", 1).unwrap().len(), 1);
}

#[test]
fn a_share_is_replaced_listed_and_taken_out() {
    let catalogue = catalogue(&[("one", &[]), ("two", &[]), ("three", &[])]);
    catalogue.add(&share(2, "deux"), []).unwrap();
    finds(&catalogue, "two", &[]);
    finds(&catalogue, "deux", &[2]);
    let ids = |list: Vec<Published>| list.iter().map(|share| share.id).collect::<Vec<_>>();
    assert_eq!(ids(catalogue.list(0, 2).unwrap()), [1, 2]);
    assert_eq!(ids(catalogue.list(2, 9).unwrap()), [3]);
    assert!(catalogue.list(u64::MAX, 9).unwrap().is_empty());
    assert_eq!(catalogue.get(3).unwrap(), Some(share(3, "three")));
    assert!(catalogue.remove(3).unwrap() && !catalogue.remove(3).unwrap());
    finds(&catalogue, "three", &[]);
    assert_eq!(catalogue.get(3).unwrap(), None);
}

#[test]
fn no_words_find_nothing() {
    let catalogue = catalogue(&[("one", &[]), ("*** --- \"", &[])]);
    for words in ["", "  ", "\"", "*", "---", "\0", "\"\"", "( )"] {
        finds(&catalogue, words, &[]);
    }
    finds(&catalogue, "--- one", &[1]);
}

#[test]
fn operators_are_words() {
    let catalogue = catalogue(&[("one AND two", &[]), ("NEAR the name:x", &[])]);
    for (words, ids) in [
        ("one AND two", &[1][..]),
        ("one OR nothing", &[]),
        ("NOT one", &[]),
        ("NEAR(the name)", &[2]),
        ("NEAR(name the)", &[]),
        ("near", &[2]),
        ("name:x", &[2]),
        ("name : x", &[2]),
        ("^one", &[1]),
        ("one*", &[1]),
        ("{one two}", &[1]),
    ] {
        finds(&catalogue, words, ids);
    }
}

#[test]
fn names_and_texts_are_cut_at_their_bounds() {
    let catalogue = Catalogue::in_memory().unwrap();
    let long = "ä".repeat(MAX_LISTED_NAME);
    let file = "x".repeat(MAX_LISTED_TEXT / 2 - 4);
    let files = [&file[..], "early", &file, "late"];
    catalogue.add(&share(1, &long), files).unwrap();
    assert_eq!(catalogue.get(1).unwrap().unwrap().name.len(), MAX_LISTED_NAME / 2 * 2);
    finds(&catalogue, "early", &[1]);
    finds(&catalogue, "late", &[]);
    let many = vec!["early"; 2 * MAX_WORDS].join(" ") + " nothing";
    finds(&catalogue, &many, &[1]);
}

#[test]
fn it_may_be_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Catalogue::with(Connection::open(dir.path().join("db")).unwrap()).unwrap();
    open().add(&share(1, "kept"), []).unwrap();
    finds(&open(), "kept", &[1]);
}

proptest! {
    #[test]
    fn any_text_is_a_search(words in "\\PC{0,40}|[\\x00-\\x7f]{0,40}|[\"*():^ a\\-+]{0,40}") {
        catalogue(&[("a b", &["a/b"])]).search(&words, 10).unwrap();
    }
}
