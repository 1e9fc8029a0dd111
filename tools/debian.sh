# Debian's packages without root rights: sourced after lib.sh.
# apt is pointed at lists of its own, so stale or missing system lists do not matter and the system is not touched.

apt_own() {
  local command=$1 state=$cache/apt
  shift
  "$command" -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state" -o Dir::Cache::pkgcache= \
    -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1 "$@"
}

# A progress bar on a terminal; in a log, not a line for each package.
apt_quiet=(-qq)
if [ -t 2 ]; then apt_quiet=(); fi

debian_lists() {
  have apt-get || die "no apt-get here: $1"
  lock debian
  say "reading Debian's package lists (a few seconds)"
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
  apt_own apt-get "${apt_quiet[@]}" update >&2
}

# debian_missing PACKAGE...: what installing them would add to this machine, themselves included.
debian_missing() {
  apt_own apt-get -s install --no-install-recommends "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p'
}

# debian_unpack DIR PACKAGE...: download the packages and lay their files out below DIR, installing nothing.
debian_unpack() {
  local dir=$1 deb
  shift
  mkdir -p "$dir/debs" "$dir/bin"
  (cd "$dir/debs" && apt_own apt-get "${apt_quiet[@]}" download "$@" >&2)
  for deb in "$dir"/debs/*.deb; do
    dpkg -x "$deb" "$dir"
  done
  rm -r "$dir/debs"
}

# debian_wrap DIR NAME PROGRAM: DIR/bin/NAME starts DIR/PROGRAM with the libraries below DIR, wherever DIR is moved.
debian_wrap() {
  local libraries
  # Some packages (LLVM, PulseAudio) keep libraries in folders of their own.
  libraries=$(cd "$1" && find usr lib -name '*.so*' -printf '$tree/%h\n' 2>/dev/null | sort -u | paste -sd :) || true
  cat >"$1/bin/$2" <<EOF
#!/bin/sh
tree=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE="\$tree/etc/fonts/fonts.conf"
exec "\$tree/$3" "\$@"
EOF
  chmod +x "$1/bin/$2"
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
