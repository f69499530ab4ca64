#!/usr/bin/env bash
# File to file: compeer beside scp, rsync, croc and sendme, in one run on this machine.
#
#   bench/files.sh                              # all rows, five rounds each: some twenty minutes
#   bench/files.sh --quick                      # small files, two rounds: under a minute or two
#   bench/files.sh --rows big-tmpfs,one-tmpfs --programs compeer,scp --rounds 9
#   bench/files.sh --help
#
# As root everything runs in namespaces of its own: a network that has only loopback (nobody asks a server on the
# internet), and processes that end when this ends. What it writes lies in two directories that are removed at the end,
# one on tmpfs and one on disk. The measuring is in files.py, beside this file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fast=$(mktemp -d /dev/shm/compeer-files.XXXXXX)
slow=$(mktemp -d "${COMPEER_BENCH_DISK:-/var/tmp}/compeer-files.XXXXXX")
child=
leave() {
    trap - EXIT INT TERM
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    rm -rf "$fast" "$slow"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

run=(python3 "$here/files.py" --tmpfs-dir "$fast" --disk-dir "$slow" "$@")
if [ "$(id -u)" = 0 ] && unshare --net --mount --pid --fork true 2>/dev/null; then
    # sshd wants /run/sshd; it gets one that nobody else sees.
    # shellcheck disable=SC2016
    unshare --net --mount --pid --fork --kill-child --mount-proc sh -c '
        ip link set lo up && mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"' files "${run[@]}" &
else
    echo "not root: no network of its own; croc and sendme may look for servers" >&2
    "${run[@]}" &
fi
child=$!
wait "$child"
