#!/usr/bin/env bash
# Builds bazel-optional with the system's Bazel, runs its unit tests, and looks at what came out.
#
#   bazel_build.sh ROOT FOLDER     FOLDER keeps Bazel's output for the next run; JOBS (default all cores)
#
# Nothing is installed, nothing is downloaded, and no Bazel server stays behind (--batch).
set -euo pipefail
root=$1 out=$2
fail() { echo "bazel_build: $*" >&2; exit 1; }

command -v bazel >/dev/null || fail "no bazel; ./run test bazel installs it (Debian's bazel-bootstrap)"
mkdir -p "$out/home"
# Only what Debian installed: no compiler wrappers, no settings of whoever runs this. (/etc/bazel/bazelrc says where Bazel is.)
run_bazel() {
  env -i PATH=/usr/bin:/bin HOME="$out/home" LC_ALL=C.UTF-8 \
    bazel --batch --nohome_rc --noworkspace_rc --output_user_root="$out/root" "$@"
}

cd "$root/bazel-optional"
run_bazel test --symlink_prefix="$out/link-" --jobs="${JOBS:-$(nproc)}" --spawn_strategy=local \
  --experimental_repository_disable_download --curses=no --color=no --noshow_progress --test_output=errors \
  //:all

# What came out must run, and must be of this version.
bin=$out/link-bin/external/wheelpit
version=$(sed -n 's/^project(wheelpit VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
for program in wheelpit-server wheelpit wheelpit-adapter; do
  said=$("$bin/$program" --version) || fail "$program --version ended with status $?"
  case $said in
    *"$version"*) echo "$program: $said" ;;
    *) fail "$program --version says \"$said\", expected $version" ;;
  esac
done
symbols=$(nm -C --defined-only "$bin/libwheelpit.a" 2>/dev/null)
for class in Submitter Worker Reporter; do
  case $symbols in
    *" T wheelpit::$class::"*) ;;
    *) fail "libwheelpit.a defines nothing of wheelpit::$class" ;;
  esac
done
echo "libwheelpit.a: $(ar t "$bin/libwheelpit.a" | wc -l) objects"

left=$(ps -eo pid=,args= | grep -F -- "--output_user_root=$out/root" | grep -vF grep || true)
[ -z "$left" ] || fail "a Bazel server is still running: $left"
echo "result: passed"
