//! What stands at the target already.

use super::*;

/// One file or folder that is there, and what each answer makes of `a/x.txt` arriving.
#[test]
fn each_answer_to_each_obstacle() {
    type Make = fn(&Path);
    let file: Make = |dir| {
        fs::create_dir(dir.join("a")).unwrap();
        fs::write(dir.join("a/x.txt"), "mine").unwrap();
    };
    let symlink_file: Make = |dir| {
        fs::create_dir(dir.join("a")).unwrap();
        fs::write(dir.join("aim"), "mine").unwrap();
        symlink("../aim", dir.join("a/x.txt")).unwrap();
    };
    let folder: Make = |dir| {
        fs::create_dir_all(dir.join("a/x.txt")).unwrap();
        fs::write(dir.join("a/x.txt/y"), "mine").unwrap();
    };
    let empty_folder: Make = |dir| fs::create_dir_all(dir.join("a/x.txt")).unwrap();
    let file_above: Make = |dir| fs::write(dir.join("a"), "mine").unwrap();
    let symlink_above: Make = |dir| {
        fs::create_dir(dir.join("aim")).unwrap();
        symlink("aim", dir.join("a")).unwrap();
    };
    let fifo: Make = |dir| {
        fs::create_dir(dir.join("a")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join("a/x.txt"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
    };
    // (obstacle, overwrite helps, rename helps, what Ask names)
    let table = [
        (file, true, true, What::File),
        (symlink_file, true, true, What::Symlink),
        (folder, false, true, What::Folder),
        (empty_folder, false, true, What::Folder),
        (file_above, false, false, What::File),
        (symlink_above, false, false, What::Symlink),
        (fifo, false, true, What::Other),
    ];
    let files = manifest(&["a/new", "a/x.txt"]);
    for (number, (make, overwrites, renames, what)) in table.into_iter().enumerate() {
        for (existing, works) in
            [(Existing::Ask, false), (Existing::Overwrite, overwrites), (Existing::Rename, renames)]
        {
            let case = format!("obstacle {number}, {existing:?}");
            let dir = tempfile::tempdir().unwrap();
            make(dir.path());
            let before = tree(dir.path());
            let got = get(&target(&dir), &files, existing);
            let mut after = tree(dir.path());
            match got {
                Err(StagingError::InTheWay(conflicts)) => {
                    assert!(!works, "{case}");
                    assert!(conflicts.iter().any(|one| one.what == what), "{case}: {conflicts:?}");
                    assert_eq!(after, before, "{case}");
                }
                Err(error) => panic!("{case}: {error}"),
                Ok(_) => {
                    assert!(works, "{case}");
                    let name = if existing == Existing::Rename { "a/x (1).txt" } else { "a/x.txt" };
                    assert_eq!(after.remove(name).as_deref(), Some("a/x.txt"), "{case}");
                    assert_eq!(after.remove("a/new").as_deref(), Some("a/new"), "{case}");
                    // Everything else is as it was: the aim of the link too.
                    let mut left = before;
                    left.remove(name);
                    assert_eq!(after, left, "{case}");
                }
            }
        }
    }
}

#[test]
fn equal_files_are_skipped_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["a/1", "a/2", "a/3", "b"]);
    get(&target(&dir), &files, Existing::Ask).unwrap();
    fs::remove_file(dir.path().join("a/2")).unwrap();
    fs::write(dir.path().join("a/3"), "a/?").unwrap(); // same size
    let one = stamp(&dir.path().join("a/1"));

    let survey = Survey::of(&target(&dir), &files, &all(&files)).unwrap();
    assert_eq!(survey.equal().collect::<Vec<_>>(), [0, 3]);
    let conflicts = survey.conflicts();
    assert_eq!((conflicts.len(), conflicts[0].file, conflicts[0].what), (1, 2, What::File));
    let message = survey.decide(Existing::Ask).unwrap_err().to_string();
    assert!(message.starts_with("one file is in the way: ") && message.ends_with("a/3"), "{message}");

    get(&target(&dir), &files, Existing::Overwrite).unwrap();
    assert_eq!(fs::read(dir.path().join("a/3")).unwrap(), b"a/3");
    assert_eq!(stamp(&dir.path().join("a/1")), one);
}

#[test]
fn names_beside_those_taken() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{}.txt", "가".repeat(83));
    let names = [".hidden", "a.tar.gz", "noext", "x (1).txt", "x.txt", &long];
    for name in names.iter().chain(&["x (2).txt"]) {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    // `x (3).txt` is another file of the share.
    let files = manifest(&[&names[..], &["x (3).txt"]].concat());
    get(&target(&dir), &files, Existing::Rename).unwrap();
    let found = tree(dir.path());
    for (name, from) in [
        (".hidden (1)", ".hidden"),
        ("a.tar (1).gz", "a.tar.gz"),
        ("noext (1)", "noext"),
        ("x (1) (1).txt", "x (1).txt"),
        ("x (4).txt", "x.txt"),
        ("x (3).txt", "x (3).txt"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(from), "{name}: {found:?}");
    }
    let cut = found.iter().find(|(_, content)| **content == long).unwrap().0;
    assert!(cut.ends_with("가 (1).txt") && cut.len() <= 255, "{cut}");
    assert_eq!(found.values().filter(|content| *content == "mine").count(), 7);
}

/// Between the question and the end of a fetch something comes about.
#[test]
fn what_appears_meanwhile_is_never_replaced_unless_that_was_asked_for() {
    for (existing, replaced) in
        [(Existing::Ask, false), (Existing::Rename, false), (Existing::Overwrite, true)]
    {
        for (path, what) in [("b/2", What::File), ("b/2/deeper", What::Folder)] {
            let dir = tempfile::tempdir().unwrap();
            let files = manifest(&["a", "b/1", "b/2", "c"]);
            let target = target(&dir);
            let placement = decide(&target, &files, existing).unwrap();
            let staging = Staging::create(dir.path(), "x").unwrap();
            fill(&staging, &files, &placement).unwrap();
            let new = dir.path().join(path);
            fs::create_dir_all(new.parent().unwrap()).unwrap();
            fs::write(&new, "mine").unwrap();
            let before = tree(dir.path());

            match staging.place(&files, &placement) {
                Ok(_) => {
                    assert!(replaced && what == What::File);
                    assert_eq!(fs::read(&new).unwrap(), b"b/2");
                }
                Err(StagingError::InTheWay(conflicts)) => {
                    assert!(!(replaced && what == What::File));
                    assert_eq!((conflicts.len(), conflicts[0].file, conflicts[0].what), (1, 2, what));
                    assert_eq!(tree(dir.path()), before, "nothing is placed, nothing is lost");
                    // The receiver is asked again, and nothing is fetched again.
                    let placement = decide(&target, &files, Existing::Rename).unwrap();
                    staging.place(&files, &placement).unwrap();
                    assert_eq!(fs::read(&new).unwrap(), b"mine");
                    assert_eq!(fs::read(dir.path().join("b/2 (1)")).unwrap(), b"b/2");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The race that looking first cannot see: the rename itself must not replace.
#[test]
fn a_rename_replaces_neither_file_nor_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    let at = ambient(dir.path()).unwrap();
    for name in ["file", "taken"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    for name in ["folder", "empty"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("folder/x"), "x").unwrap();
    for (from, to) in [("file", "taken"), ("folder", "empty"), ("file", "empty"), ("folder", "taken")] {
        let error = system::rename_new(&at, from, &at, to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{from} {to}");
    }
    system::rename_new(&at, "folder", &at, "new").unwrap();
    assert_eq!(list(&dir), ["empty", "file", "new", "new/x", "taken"]);
}

/// The same for whole placements: what came about after the last look.
#[test]
fn what_appears_at_the_last_moment_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["a/x"]);
    let mut placement = decide(&target(&dir), &files, Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();
    fill(&staging, &files, &placement).unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/x"), "mine").unwrap();
    let before = tree(dir.path());
    let there = Dirs::new(ambient(dir.path()).unwrap());
    let mut changed = Default::default();
    assert!(!staging.place_folder("a", &there, &mut changed).unwrap());
    let one = &mut placement.moves[0];
    let refused = staging.place_file(&files, one, &there, &mut changed);
    assert!(matches!(refused, Err(StagingError::InTheWay(ref conflicts)) if conflicts[0].what == What::File));
    assert_eq!((tree(dir.path()), changed.len()), (before, 0));
    one.over = true;
    staging.place_file(&files, one, &there, &mut changed).unwrap();
    assert_eq!(fs::read(dir.path().join("a/x")).unwrap(), b"a/x");
}

/// A get that fails, one that is refused, one that is discarded: 200 files stay what they were.
#[test]
fn two_hundred_files_of_the_receiver_are_untouched() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..200 {
        let path = dir.path().join(format!("album/{}/{n}", n % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("mine {n}")).unwrap();
    }
    let stamps = || -> Vec<_> {
        let files = tree(dir.path()).into_iter().filter(|(_, shown)| shown != "/");
        files.map(|(path, _)| (stamp(&dir.path().join(&path)), path)).collect()
    };
    let before = stamps();
    assert_eq!(before.len(), 200);
    // Half of the names are taken.
    let paths: Vec<String> = (100..300).map(|n| format!("album/{}/{n}", n % 7)).collect();
    let files = manifest(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let target = target(&dir);

    // Refused.
    match get(&target, &files, Existing::Ask) {
        Err(StagingError::InTheWay(conflicts)) => assert_eq!(conflicts.len(), 100),
        other => panic!("{other:?}"),
    }
    assert_eq!(stamps(), before);
    // Failed: half of it arrives, then it is discarded.
    for existing in [Existing::Overwrite, Existing::Rename] {
        let placement = decide(&target, &files, existing).unwrap();
        let staging = Staging::create(dir.path(), "x").unwrap();
        for one in &placement.moves[..placement.moves.len() / 2] {
            let path = &files.entries()[one.file].path;
            staging.file(path).unwrap().write_all_at(path.as_bytes(), 0).unwrap();
        }
        assert!(matches!(staging.place(&files, &placement), Err(StagingError::Incomplete(_))));
        staging.discard().unwrap();
        assert_eq!(stamps(), before);
    }
    // And one that succeeds beside them.
    get(&target, &files, Existing::Rename).unwrap();
    let after = stamps();
    assert_eq!(after.len(), 400);
    assert!(before.iter().all(|stamp| after.contains(stamp)));
}

/// The same check where the system names folders and files that are not there.
#[test]
fn a_target_that_is_not_there_or_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["a/b"]);
    let away = Target { dir: dir.path().join("not/yet"), file_name: None };
    assert_eq!(get(&away, &files, Existing::Ask).unwrap(), [away.dir.join("a")]);
    fs::write(dir.path().join("file"), "mine").unwrap();
    let file = Target { dir: dir.path().join("file"), file_name: None };
    assert!(matches!(Survey::of(&file, &files, &[0]), Err(StagingError::Io { .. })));
    assert!(matches!(Staging::create(&file.dir, "x"), Err(StagingError::Io { .. })));
}
