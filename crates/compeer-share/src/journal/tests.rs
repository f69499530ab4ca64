//! Recovery after every kind of crash: cut, changed, forged, twice in a row.
#![allow(clippy::single_range_in_vec_init, reason = "a set of one range")]

use proptest::prelude::*;

use super::*;

const ROOT: [u8; 32] = [9; 32];

fn set(ranges: &[Range<u64>]) -> RangeSet {
    ranges.iter().cloned().collect()
}

fn found(path: &Path) -> (RangeSet, RangeSet) {
    let (_, found) = Journal::open(path).unwrap();
    assert_eq!((found.root, found.groups), (ROOT, 1000));
    (found.sure, found.unsure)
}

fn checkpoint(journal: &mut Journal) {
    let mark = journal.mark();
    journal.checkpoint(mark).unwrap();
}

fn begun(dir: &tempfile::TempDir) -> (PathBuf, Journal) {
    let path = dir.path().join("a.journal");
    let journal = Journal::create(&path, ROOT, 1000).unwrap();
    (path, journal)
}

#[test]
fn what_is_noted_before_a_checkpoint_is_sure_and_after_it_unsure() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut journal) = begun(&dir);
    assert_eq!(found(&path), (set(&[]), set(&[])));
    journal.append(0..10).unwrap();
    assert_eq!(found(&path), (set(&[]), set(&[0..10])));
    checkpoint(&mut journal);
    journal.append(20..30).unwrap();
    journal.append(5..15).unwrap();
    assert_eq!(found(&path), (set(&[0..10]), set(&[10..15, 20..30])));
    checkpoint(&mut journal);
    assert_eq!(found(&path), (set(&[0..15, 20..30]), set(&[])));
}

/// Segments arrive while the data before them is synced.
#[test]
fn a_checkpoint_covers_what_was_noted_before_its_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut journal) = begun(&dir);
    journal.append(0..10).unwrap();
    let mark = journal.mark();
    journal.append(10..20).unwrap();
    journal.forget(2..4).unwrap();
    journal.checkpoint(mark).unwrap();
    assert_eq!(found(&path), (set(&[0..2, 4..10]), set(&[10..20])));
    checkpoint(&mut journal);
    assert_eq!(found(&path), (set(&[0..2, 4..20]), set(&[])));
}

/// Verified again or gone: a checkpoint never makes sure what nobody looked at.
#[test]
fn unsure_groups_are_noted_again_or_dropped_by_the_next_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut journal) = begun(&dir);
    journal.append(0..10).unwrap();
    checkpoint(&mut journal);
    journal.append(10..40).unwrap();
    drop(journal);

    // Two crashes in a row lose nothing.
    assert_eq!(found(&path), (set(&[0..10]), set(&[10..40])));
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.append(12..20).unwrap();
    journal.append(30..31).unwrap();
    assert_eq!(found(&path), (set(&[0..10]), set(&[10..40])));
    checkpoint(&mut journal);
    assert_eq!(found(&path), (set(&[0..10, 12..20, 30..31]), set(&[])));
    journal.append(15..50).unwrap();
    assert_eq!(found(&path), (set(&[0..10, 12..20, 30..31]), set(&[20..30, 31..50])));
}

#[test]
fn what_is_forgotten_is_gone_at_once_sure_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut journal) = begun(&dir);
    journal.append(0..10).unwrap();
    checkpoint(&mut journal);
    journal.append(10..20).unwrap();
    journal.forget(5..15).unwrap();
    assert_eq!(found(&path), (set(&[0..5]), set(&[15..20])));
    journal.append(5..6).unwrap();
    assert_eq!(found(&path), (set(&[0..5]), set(&[5..6, 15..20])), "it may be other bytes now");
    checkpoint(&mut journal);
    assert_eq!(found(&path), (set(&[0..6, 15..20]), set(&[])));
}

#[test]
fn a_torn_tail_is_cut_off_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut journal) = begun(&dir);
    journal.append(0..1).unwrap();
    checkpoint(&mut journal);
    journal.append(1..2).unwrap();
    journal.append(2..3).unwrap();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        match Journal::open(&path) {
            Err(JournalError::Damaged) => assert!(cut < HEAD),
            Err(error) => panic!("{error}"),
            Ok((mut journal, got)) => {
                let records = (cut - HEAD) / RECORD;
                assert_eq!(got.sure, set(if records >= 2 { &[0..1] } else { &[] }), "cut at {cut}");
                let again = u64::from(!got.unsure.is_empty());
                assert_eq!(fs::metadata(&path).unwrap().len(), offset(records as u64 + again));
                journal.append(500..501).unwrap();
                drop(journal);
                let (_, got) = Journal::open(&path).unwrap();
                assert!(got.unsure.contains(500));
            }
        }
    }
}

/// Records that were cut off stay so: they do not come back behind a new one.
#[test]
fn a_bit_changed_ends_the_journal_there() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut journal) = begun(&dir);
    for n in 0..4 {
        journal.append(n * 10..n * 10 + 5).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok((got, records)) = recover(&bytes[..]) else {
            assert!(bit / 8 < HEAD);
            continue;
        };
        assert_eq!(records as usize, (bit / 8 - HEAD) / RECORD, "bit {bit}");
        assert_eq!(got.unsure.len(), records * 5);
    }
    let second = offset(1) as usize;
    let mut bytes = whole;
    bytes[second] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.append(10..15).unwrap();
    assert_eq!(found(&path).1, set(&[0..5, 10..15]));
}

#[test]
fn records_of_another_share_or_place_do_not_count() {
    let one = record(&ROOT, 0, Kind::Have, &(0..5));
    let file = |record: &[u8]| [&head(&ROOT, 1000), record].concat();
    assert_eq!(recover(&file(&one)[..]).unwrap().1, 1);
    assert_eq!(recover(&file(&record(&[8; 32], 0, Kind::Have, &(0..5)))[..]).unwrap().1, 0);
    assert_eq!(recover(&file(&record(&ROOT, 1, Kind::Have, &(0..5)))[..]).unwrap().1, 0);
    assert_eq!(
        recover(&file(&record(&ROOT, 0, Kind::Have, &(999..1001)))[..]).unwrap().1,
        0,
        "beyond the end"
    );
    assert_eq!(recover(&file(&record(&ROOT, 0, Kind::Have, &(5..5)))[..]).unwrap().1, 0, "empty");
}

/// As long as what it says, not as long as what happened.
#[test]
fn a_long_journal_is_written_anew_at_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    let groups = 3 * COMPACT_RECORDS;
    let mut journal = Journal::create(&path, ROOT, groups).unwrap();
    for n in 0..groups {
        journal.append(n..n + 1).unwrap();
        if n % 1024 == 0 {
            let mark = journal.mark();
            journal.append(n..n + 1).unwrap();
            journal.checkpoint(mark).unwrap();
            let (_, got) = Journal::open(&path).unwrap();
            assert_eq!((got.sure, got.unsure), (set(&[0..n + 1]), set(&[])));
            assert!(fs::metadata(&path).unwrap().len() <= offset(COMPACT_RECORDS + 1100));
        }
    }
    journal.append(0..1).unwrap();
    drop(journal);
    let (mut journal, got) = Journal::open(&path).unwrap();
    assert_eq!(got.sure.union(&got.unsure), set(&[0..groups]));
    assert!(got.sure.contains_range(&(0..groups - 1023)));
    // The new file is the one that is written on.
    journal.append(groups - 1..groups).unwrap();
    checkpoint(&mut journal);
    let (journal, got) = Journal::open(&path).unwrap();
    assert!(got.sure.contains(groups - 1) && got.unsure.is_empty());
    journal.remove().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

proptest! {
    /// A crash after any operation, against a model: what each group is.
    #[test]
    fn recovery_agrees_with_a_model(ops in proptest::collection::vec((0u8..9, 0u64..100, 1u64..20), 0..80)) {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut journal) = begun(&dir);
        let mut mark = journal.mark();
        // Sure; noted before the mark; noted after it; unsure from an earlier run and not noted again.
        let (mut sure, mut early, mut late, mut old) = <(RangeSet, RangeSet, RangeSet, RangeSet)>::default();
        for (op, start, len) in ops {
            let range = start..start + len;
            match op {
                0 => {
                    journal.checkpoint(mark).unwrap();
                    sure = sure.union(&early);
                    (early, old) = Default::default();
                }
                1 => {
                    drop(journal);
                    let (again, got) = Journal::open(&path).unwrap();
                    journal = again;
                    mark = journal.mark();
                    old = old.union(&early).union(&late).difference(&sure);
                    (early, late) = Default::default();
                    prop_assert_eq!(&got.sure, &sure);
                    prop_assert_eq!(&got.unsure, &old);
                }
                2 => {
                    mark = journal.mark();
                    early = early.union(&late);
                    late = RangeSet::new();
                }
                3 => {
                    journal.forget(range.clone()).unwrap();
                    for set in [&mut sure, &mut early, &mut late, &mut old] {
                        set.remove(range.clone());
                    }
                }
                _ => {
                    journal.append(range.clone()).unwrap();
                    late.insert(range.clone());
                    old.remove(range);
                }
            }
        }
    }
}
