//! Names and directories that want to lead out.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Each name lands inside or is refused, shown by the whole tree afterwards.
#[test]
fn hostile_names_land_inside_or_are_refused() {
    let long = "n".repeat(300);
    let longest = "n".repeat(255);
    // (name, lands)
    let table = [
        ("..", false),
        ("../out", false),
        ("a/../../out", false),
        ("/out", false),
        ("", false),
        (".", false),
        ("./a", false),
        ("a//b", false),
        ("a/", false),
        ("nul\0byte", false),
        ("new\nline", false),
        ("escape\u{1b}[2J", false),
        ("c1\u{9b}", false),
        ("bidi\u{202e}fdp", false),
        (&long, false),
        (&longest, true),
        ("-rf", true),
        ("con", true),
        ("c:x", true),
        ("a\\b", true),
        ("..\\out", true),
        ("~", true),
        ("$HOME", true),
        ("with space/사진 하나.jpg", true),
        ("caf\u{e9}", true),
        ("cafe\u{301}", true),
    ];
    for (name, lands) in table {
        let around = tempfile::tempdir().unwrap();
        let dest = around.path().join("inner/dest");
        fs::create_dir_all(&dest).unwrap();
        let staging = Staging::create(&dest, "x").unwrap();
        assert_eq!(staging.file(name).is_ok(), lands, "{name:?}");
        staging.discard().unwrap();
        assert_eq!(tree(around.path()).len(), 2, "{name:?}");

        // A manifest that a stranger made cannot even hold what is refused; its own check is not what saves us.
        let made = Manifest::new(vec![entry(name, name.as_bytes())]);
        assert_eq!(made.is_ok(), lands, "{name:?}");
        if let Ok(files) = made {
            let target = Target { dir: dest.clone(), file_name: None };
            get(&target, &files, Existing::Ask).unwrap();
            let mut found = tree(around.path());
            assert_eq!(found.remove(&format!("inner/dest/{name}")).as_deref(), Some(name));
            assert!(found.values().all(|shown| shown == "/"), "{name:?}: {found:?}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let files = manifest(&["caf\u{e9}", "cafe\u{301}"]);
    let staging = Staging::create(dir.path(), "x").unwrap();
    staging.prepare(&files, &[0, 1], 0).unwrap();
    staging.discard().unwrap();
    get(&target(&dir), &files, Existing::Ask).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "both spellings");
}

/// In the staging directory only plain files of ours are opened.
#[test]
fn what_was_put_into_the_staging_directory_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let files = manifest(&["a/x", "b"]);
    let placement = decide(&target(&dir), &files, Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();
    let inside = |name: &str| staging.path().join(name);

    symlink(&precious, inside("b")).unwrap();
    symlink(outside.path(), inside("a")).unwrap();
    let what = |path: &str| match staging.file(path) {
        Err(StagingError::Meddled(_, what)) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!((what("b"), what("a/x")), (What::Symlink, What::Symlink));
    assert!(matches!(staging.place(&files, &placement), Err(StagingError::Meddled(..))));
    fs::remove_file(inside("b")).unwrap();
    fs::hard_link(&precious, inside("b")).unwrap();
    assert_eq!(what("b"), What::Other);
    fs::remove_file(inside("b")).unwrap();
    fs::create_dir(inside("b")).unwrap();
    assert_eq!(what("b"), What::Folder);

    // And a symlink in place of the whole directory.
    staging.discard().unwrap();
    symlink(outside.path(), dir.path().join("compeer-x.part")).unwrap();
    assert!(matches!(Staging::open(dir.path(), "x"), Err(StagingError::Meddled(_, What::Symlink))));
    assert!(matches!(Staging::create(dir.path(), "x"), Err(StagingError::Exists(_))));
    assert_eq!(
        tree(outside.path()).into_iter().collect::<Vec<_>>(),
        [("precious".into(), "precious".into())]
    );
}

/// While we write and place, a thread keeps exchanging directories for symlinks that lead out, above and in the staging
/// directory and at the target. Things fail or land inside; nothing lands outside.
#[test]
fn a_directory_exchanged_for_a_symlink_leads_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    let paths: Vec<String> = (0..40).map(|n| format!("sub/{}/f{n}", n % 4)).collect();
    let files = manifest(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let mut failed = 0;
    for round in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let target = target(&dir);
        // In odd rounds the folder is at the target too, with a file, so that placing goes file by file.
        if round % 2 == 1 {
            fs::create_dir(dir.path().join("sub")).unwrap();
            fs::write(dir.path().join("sub/mine"), "mine").unwrap();
        }
        let placement = decide(&target, &files, Existing::Overwrite).unwrap();
        let staging = Staging::create(dir.path(), "x").unwrap();
        let swapped = [staging.path().join("sub"), staging.path().join("sub/1"), dir.path().join("sub")];
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for at in &swapped {
                        let aside = at.with_extension("aside");
                        if fs::rename(at, &aside).is_ok() {
                            let _ = symlink(outside.path(), at);
                            std::thread::yield_now();
                            let _ = fs::remove_file(at);
                            let _ = fs::rename(&aside, at);
                        }
                    }
                }
            });
            let all = fill(&staging, &files, &placement).and_then(|()| staging.place(&files, &placement));
            done.store(true, Ordering::Relaxed);
            failed += usize::from(all.is_err());
        });
        let found = tree(outside.path());
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["sub"], "round {round}");
        if round % 2 == 1 {
            assert!(
                tree(dir.path()).into_iter().any(|(path, shown)| path.ends_with("mine") && shown == "mine")
            );
        }
    }
    assert!(failed > 0, "the thread never met us: the test shows nothing");
}
