#!/bin/bash
# Installs the SDK from BUILD, builds this folder outside the tree by CMake and by pkg-config, and runs both programs against SERVER.
#
#   build_outside.sh BUILD SERVER
set -euo pipefail
build=$(realpath "$1")
server=$(realpath "$2")
example=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
server_pid=
cleanup() {
  [ -z "$server_pid" ] || { kill "$server_pid" 2>/dev/null; wait "$server_pid" || true; }
  rm -rf "$work"
}
trap cleanup EXIT

cmake --install "$build" --prefix "$work/prefix" --component sdk >"$work/install.log"
for header in "$work"/prefix/include/wheelpit/*.h; do
  if grep -nE 'client/sdk|grpc|\.pb\.h' "$header"; then
    echo "$header: knows what is not installed" >&2
    exit 1
  fi
done

cp -r "$example" "$work/source"
cmake -G Ninja -S "$work/source" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log" ||
  { cat "$work/configure.log"; exit 1; }
cmake --build "$work/build"

pc=$(dirname "$(find "$work/prefix" -name wheelpit.pc)")
# shellcheck disable=SC2046
${CXX:-g++} -std=c++17 "$work/source/example.cc" -o "$work/example_pc" \
  $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs wheelpit)

"$server" --data_dir="$work/data" --grpc_port=0 --http_port=0 --apis_port=0 --ports_file="$work/ports.json" \
  2>"$work/server.log" &
server_pid=$!
until [ -s "$work/ports.json" ]; do
  kill -0 "$server_pid" 2>/dev/null || { cat "$work/server.log"; exit 1; }
  read -rt 0.1 <> <(:) || true
done
address=$(sed -nE 's/.*"grpc": ?"([^"]+)".*/\1/p' "$work/ports.json")
for program in "$work/build/example" "$work/example_pc"; do
  "$program" "$address" | tee "$work/output"
  grep -qx 'hello world' "$work/output"
done
# Two processes counted once each.
grep -qx 'greetings 2' "$work/output"
echo "ok"
