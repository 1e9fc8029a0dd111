# Shared by the scripts in tools/: sourced, never run.
# Answers (a path, an environment) go to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Tools that are slow to build or fetch live here, once per user and version, so that a fresh clone does not pay again.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/marotte

say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# lock NAME: wait until no other run is setting NAME up. The lock goes when the process does.
lock() {
  local fd
  mkdir -p "$cache"
  exec {fd}>"$cache/$1.lock"
  have flock || return 0 # macOS: two set-ups at once are on their own
  flock -n "$fd" || {
    say "waiting for another run that is setting up $1"
    flock "$fd"
  }
}

# make_once DIR COMMAND...: run `COMMAND... TEMP` and rename TEMP to DIR when it has succeeded, so that DIR is
# either whole or absent. What an interrupted run left behind is swept away here, under the lock.
make_once() {
  local dir=$1 temp=$1.tmp
  shift
  [ ! -d "$dir" ] || return 0
  lock "$(basename "$dir")"
  [ ! -d "$dir" ] || return 0 # another run made it while this one waited
  rm -rf "$temp"
  mkdir -p "$temp"
  "$@" "$temp" >&2
  mv "$temp" "$dir"
}
