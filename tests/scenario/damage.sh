#!/usr/bin/env bash
# A damaged store gets words, never a crash, a hang or a wrong answer that check calls sound.
# DAMAGE_SECONDS=N and DAMAGE_SEED=N go further and elsewhere.
set -u
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-damage.XXXXXX")
trap 'rm -rf "$work"' EXIT
PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "$0")/damage.py" "$TAPEDECK" "$work" "${DAMAGE_SEED:-$RANDOM}" "${DAMAGE_SECONDS:-12}"
