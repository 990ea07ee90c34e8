#!/usr/bin/env bash
# usage: tests/torture/run.sh        (make check-torture)
# The store with failing writes, failing allocations, kill -9, power cuts, failing reads, flipped bits, and a budget of
# bytes to keep.
# ROUNDS (60; kills 200, cuts 600), SEED, PUSH_MIB (20480: pushed through a tmpfs of 1 GiB; needs root, else skipped).
set -eu
cd "$(dirname "$0")/../.."
lib=build/release/libtapedeck.a
out=build/release/torture
mkdir -p "$out"
read -ra libs <<<"$(pkg-config --libs lmdb libzstd liblz4 libxxhash jansson nettle)"
for program in store_torture power_torture retention_torture damage_torture; do
	gcc -std=gnu11 -O1 -g -D_GNU_SOURCE -I. -Wall -Wextra -o "$out/$program" tests/torture/$program.c \
		"$lib" "${libs[@]}" -lroaring -pthread -lm
done
dir=$(mktemp -d)
mounted=
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$dir"' EXIT
for what in write alloc kill; do
	mkdir "$dir/$what"
	rounds=60
	[ $what != kill ] || rounds=200
	"$out/store_torture" "$what" "$dir/$what" "${ROUNDS:-$rounds}" "${SEED:-1}"
done
for what in read flip; do
	"$out/damage_torture" $what "$dir/damage-$what" "${SEED:-1}"
done
mkdir "$dir/power"
"$out/power_torture" "$dir/power" "${ROUNDS:-600}" "${SEED:-1}"
mkdir "$dir/small"
if mount -t tmpfs -o size=1g tmpfs "$dir/small" 2>/dev/null; then
	mounted=$dir/small
	"$out/retention_torture" "$dir/small" 960 "${PUSH_MIB:-20480}"
else
	echo "retention: skipped: a tmpfs cannot be mounted here"
fi
