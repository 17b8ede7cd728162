# The lean build of llama.cpp, in one place. CMake injects this file right after project(llama.cpp) and
# project(ggml) through CMAKE_PROJECT_<name>_INCLUDE; plain -D flags do not do, because llama-cpp-python's own
# CMakeLists forces LLAMA_BUILD_COMMON on.
if(PROJECT_NAME STREQUAL "ggml")
  set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG") # the kernels: every cycle counts
else()
  # Nothing that the Python binding calls lives in llama.cpp's "common" library.
  set(LLAMA_BUILD_COMMON OFF CACHE BOOL "" FORCE)
  # Graph building, tokenizer and samplers: -O1 halves the compile time and costs nothing that can be measured.
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -DNDEBUG")
endif()
