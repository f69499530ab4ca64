# shellcheck shell=bash
# The fetcher's machine loses its power: its home and its target lie on a file system of their own (ext4, and XFS where
# mkfs.xfs is there), which is cut off at random moments without writing back what it still held in memory, and mounted
# again as it then is. Going on fetches again at most what came since the last checkpoint, and the file is equal.

# Cuts a mounted file system off: EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2: nothing is flushed.
cut_power() {
    python3 -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))' "$1"
}

# FILESYSTEM CUTS MEGABYTES
unplugged() {
    local fs=$1 cuts=$2 size=${3}000000 i start all most checkpoint=16777216 mark
    machines a b
    noise "$work/a/dir/file" "$3"
    # Before the disk is there: its view of the file systems would hold on to it.
    share share a file --limit 60M
    rm -f "$work/disk"
    truncate -s "$((size * 2 + 400000000))" "$work/disk"
    "mkfs.$fs" -q "$work/disk"
    if ! mount -o loop "$work/disk" "$work/b" 2>"$work/why"; then
        echo "power: skipped: no loop mounts here ($(tr '\n' ' ' <"$work/why"))"
        end_all
        return
    fi
    mkdir "$work/b/dir"
    sync -f "$work/b"
    received b
    start=$wire
    for ((i = 1; i <= cuts; i++)); do
        mark=$((size / (cuts + 1) * i + RANDOM * 300 - 16384 * 300))
        begin get-$i b get "$ticket"
        within 60 done_bytes get-$i $mark || die "run $i does not come to $mark bytes"
        cut_power "$work/b"
        kill_9 get-$i
        umount "$work/b"
        mount -o loop "$work/disk" "$work/b"
    done
    run 0 get-last b get "$ticket"
    widest
    received b
    all=$((wire - start))
    same "$work/a/dir/file" "$work/b/dir/file"
    clean b
    end_all
    umount "$work/b"
    echo "power: $fs cut off $cuts times: equal; received on the wire in all runs $(megabytes $all) for $(megabytes "$size"); largest window $(megabytes $most), checkpoint $(megabytes $checkpoint)"
    # While one checkpoint is synced, the next comes together.
    [ $all -le $((size + cuts * (most + 2 * checkpoint) + size / 50)) ] || die "that is more than size, windows and checkpoints"
}

for fs in ext4 xfs; do
    if ! command -v "mkfs.$fs" >/dev/null; then
        echo "power: $fs left out: no mkfs.$fs here"
    elif [ -n "$quick" ]; then
        unplugged $fs 2 100
    else
        unplugged $fs 10 400
    fi
done
