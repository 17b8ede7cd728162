#!/usr/bin/env bash
# Builds llama.cpp's own llama-server from the source that lies in llama-cpp-python's source distribution, of the
# version that is installed, so that both sides of the benchmark decode with the same kernels. Takes 14 CPU minutes
# once. Needs cmake, a C++ compiler and the package registry.
#
#   benchmarks/local_engine/llama_server.sh FOLDER    # the program is FOLDER/bin/llama-server
set -euo pipefail
folder="$(mkdir -p "${1:?give a folder}" && cd "$1" && pwd)"
python="${PYTHON:-$(dirname "${BASH_SOURCE[0]}")/../../.venv/bin/python}"
version="$("$python" -c 'from importlib.metadata import version; print(version("llama-cpp-python"))')"

if [ -x "$folder/bin/llama-server" ]; then
  echo "llama-server is built already: $folder/bin/llama-server"
  exit 0
fi
echo "Fetching the source of llama-cpp-python $version"
mkdir -p "$folder/source"
"$python" -m pip download --quiet --no-deps --no-binary :all: \
  --dest "$folder/source" "llama-cpp-python==$version"
tar xzf "$folder/source/llama_cpp_python-$version.tar.gz" -C "$folder/source" --strip-components=1
echo "Building llama-server"
cmake -S "$folder/source/vendor/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF \
  -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
cmake --build "$folder/build" --target llama-server --parallel "$(nproc)"
mkdir -p "$folder/bin"
cp "$folder/build/bin/llama-server" "$folder/bin/llama-server"
"$folder/bin/llama-server" --version
