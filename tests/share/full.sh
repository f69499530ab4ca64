# shellcheck shell=bash
# A small disk: what does not fit is refused before it begins; a disk that fills up meanwhile is told, and the same
# command goes on when there is room. 200 files that were there are as they were, down to inode and times, after each
# of it, and after a fetch that fails and one that is refused.

machines a b
mkdir "$work/small"
if ! mount -t tmpfs -o size=64m tmpfs "$work/small" 2>"$work/why"; then
    echo "full: skipped: cannot mount here ($(cat "$work/why"))"
    return 0
fi
target=$work/small
for i in {001..200}; do head -c $((RANDOM / 2)) /dev/urandom >"$target/mine-$i"; done
touch -d '2001-02-03 04:05:06.789' "$target"/mine-*
as_it_was() { find "$target" -maxdepth 1 -name 'mine-*' -printf '%f %i %s %T@ %C@ %m\n' -exec sha256sum {} + | sort; }
as_it_was >"$work/before"
untouched() {
    as_it_was | cmp -s "$work/before" - || die "what was there is not as it was after $1"
}

noise "$work/a/dir/large" 100
noise "$work/a/dir/fits" 40
noise "$work/a/dir/mine-007" 1
noise "$work/a/dir/changing" 1
up a
declare -A ticket_of=()
for name in large mine-007 changing; do
    run 0 share a share $name
    ticket_of[$name]=$(member share ticket)
done
share limited a fits --limit 20M --name fits
ticket_of[fits]=$ticket

received b
before=$wire
run 1 large b get "${ticket_of[large]}" -o "$target/"
received b
too_large=$(member large message)
[[ $too_large == *"100 MB"* ]] || die "it does not say how much is missing: $too_large"
[ $((wire - before)) -lt 500000 ] || die "$((wire - before)) bytes were fetched before it was refused"
refused_after=$((wire - before))
! has large '"event":"progress"' || die "it began"
[ -z "$(find "$target" -name '*.part')" ] || die "something was left"
untouched "one that is too large"

run 1 taken b get "${ticket_of[mine-007]}" -o "$target/"
[[ $(member taken message) == *mine-007* ]] || die "it does not name what is in the way"
untouched "one that is refused"

noise "$work/a/dir/changing" 1
printf x | dd of="$work/a/dir/changing" conv=notrunc status=none
begin failed b get "${ticket_of[changing]}" -o "$target/"
ended "[13]" failed 90
failed="exit $(member failed code), \"$(member failed message)\""
untouched "one that failed"

begin full b get "${ticket_of[fits]}" -o "$target/"
within 30 done_bytes full 5000000 || die "it does not begin"
head -c 64M /dev/zero >"$target/filler" 2>/dev/null || true
ended 1 full 60
full=$(member full message)
[[ $full == *"full"* || $full == *"space"* ]] || die "it does not say that the disk is full: $full"
untouched "a full disk"
[ ! -e "$target/fits" ] || die "the final name is there"
rm "$target/filler"
run 0 again b get "${ticket_of[fits]}" -o "$target/"
rest=$(member again received_bytes)
[ "$rest" -lt 36000000 ] || die "it began anew: $rest bytes"
same "$work/a/dir/fits" "$target/fits"
untouched "all of it"
echo "full: refused before it begins ($refused_after bytes came): \"$too_large\"; filled meanwhile: exit 1, \"$full\"; after making room the same command fetched the last $(megabytes "$rest") of 40 MB, equal; name taken: \"$(member taken message)\"; failed: $failed; 200 files as they were after each (content, inode, size, times, mode)"
end_all
umount "$target"
