#!/bin/sh
# need.sh PACKAGE...: installs the Debian packages that are missing; says and does nothing when all are there.
missing=
for p in "$@"; do
  case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in *' installed') ;; *) missing="$missing $p" ;; esac
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || { echo "these packages are needed, and this is no Debian:$missing" >&2; exit 1; }
root=
if [ "$(id -u)" != 0 ]; then
  root=sudo
  command -v sudo >/dev/null || { echo "packages are missing and there is no sudo here; as root: apt-get install$missing" >&2; exit 1; }
fi
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends $missing >/dev/null
