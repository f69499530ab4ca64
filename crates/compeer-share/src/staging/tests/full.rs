//! A full disk: on a small tmpfs, where root may mount one.
#![allow(clippy::print_stderr, reason = "a test that cannot run says why")]

use super::*;

/// A tmpfs of so many bytes and 500 files, unmounted when dropped.
struct Small(TempDir);

impl Small {
    fn mount(bytes: u64) -> Option<Small> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},nr_inodes=500,mode=755"), "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: only root may mount a small tmpfs");
        }
        mounted.then_some(Small(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_everything_as_it_was() {
    let Some(small) = Small::mount(1 << 20) else { return };
    let dir = &small.0;
    for n in 0..200 {
        fs::write(dir.path().join(format!("{n}")), format!("mine {n}")).unwrap();
    }
    let stamps = || (0..200).map(|n| stamp(&dir.path().join(format!("{n}")))).collect::<Vec<_>>();
    let before = stamps();
    let big = vec![7; 900_000];
    let files = Manifest::new(vec![entry("new/big", &big), entry("new/small", b"small")]).unwrap();
    let target = target(dir);
    let placement = decide(&target, &files, Existing::Ask).unwrap();
    let staging = Staging::create(dir.path(), "x").unwrap();

    // Asked before.
    match staging.prepare(&files, &all(&files), files.total()) {
        Err(StagingError::NoSpace { needed: Some(needed), free }) => {
            assert!(needed == 900_005 && free < needed);
        }
        other => panic!("{other:?}"),
    }
    // Or met on the way.
    let file = staging.file("new/big").unwrap();
    let error =
        big.chunks(4096).enumerate().find_map(|(n, part)| file.write_all_at(part, n as u64 * 4096).err());
    assert_eq!(error.unwrap().kind(), io::ErrorKind::StorageFull);
    let full = (0..1000).find_map(|n| staging.file(&format!("new/{n}/x")).err()).unwrap();
    assert!(matches!(full, StagingError::NoSpace { .. }), "{full}");
    assert!(full.to_string().starts_with("the disk is full: "), "{full}");
    assert_eq!(io::Error::from(full).kind(), io::ErrorKind::StorageFull);
    assert!(matches!(staging.place(&files, &placement), Err(StagingError::Incomplete(_))));
    assert_eq!(stamps(), before);

    // There is room again, and what has been received is still there.
    for n in 0..200 {
        fs::remove_file(dir.path().join(format!("{n}"))).unwrap();
    }
    drop((file, staging));
    let staging = Staging::open(dir.path(), "x").unwrap().unwrap();
    for n in 0..1000 {
        let _ = fs::remove_dir_all(staging.path().join(format!("new/{n}")));
    }
    staging.file("new/big").unwrap().write_all_at(&big, 0).unwrap();
    staging.file("new/small").unwrap().write_all_at(b"small", 0).unwrap();
    staging.place(&files, &placement).unwrap();
    assert_eq!(list(dir), ["new", "new/big", "new/small"]);
}

#[test]
fn a_folder_on_another_disk_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(1 << 20) else { return };
    // Bound below the target: a rename cannot cross.
    let at = dir.path().join("a");
    fs::create_dir(&at).unwrap();
    let mount = |args: &[&std::ffi::OsStr]| {
        std::process::Command::new(args[0])
            .args(&args[1..])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount".as_ref(), "--bind".as_ref(), small.0.path().as_ref(), at.as_ref()]) {
        eprintln!("skipped: only root may bind a mount");
        return;
    }
    let got = get(&target(&dir), &manifest(&["a/b", "c"]), Existing::Ask);
    let unmounted = mount(&["umount".as_ref(), at.as_ref()]);
    match got {
        Err(StagingError::OtherDisk(path)) => assert_eq!(path, at.join("b")),
        other => panic!("{other:?}"),
    }
    assert!(unmounted);
}
