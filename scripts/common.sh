# What the scripts here share; sourced, never run. Leaves the caller in the root of the checkout.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian's Python: the one that apt's packages belong to, whatever else is first on PATH.
# shellcheck disable=SC2034
python=/usr/bin/python3

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$(basename "$0"): $*"
  exit 1
}

need_root() {
  [[ $EUID -eq 0 ]] || die "$1 needs root"
}

# Our C and C++ sources that match the given git patterns, new ones that are not added yet too.
# Deleted files that are still tracked are left out.
sources() {
  local file
  git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r file; do
    [[ -f $file ]] && printf '%s\n' "$file"
  done || true
}

# Programs and maps are pinned on bpffs. Its own default mode, 1777, would let anyone pin beside us.
mount_bpffs() {
  mountpoint -q /sys/fs/bpf || mount -t bpf -o mode=0700 bpf /sys/fs/bpf
}
