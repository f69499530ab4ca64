# shellcheck shell=bash
# Fetched from one machine on a line of 100 Mbit/s, and from four of them: at least 3.6 times as fast.

. "$here/share/providers.sh"
line p1 on
fetch f one
ended 0 one 120
same "$work/p1/dir/file" "$work/f/dir/file"
line p1 off
four_have_it
fetch f four
ended 0 four 120
same "$work/p1/dir/file" "$work/f/dir/file"
for n in p1 p2 p3 p4; do line $n off; done
alone=$(member one took_ms) together=$(member four took_ms)
sources=$(member four sources '"got"')
ratio=$((alone * 100 / together))
echo "four: $megabytes MB at 100 Mbit/s: one $(seconds "$alone"), four $(seconds "$together") ($sources sources gave), ratio $(hundredths $ratio)"
# Of a small file the beginning and the end are a large part.
[ -n "$quick" ] || [ $ratio -ge 360 ] || die "less than 3.6 times as fast"
[ "$sources" = 4 ] || die "not all four gave"
