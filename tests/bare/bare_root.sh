#!/usr/bin/env bash
# What a new user meets: a bare Debian 12 (minbase, git and ca-certificates), a clone of HEAD, one command.
#
#   bare_root.sh [OPTIONS]                  ./run demo, then ./run test, each in a root and a clone of its own, with cold times
#   bare_root.sh [OPTIONS] -- COMMAND…      this command instead, in the clone
#
#   --only demo|test   one of the two
#   --folder DIR       where the roots lie (default build/bare); on a disk file system, with about 12 GB free
#   --keep             leave the roots there; the last lines say how to enter them
#
# Needs root: for mmdebstrap, chroot and a mount namespace of its own, in which /proc, /sys and /dev are mounted, so that nothing stays
# mounted and no process stays behind. The package sources, apt's network settings and the extra certificates are the host's;
# of the host's packages nothing is visible. The network is the host's. JOBS and CI are passed on.
# Exit status: 0 when all passed, 1 when a command failed, 2 when it could not run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
folder=$repository/build/bare
keep='' only='' command=()

usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; }
say() { printf '== %s\n' "$*" >&2; }
refuse() { echo "bare_root: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --only) only=${2:-}; shift ;;
    --only=*) only=${1#*=} ;;
    --folder) folder=${2:-}; shift ;;
    --folder=*) folder=${1#*=} ;;
    --keep) keep=1 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; command=("$@"); break ;;
    *) refuse "no option \"$1\" (--help lists them)" ;;
  esac
  shift
done
case $only in '' | demo | test) ;; *) refuse "--only takes demo or test, not \"$only\"" ;; esac
[ -n "$folder" ] || refuse "--folder needs a folder"
[ "$(id -u)" = 0 ] || refuse "needs root: it makes a root folder with mmdebstrap and enters it with chroot. Try: sudo $0 $*"
command -v mmdebstrap >/dev/null || refuse "no mmdebstrap; apt-get install mmdebstrap"
unshare --mount --pid --fork true 2>/dev/null || refuse "this machine lets root make no mount and process namespaces (unshare)"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
archive=$folder/bare.tar

# The host's package sources and how it reaches them, as one file each.
apt_sources() { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep -E '^deb ' || true; }
apt_sources_822() { awk 'FNR == 1 && NR > 1 { print "" } { print }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true; }
apt_settings() {
  apt-config dump | grep -E '^Acquire::(https?|Check-Valid-Until|Check-Date|Retries|ForceIPv4)\b' |
    grep -vE '^\S+ "";$|User-Agent' || true
}

make_archive() {
  say "making a bare Debian 12 in $archive"
  apt_settings >"$folder/apt.conf"
  if [ -n "$(apt_sources_822)" ]; then apt_sources_822 >"$folder/host.sources"; else apt_sources >"$folder/host.sources"; fi
  local copies=(--customize-hook='mkdir -p "$1/usr/local/share/ca-certificates"')
  local certificate
  for certificate in /usr/local/share/ca-certificates/*.crt; do
    [ -e "$certificate" ] && copies+=("--customize-hook=copy-in $certificate /usr/local/share/ca-certificates")
  done
  copies+=(--customize-hook='chroot "$1" update-ca-certificates >/dev/null')
  mmdebstrap --quiet --mode=root --variant=minbase --include=git,ca-certificates --aptopt="$folder/apt.conf" "${copies[@]}" \
    --format=tar bookworm "$archive.new" - <"$folder/host.sources" 2> >(sed '/^I: /d' >&2) || return 1
  mv "$archive.new" "$archive"
}

# A fresh root with a fresh clone of HEAD in /root/wheelpit.
make_root() { # root
  remove_root "$1"
  mkdir "$1"
  tar -C "$1" --exclude=./dev/* --numeric-owner -xpf "$archive"
  cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
  git -c safe.directory='*' clone --quiet --no-hardlinks "$repository" "$1/root/wheelpit"
  git -C "$1/root/wheelpit" remote remove origin
}

remove_root() { [ ! -d "$1" ] || rm -rf --one-file-system "$1"; }

# Runs a command in the clone. Its mounts and its processes end with it.
in_root() { # root command…
  local root=$1; shift
  unshare --mount --pid --fork --kill-child --propagation private bash -c '
    set -e
    root=$1; shift
    # A mount point of its own: in it network namespaces can be entered, as the cluster tests do.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      "$@"' in_root "$root" "${passed_on[@]}" sh -c 'cd /root/wheelpit && exec "$@"' sh "$@"
}

passed_on=()
for name in JOBS CI TERM http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY GOPROXY GOSUMDB PIP_INDEX_URL; do
  [ -z "${!name:-}" ] || passed_on+=("$name=${!name}")
done

minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

failed=0 lines=() roots=()
measure() { # name command…
  local name=$1 root=$folder/root-$1 started=$SECONDS status=0; shift
  roots+=("$root")
  make_root "$root"
  say "$* in $root"
  started=$SECONDS
  in_root "$root" "$@" </dev/null 2>&1 | tee "$folder/$name.log" || status=$?
  if [ $status = 0 ]; then
    lines+=("$*: passed, cold, in $(minutes $((SECONDS - started)))")
  else
    lines+=("$*: FAILED (status $status) after $(minutes $((SECONDS - started))); its output is in $folder/$name.log")
    failed=1
  fi
}

[ -z "$(git -c safe.directory='*' -C "$repository" status --porcelain --untracked-files=no)" ] ||
  say "the checkout has changes that are not committed; the clone is of HEAD"
make_archive || refuse "mmdebstrap could not make the root; see above"
if [ ${#command[@]} -gt 0 ]; then
  measure command "${command[@]}"
else
  [ "$only" = test ] || measure demo ./run demo
  [ "$only" = demo ] || measure test ./run test
fi
if [ -z "$keep" ]; then
  for root in "${roots[@]}"; do remove_root "$root"; done
  rm -f "$archive" "$folder/host.sources" "$folder/apt.conf"
else
  for root in "${roots[@]}"; do
    lines+=("kept: unshare --mount --pid --fork sh -c 'mount --bind $root $root; mount --rbind /dev $root/dev; exec chroot $root'")
  done
fi
echo "commit: $(git -c safe.directory='*' -C "$repository" rev-parse --short HEAD), $(nproc) processors, ${JOBS:-all} jobs"
printf '%s\n' "${lines[@]}"
exit $failed
