#!/usr/bin/env bash
# usage: tests/torture/run.sh        (make check-torture)
# The store with failing writes, failing allocations and kill -9. ROUNDS and SEED as in store_torture.c.
set -eu
cd "$(dirname "$0")/../.."
lib=build/release/libtapedeck.a
out=build/release/torture
mkdir -p "$out"
read -ra libs <<<"$(pkg-config --libs lmdb libzstd liblz4 libxxhash jansson)"
gcc -std=gnu11 -O1 -g -D_GNU_SOURCE -I. -Wall -Wextra -o "$out/store_torture" tests/torture/store_torture.c \
	"$lib" "${libs[@]}" -lroaring -pthread -lm
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for what in write alloc kill; do
	mkdir "$dir/$what"
	"$out/store_torture" "$what" "$dir/$what" "${ROUNDS:-60}" "${SEED:-1}"
done
