use super::*;

/// What each system does with a hostile or odd name.
#[test]
fn hostile_names_are_refused_or_harmless() {
    use Rules::{Unix, Windows};
    let long = "n".repeat(300);
    let longest = "n".repeat(255);
    let deep = vec!["d"; 65].join("/");
    let deepest = vec!["d"; 64].join("/");
    let wide = format!("{}/x", vec!["n".repeat(200); 21].join("/"));
    // (name, refused on Unix, refused on Windows)
    let table: &[(&str, bool, bool)] = &[
        ("", true, true),
        ("/", true, true),
        ("/etc/passwd", true, true),
        ("//server/share", true, true),
        (".", true, true),
        ("..", true, true),
        ("a/..", true, true),
        ("a/../../b", true, true),
        ("./a", true, true),
        ("a//b", true, true),
        ("a/", true, true),
        ("a\0b", true, true),
        ("a\nb", true, true),
        ("a\x1b[2Jb", true, true),
        ("a\x7f", true, true),
        ("a\u{9b}2J", true, true),
        ("a\u{2028}b", true, true),
        ("invoice\u{202e}fdp.exe", true, true),
        ("a\u{2066}b", true, true),
        (&long, true, true),
        (&deep, true, true),
        (&wide, true, true),
        (&longest, false, false),
        (&deepest, false, false),
        ("-rf", false, false),
        ("~", false, false),
        ("...", false, true),
        ("..a", false, false),
        (" a", false, false),
        ("with spaces/and more", false, false),
        ("안녕/세계.txt", false, false),
        ("caf\u{e9}", false, false),
        ("cafe\u{301}", false, false),
        ("\u{200f}عربي", false, false),
        ("con", false, true),
        ("CON.txt", false, true),
        ("con .txt", false, true),
        ("a/nul", false, true),
        ("com1", false, true),
        ("LPT³.x", false, true),
        ("com10", false, false),
        ("common", false, false),
        ("conout$", false, true),
        ("c:x", false, true),
        ("c:/x", false, true),
        ("a\\b", false, true),
        ("..\\..\\b", false, true),
        ("\\\\?\\c", false, true),
        ("a?", false, true),
        ("a*", false, true),
        ("stream:data", false, true),
        ("dot.", false, true),
        ("space ", false, true),
        ("a/dot./b", false, true),
    ];
    for (name, unix, windows) in table {
        assert_eq!(check(name, Unix).is_err(), *unix, "{name:?} on Unix");
        assert_eq!(check(name, Windows).is_err(), *windows, "{name:?} on Windows");
    }
}

#[test]
fn a_message_shows_no_raw_control_character() {
    for name in ["a\x1b[2J", "/\x1b[2J", "\x1b/..", "\x1b//b", "\u{202e}x"] {
        let message = check(name, Rules::Unix).unwrap_err().to_string();
        assert!(!message.chars().any(compeer::text::is_unsafe), "{message:?}");
    }
}

#[test]
fn names_that_fold_into_one_are_found() {
    let pairs = |paths: &[&str]| collisions(paths.iter().copied()).len();
    assert_eq!(pairs(&["caf\u{e9}", "cafe\u{301}"]), 1);
    assert_eq!(pairs(&["straße", "STRASSE"]), 1);
    assert_eq!(pairs(&["a", "A", "á"]), 1);
    assert_eq!(pairs(&["dir/a", "DIR/b"]), 0, "folders only merge");
    assert_eq!(pairs(&["x", "X/y"]), 1, "a file and a folder");
    assert_eq!(pairs(&["한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"]), 1);
    assert_eq!(pairs(&["a", "b", "c/a"]), 0);
}
