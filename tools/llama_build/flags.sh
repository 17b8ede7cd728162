# How llama-cpp-python is compiled, in one place: sourced by tools/setup.sh and by deploy/Dockerfile.
# The lean build takes 0.29 of the default build's CPU time (7 CPU minutes instead of 24).
#
#   . tools/llama_build/flags.sh [portable]
#
# With "portable" the compiler does not tune for the CPU it runs on: a container image will run elsewhere.
_lean="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)/lean.cmake"
export CMAKE_ARGS="-DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE=$_lean -DCMAKE_PROJECT_ggml_INCLUDE=$_lean"
if [ "${1:-}" = portable ]; then
  # x86-64-v3 (2013 and later): AVX2, FMA, F16C, BMI2; on other machines the compiler's baseline.
  CMAKE_ARGS="$CMAKE_ARGS -DGGML_NATIVE=OFF"
  if [ "$(uname -m)" = x86_64 ]; then
    CMAKE_ARGS="$CMAKE_ARGS -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
  fi
fi
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc 2>/dev/null || echo 2)}"
unset _lean
