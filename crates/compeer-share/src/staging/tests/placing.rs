//! The way of files from the staging directory to their names.

use super::*;

#[test]
fn a_folder_arrives_with_times_and_modes_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&[
        "album/deep/er/run.sh",
        "album/안녕 세계.txt",
        "album/caf\u{e9}",
        "album/cafe\u{301}",
        "top",
    ]);
    let placed = get(&target(&dir), &files, Existing::Ask).unwrap();
    assert_eq!(placed, [dir.path().join("album"), dir.path().join("top")]);
    for file in files.entries() {
        let path = dir.path().join(&file.path);
        assert_eq!(fs::read(&path).unwrap(), file.path.as_bytes());
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (file.modified, i64::from(file.modified_nanos)));
        let (readers, runners) = (meta.mode() >> 2 & 0o111, meta.mode() & 0o111);
        assert_eq!(runners, if file.executable { readers } else { 0 }, "{:o}", meta.mode());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn an_empty_file_needs_no_writing_and_a_short_one_is_not_placed() {
    let dir = tempfile::tempdir().unwrap();
    let files = Manifest::new(vec![entry("a/empty", b""), entry("a/full", b"full")]).unwrap();
    let placement = decide(&target(&dir), &files, Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();
    let incomplete = |result| matches!(result, Err(StagingError::Incomplete(path)) if path == "a/full");
    assert!(incomplete(staging.place(&files, &placement)));
    staging.file("a/full").unwrap().write_all_at(b"ful", 0).unwrap();
    let length = |path| staging.length(path).unwrap();
    assert_eq!(
        (length("a/full"), length("a/empty"), length("a/no"), length("b/c")),
        (Some(3), Some(0), None, None)
    );
    assert!(incomplete(staging.place(&files, &placement)));
    staging.file("a/full").unwrap().write_all_at(b"full?", 0).unwrap();
    assert!(incomplete(staging.place(&files, &placement)));
    assert!(!dir.path().join("a").exists());
    staging.file("a/full").unwrap().set_len(4).unwrap();
    staging.place(&files, &placement).unwrap();
    assert_eq!(list(&dir), ["a", "a/empty", "a/full"]);
}

/// The staging directory is private, its content is as the receiver's umask says.
#[test]
fn only_the_owner_sees_what_is_not_complete() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let staging = Staging::create(dir.path(), "x").unwrap();
    staging.file("a/b").unwrap();
    assert_eq!(mode(&staging.path()), 0o700);
    assert_eq!(mode(&staging.path().join("a")), mode(&plain));
    assert_eq!(mode(&staging.path().join("a/b")), mode(&plain) & 0o666);
}

#[test]
fn one_process_at_a_time_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Staging::open(dir.path(), "x").unwrap().is_none());
    assert!(Staging::open(&dir.path().join("no/such"), "x").unwrap().is_none());
    let staging = Staging::create(dir.path(), "x").unwrap();
    staging.file("a/b").unwrap().write_all_at(b"kept", 0).unwrap();
    assert!(matches!(Staging::open(dir.path(), "x"), Err(StagingError::Busy(_))));
    assert!(Staging::is_locked(dir.path(), "x"));
    drop(staging);
    assert!(!Staging::is_locked(dir.path(), "x"));
    assert!(matches!(Staging::create(dir.path(), "x"), Err(StagingError::Exists(_))));
    let staging = Staging::open(dir.path(), "x").unwrap().unwrap();
    assert_eq!(io::read_to_string(staging.file("a/b").unwrap()).unwrap(), "kept");
    staging.discard().unwrap();
    assert_eq!(list(&dir), [""; 0]);
}

#[test]
fn what_was_made_for_a_fetch_goes_with_it_but_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("new/er");
    Staging::create(&deep, "x").unwrap().discard().unwrap();
    assert_eq!(list(&dir), [""; 0]);
    let staging = Staging::create(&deep, "x").unwrap();
    fs::write(dir.path().join("new/mine"), "mine").unwrap();
    staging.discard().unwrap();
    assert_eq!(list(&dir), ["new", "new/mine"]);
}

#[test]
fn ids_are_no_paths() {
    let dir = tempfile::tempdir().unwrap();
    for id in ["../x", "a/b", "a\0", "a\\b", &"n".repeat(300)] {
        assert!(matches!(Staging::create(dir.path(), id), Err(StagingError::Name(_))), "{id:?}");
    }
    assert_eq!(list(&dir), [""; 0]);
}

#[test]
fn one_file_can_be_given_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["album/a.jpg"]);
    let mut target = target(&dir);
    target.file_name = Some("b.jpg".into());
    assert_eq!(get(&target, &files, Existing::Ask).unwrap(), [dir.path().join("b.jpg")]);
    assert_eq!(list(&dir), ["b.jpg"]);
    for name in ["../b", "a/b", "..", ""] {
        target.file_name = Some(name.into());
        assert!(matches!(Survey::of(&target, &files, &[0]), Err(StagingError::Name(_))), "{name:?}");
    }
    let two = manifest(&["a", "b"]);
    target.file_name = Some("c".into());
    assert!(Survey::of(&target, &two, &[0, 1]).is_err());
}

/// Only what was selected appears, even when more lies in the staging directory.
#[test]
fn a_folder_with_more_in_it_goes_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["a/1", "a/2", "a/3", "a/b/4"]);
    let target = target(&dir);
    let placement = Survey::of(&target, &files, &[0, 3]).unwrap().decide(Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();
    fill(&staging, &files, &placement).unwrap();
    staging.file("a/2").unwrap();
    staging.place(&files, &placement).unwrap();
    assert_eq!(list(&dir), ["a", "a/1", "a/b", "a/b/4"]);
}

/// Killed between two renames: the next run finds what is done and does the rest.
#[test]
fn placing_can_be_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["a", "b/1", "c"]);
    let target = target(&dir);
    let placement = decide(&target, &files, Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();
    fill(&staging, &files, &placement).unwrap();
    fs::rename(staging.path().join("b"), dir.path().join("b")).unwrap();
    drop(staging);

    let placement = decide(&target, &files, Existing::Ask).unwrap();
    assert_eq!(placement.skipped().collect::<Vec<_>>(), [1]);
    let staging = Staging::open(dir.path(), "x").unwrap().unwrap();
    staging.place(&files, &placement).unwrap();
    assert_eq!(list(&dir), ["a", "b", "b/1", "c"]);
    let mut places: Vec<_> = placement.places().collect();
    places.sort();
    assert_eq!(places, [(0, dir.path().join("a")), (1, dir.path().join("b/1")), (2, dir.path().join("c"))]);
}

/// More folders than are kept open, from several threads, in no order.
#[test]
fn many_folders_are_written_from_many_threads() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<String> = (0..400).map(|n| format!("top/{}/{}/f{n}", n % 20, n % 150)).collect();
    let files = manifest(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let target = target(&dir);
    let placement = decide(&target, &files, Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (staging, files) = (&staging, &files);
            scope.spawn(move || {
                for n in 0..files.entries().len() {
                    let path = &files.entries()[(n * 7 + thread * 100) % 400].path;
                    staging.file(path).unwrap().write_all_at(path.as_bytes(), 0).unwrap();
                }
            });
        }
    });
    staging.place(&files, &placement).unwrap();
    let found = tree(dir.path());
    assert!(paths.iter().all(|path| found.get(path) == Some(path)));
    assert_eq!(found.values().filter(|shown| *shown != "/").count(), 400);
}

#[test]
fn what_a_killed_run_was_trying_out_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["a"]);
    let staging = Staging::create(dir.path(), "x").unwrap();
    fs::create_dir(staging.path().join(".compeer-\u{e9}")).unwrap();
    staging.prepare(&files, &[0], 0).unwrap();
    assert_eq!(fs::read_dir(staging.path()).unwrap().count(), 0);
}
