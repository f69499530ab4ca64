# shellcheck shell=bash
# A folder of 10,000 files with difficult names arrives as it is; fetched again, nothing comes; a file that differs is
# named, and replaced or kept as one says.

machines a b
many=${quick:+2000}
many=${many:-10000}
album=$work/a/dir/album
mkdir -p "$album"
for ((i = 0; i < many; i++)); do
    [ $((i % 100)) != 0 ] || mkdir -p "$album/part $((i / 100))"
    printf '%*d' $((i % 3000 + 1)) "$i" >"$album/part $((i / 100))/file $i.txt"
done
mkdir -p "$album/한국어 폴더" "$album/-r"
: >"$album/empty"
for name in "한국어 폴더/사진 모음.txt" $'caf\xc3\xa9' $'cafe\xcc\x81' "-rf" "--help" "-r/-" " two  spaces " "a'quote\"s" "trailing." "con" 'back\slash'; do
    printf 'I am %s' "$name" >"$album/$name"
done
find "$album" -name '*7.txt' -exec chmod +x {} +
find "$album" -name '*3.txt' -exec touch -d '1999-12-31 23:59:58.123456789' {} +
touch -d '1950-01-01' "$album/part 0/file 1.txt"
files=$(find "$album" -type f | wc -l)
# Names, times to the nanosecond, sizes, and what can be run.
as_listed() { (cd "$1" && find . -type f -printf '%P %s %T@ ' \( -perm -100 -printf 'x\n' -o -printf '\n' \) | sort); }

begin send a send album
wait_for send '"event":"offered"' 60
[ "$(member send skipped)" = "" ] && ! grep -q '"skipped":\[[^]]' "$work/send.out" || die "something was left out"
now
from=$clock
run 0 get b get "$(member send code)"
now
took=$((clock - from))
ended 0 send 10
arrived() {
    diff -r --no-dereference "$album" "$work/b/dir/album" >&2 || die "the folder is not what was sent"
    cmp <(as_listed "$album") <(as_listed "$work/b/dir/album") >&2 || die "times or executable bits differ"
}
arrived
clean b

# Again: it is all there.
share share a album
received b
before=$wire
run 0 again b get "$ticket"
received b
[ "$(member again received_bytes)" = 0 ] || die "fetched again what was there"
again=$((wire - before))

# One that differs.
changed=$work/b/dir/album/empty
echo "mine" >"$changed"
run 1 conflict b get "$ticket"
message=$(member conflict message)
[[ $message == *album/empty* ]] || die "it does not name what differs: $message"
[ "$(cat "$changed")" = mine ] || die "it was replaced unasked"
run 0 rename b get "$ticket" --rename
[ "$(cat "$changed")" = mine ] && [ -f "$changed (1)" ] && [ ! -s "$changed (1)" ] || die "--rename did not keep both"
rm "$changed (1)"
run 0 overwrite b get "$ticket" --overwrite
[ ! -s "$changed" ] || die "--overwrite did not replace it"
arrived
echo "folder: $files files (empty, Korean, spaces, NFC beside NFD, leading -) by code in $(seconds $took): diff -r, times and executable bits equal; again: 0 bytes of content, $again on the wire; one that differs: exit 1, \"$message\"; --rename kept both, --overwrite replaced it"
