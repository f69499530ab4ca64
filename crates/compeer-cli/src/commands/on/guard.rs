//! The guard: kills what commands have started when this process is killed and cannot do it itself.
//!
//! It is one small shell for the whole of `compeer on`, with a pipe from this process as standard input. It is told of
//! each process group that begins and ends. When the pipe ends, this process is gone, however that came about, and the
//! guard kills the groups that are left. It is in a group of its own and deaf to the signals of a terminal, so that
//! what ends `on` does not end it first. A command begun in the very moment in which `on` is killed may escape it.

use rustix::process::Pid;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// `+ GROUP` begins, `- GROUP` ends.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=
while read -r sign group; do
    case $sign in
    +) groups="$groups $group" ;;
    -)
        left=
        for other in $groups; do [ "$other" = "$group" ] || left="$left $other"; done
        groups=$left
        ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// The guard of this process; it ends soon after this is dropped.
pub(super) struct Guard {
    told: Mutex<ChildStdin>,
    _shell: Child,
}

impl Guard {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// There is no `sh`.
    pub(super) fn start() -> io::Result<Guard> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .env_remove(crate::input::PASSPHRASE)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let told = shell.stdin.take().ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Guard { told: Mutex::new(told), _shell: shell })
    }

    /// A group begins.
    pub(super) fn watch(&self, group: Pid) {
        self.tell('+', group);
    }

    /// A group has ended.
    pub(super) fn forget(&self, group: Pid) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, group: Pid) {
        let line = format!("{sign} {}\n", group.as_raw_nonzero());
        // If somebody has killed the guard, all that is lost is a safeguard.
        let _ = self.told.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
