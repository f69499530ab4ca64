//! Arbitrary calls of a journal, crashes among them, then a damage to its file.
//!
//! Bytes are a list of operations. What was covered by a checkpoint is sure after each crash, what was noted and is not
//! sure is unsure, and nothing else is there. A damage may take away the end of the journal; it never adds anything, and
//! the journal can be written on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use compeer_share::RangeSet;
use compeer_share::journal::{self, Journal};

const GROUPS: u64 = 256;

/// A file that is gone afterwards. By hand: the fuzzer has a lock file of its own, and this is no reason to lengthen it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Scratch(std::env::temp_dir().join(format!("compeer-journal-{}-{number}", std::process::id())))
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs a list of operations.
pub(crate) fn run(data: &[u8]) {
    // Bytes that nobody wrote: an error or nothing much, never a panic.
    let _ = journal::recover(data);

    let path = Scratch::new();
    let mut journal = Journal::create(&path, [5; 32], GROUPS).unwrap();
    let (mut mark, mut ever) = (journal.mark(), RangeSet::new());
    // Sure; noted before the mark; noted after it; noted in an earlier run, and not again.
    let (mut sure, mut early, mut late, mut old) = <(RangeSet, RangeSet, RangeSet, RangeSet)>::default();
    let mut ops = data.chunks_exact(3);
    for op in &mut ops {
        let start = u64::from(op[1]);
        let range = start..(start + 1 + u64::from(op[2] % 32)).min(GROUPS);
        match op[0] % 8 {
            0 => {
                journal.checkpoint(mark).unwrap();
                sure = sure.union(&early);
                (early, old) = Default::default();
            }
            1 => {
                mark = journal.mark();
                early = early.union(&late);
                late = RangeSet::new();
            }
            2 => {
                drop(journal);
                let (again, found) = Journal::open(&path).unwrap();
                journal = again;
                mark = journal.mark();
                old = old.union(&early).union(&late).difference(&sure);
                (early, late) = Default::default();
                assert_eq!((&found.sure, &found.unsure), (&sure, &old));
            }
            3 => {
                journal.forget(range.clone()).unwrap();
                [&mut sure, &mut early, &mut late, &mut old]
                    .into_iter()
                    .for_each(|set| set.remove(range.clone()));
            }
            _ => {
                journal.append(range.clone()).unwrap();
                ever.insert(range.clone());
                late.insert(range.clone());
                old.remove(range);
            }
        }
    }
    drop(journal);

    let mut bytes = fs::read(&*path).unwrap();
    let rest = ops.remainder();
    let at = rest.iter().fold(7usize, |at, byte| at * 251 + usize::from(*byte)) * 31 % bytes.len();
    match rest {
        [] => bytes.truncate(at),
        [bit] => bytes[at] ^= 1 << (bit % 8),
        more => bytes.splice(at.., more.iter().copied().cycle().take(100)).for_each(drop),
    }
    fs::write(&*path, &bytes).unwrap();
    let Ok((mut journal, found)) = Journal::open(&path) else { return };
    assert!(found.sure.intersection(&found.unsure).is_empty());
    assert!(found.sure.union(&found.unsure).difference(&ever).is_empty(), "nothing that was never noted");
    let (mark, all) =
        (journal.append(0..GROUPS).map(|()| journal.mark()).unwrap(), RangeSet::from_range(0..GROUPS));
    journal.checkpoint(mark).unwrap();
    assert_eq!(Journal::open(&path).unwrap().1.sure, all);
}
