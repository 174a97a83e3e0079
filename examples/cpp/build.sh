#!/bin/sh
# Builds the examples into a folder: build.sh [FOLDER]. Debian and Ubuntu have what it takes:
# apt-get install g++ pkg-config protobuf-compiler protobuf-compiler-grpc libgrpc++-dev libprotobuf-dev
set -e
here=$(dirname "$0")
proto=$here/../../proto
out=${1:-$here/build}
mkdir -p "$out"
protoc -I "$proto" --cpp_out="$out" --grpc_out="$out" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" "$proto"/optistore/v1/*.proto
flags="-std=c++17 -I$out $(pkg-config --cflags grpc++ protobuf)"
printf '%s\n' "$out"/optistore/v1/*.cc | xargs -P 2 -I {} g++ $flags -c {} -o {}.o
for name in ten_lines save load; do
  g++ $flags -O2 "$here/$name.cpp" "$out"/optistore/v1/*.o -o "$out/$name" $(pkg-config --libs grpc++ protobuf)
done
