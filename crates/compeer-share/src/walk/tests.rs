use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

fn paths(walked: &Walked) -> Vec<&str> {
    walked.files.iter().map(|found| found.path.as_str()).collect()
}

/// Makes files, empty ones, by their paths.
fn dir(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    dir
}

fn walk_in(dir: &tempfile::TempDir, names: &[&str], exclude: &[&str]) -> Result<Walked, WalkError> {
    let given: Vec<PathBuf> = names.iter().map(|name| dir.path().join(name)).collect();
    let exclude: Vec<String> = exclude.iter().map(ToString::to_string).collect();
    walk(&given, &exclude)
}

#[test]
fn what_was_given_is_called_by_its_last_component() {
    let dir = dir(&["a/photos/2.jpg", "a/photos/1.jpg", "a/photos-b", "a/photos/sub/3", "x/-rf", "x/안녕"]);
    let names = |given: &[&str]| paths(&walk_in(&dir, given, &[]).unwrap()).join(" ");
    let photos = "photos/1.jpg photos/2.jpg photos/sub/3";
    assert_eq!(names(&["a/photos"]), photos);
    assert_eq!(names(&["a/photos/"]), photos);
    assert_eq!(names(&["a/photos/."]), photos);
    assert_eq!(names(&["a/photos/sub/.."]), photos);
    assert_eq!(names(&["a/photos/1.jpg", "x"]), "1.jpg x/-rf x/안녕");
    // Sorted by bytes, as a manifest is.
    assert_eq!(names(&["a"]), "a/photos-b a/photos/1.jpg a/photos/2.jpg a/photos/sub/3");
    let same = walk_in(&dir, &["a/photos/sub", "x/../a/photos/sub"], &[]);
    assert!(matches!(same, Err(WalkError::SameName(..))));
    assert!(matches!(walk(&[PathBuf::from("/")], &[]), Err(WalkError::Nameless(_))));
    assert!(matches!(walk_in(&dir, &["no"], &[]), Err(WalkError::Unreadable { .. })));
    assert!(matches!(walk(&[PathBuf::from("/dev/null")], &[]), Err(WalkError::NoFile(_))));
}

#[test]
fn a_given_symlink_is_followed_under_its_own_name_and_no_other() {
    let dir = dir(&["real/file", "real/deep/er"]);
    symlink("real", dir.path().join("link")).unwrap();
    symlink("../real", dir.path().join("real/loop")).unwrap();
    symlink("/nowhere", dir.path().join("real/broken")).unwrap();
    let walked = walk_in(&dir, &["link"], &[]).unwrap();
    assert_eq!(paths(&walked), ["link/deep/er", "link/file"]);
    assert_eq!(walked.skipped.len(), 2);
    assert!(walked.skipped.iter().all(|skipped| matches!(skipped, Skipped::Symlink(_))));
    fs::write(dir.path().join("target"), "12345").unwrap();
    symlink("target", dir.path().join("alias")).unwrap();
    let walked = walk_in(&dir, &["alias"], &[]).unwrap();
    assert_eq!((walked.files[0].path.as_str(), walked.files[0].size), ("alias", 5));
}

#[test]
fn what_cannot_be_sent_is_told() {
    let dir = dir(&["d/fine", "d/new\nline", "d/compeer-abc.part/secret", "d/compeer-file.part"]);
    let inside = dir.path().join("d");
    fs::write(inside.join(OsStr::from_bytes(b"latin\xe9")), "").unwrap();
    let socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
    let walked = walk_in(&dir, &["d"], &[]).unwrap();
    drop(socket);
    assert_eq!(paths(&walked), ["d/compeer-file.part", "d/fine"]);
    let told: Vec<String> = walked.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    for part in ["not UTF-8", "neither a file nor a folder", "new\\nline", "an unfinished fetch"] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:?}");
    }
    assert!(told.iter().all(|line| !line.chars().any(compeer::text::is_unsafe)));
    // Left out on purpose: not told.
    let quiet = walk_in(&dir, &["d"], &["new*", "latin*", "socket", "*.part"]).unwrap();
    assert_eq!((paths(&quiet), quiet.skipped.len()), (vec!["d/fine"], 1));
    let given = walk_in(&dir, &["d/new\nline"], &[]);
    assert!(matches!(given, Err(WalkError::Name(NameError::Character { .. }))));
    let given = walk(&[inside.join(OsStr::from_bytes(b"latin\xe9"))], &[]);
    assert!(matches!(given, Err(WalkError::NotText(_))));
}

#[test]
fn patterns_leave_out_files_and_whole_folders() {
    let dir = dir(&["p/a.c", "p/a.o", "p/target/x.c", "p/src/target", "p/.git/config", "top.o"]);
    let walked = walk_in(&dir, &["p", "top.o"], &["*.o", "target/", "/p/.git"]).unwrap();
    assert_eq!(paths(&walked), ["p/a.c", "p/src/target"]);
    assert!(matches!(walk_in(&dir, &["p"], &["[x"]), Err(WalkError::Pattern(_))));
}

#[test]
fn sizes_times_and_modes() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("run.sh");
    fs::write(&script, "#!/bin/sh").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o744)).unwrap();
    let then = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
    fs::File::options().write(true).open(&script).unwrap().set_modified(then).unwrap();
    let sparse = dir.path().join("sparse");
    fs::File::create(&sparse).unwrap().set_len(100 << 30).unwrap();
    let walked = walk(&[script, sparse], &[]).unwrap();
    let [run, sparse] = &walked.files[..] else { panic!("{walked:?}") };
    assert_eq!((run.size, run.executable, run.modified, run.modified_nanos), (9, true, -2, 500_000_000));
    assert_eq!((sparse.size, sparse.executable), (100 << 30, false));
}

#[test]
fn empty_folders_are_counted_and_what_is_only_said_to_be_empty_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["d/one", "d/two/deep", "d/full"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("d/full/file"), "").unwrap();
    let walked = walk_in(&dir, &["d"], &[]).unwrap();
    assert_eq!(walked.files.len(), 1);
    assert_eq!(walked.skipped, [Skipped::EmptyFolders(2)]);
    let told = walk(&["/proc/self/status".into()], &[]).unwrap_err().to_string();
    assert!(told.contains("compeer send - < /proc/self/status"), "{told}");
    let skipped = walk(&["/proc/self/fdinfo".into()], &[]).unwrap().skipped;
    assert!(skipped.iter().any(|skipped| matches!(skipped, Skipped::NoSize(_))), "{skipped:?}");
}

#[test]
fn bounds_hold() {
    let dir = tempfile::tempdir().unwrap();
    // Deeper than a path may be.
    let deep: PathBuf = std::iter::repeat_n("d", 70).collect();
    fs::create_dir_all(dir.path().join(&deep)).unwrap();
    fs::write(dir.path().join(&deep).join("file"), "").unwrap();
    let walked = walk_in(&dir, &["d"], &[]).unwrap();
    assert!(walked.files.is_empty() && matches!(walked.skipped[..], [Skipped::Name(_, NameError::Deep)]));
    // More is left out than is told.
    let links = dir.path().join("links");
    fs::create_dir(&links).unwrap();
    for n in 0..MAX_SKIPPED + 7 {
        symlink("x", links.join(n.to_string())).unwrap();
    }
    let walked = walk_in(&dir, &["links"], &[]).unwrap();
    assert_eq!((walked.skipped.len(), walked.skipped.last()), (MAX_SKIPPED + 1, Some(&Skipped::More(7))));
    // More files than a share has.
    let mut walk = Walk { exclude: Globs::default(), found: Walked::default(), skipped: 0, empty: 0 };
    let meta = fs::metadata(dir.path()).unwrap();
    for _ in 0..MAX_ENTRIES {
        walk.file(PathBuf::new(), String::new(), &meta).unwrap();
    }
    assert!(matches!(walk.file(PathBuf::new(), String::new(), &meta), Err(WalkError::TooMany)));
}
