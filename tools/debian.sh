# Debian's packages without root rights: sourced after lib.sh.
# apt is pointed at lists of its own, so stale or missing system lists do not matter and the system is not touched.

apt_own() {
  local command=$1 state=$cache/apt
  shift
  "$command" -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state" -o APT::Sandbox::User="$(id -un)" \
    -o Debug::NoLocking=1 "$@"
}

debian_lists() {
  have apt-get || die "no apt-get here: $1"
  lock debian
  say "reading Debian's package lists (a few seconds)"
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
  apt_own apt-get -q update >&2
}

# debian_unpack DIR PACKAGE...: download the packages and lay their files out below DIR, installing nothing.
debian_unpack() {
  local dir=$1
  shift
  mkdir -p "$dir/debs"
  (cd "$dir/debs" && apt_own apt-get -q download "$@" >&2)
  local deb
  for deb in "$dir"/debs/*.deb; do
    dpkg -x "$deb" "$dir"
  done
  rm -r "$dir/debs"
}

# debian_depends PACKAGE PATTERN: the first package that PACKAGE depends on whose name begins so.
debian_depends() {
  apt_own apt-cache depends --important "$1" | sed -n "s/^ *Depends: \($2.*\)/\1/p" | head -n 1
}

debian_version() {
  local version
  version=$(apt_own apt-cache show --no-all-versions "$1" | sed -n 's/^Version: //p')
  [ -n "$version" ] || die "the package lists of this machine have no $1"
  echo "$version"
}
