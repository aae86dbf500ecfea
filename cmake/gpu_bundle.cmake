# The preset gpu-bundle: a folder, build/gpu-bundle/bundle, with the tests and the benchmark of the
# GPU, their data and run-all.sh, for a GPU host where nothing is installed.
#
# All but the C library is linked statically. Google Benchmark, which Debian has only as a shared library, is built
# from its source; FETCHCONTENT_SOURCE_DIR_BENCHMARK names one that is there already.
set(SKV_BUNDLE_DATA ${PROJECT_SOURCE_DIR}/tests/data/tiny CACHE PATH
  "Folder with calibration/ and evaluation/ that the benchmark in the bundle runs on")
set(SKV_BUNDLE_REFERENCE reference_fp8 CACHE STRING "The reference in SKV_BUNDLE_DATA")

# Called before any library is looked for.
macro(skv_prefer_static_libraries)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  set(BENCHMARK_INSTALL_DOCS OFF)
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # its options heed these
  include(FetchContent)
  FetchContent_Declare(benchmark
    URL https://deb.debian.org/debian/pool/main/b/benchmark/benchmark_1.7.1.orig.tar.gz
        https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz
    URL_HASH SHA256=6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7
    DOWNLOAD_EXTRACT_TIMESTAMP ON OVERRIDE_FIND_PACKAGE)
  FetchContent_MakeAvailable(benchmark) # here, where SKV_UNITY does not reach it
endmacro()

# Called when all targets are there.
function(skv_add_gpu_bundle)
  set(folder ${PROJECT_BINARY_DIR}/bundle)
  foreach(target IN ITEMS test_gpu device_bench)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  endforeach()
  add_custom_target(gpu_bundle ALL VERBATIM
    COMMAND ${CMAKE_COMMAND} -D FOLDER=${folder} -D TESTS=$<TARGET_FILE:test_gpu>
      -D BENCH=$<TARGET_FILE:device_bench> -D STRIP=${CMAKE_STRIP}
      -D SCRIPT=${PROJECT_SOURCE_DIR}/bench/gpu_bundle/run-all.sh
      -D DATA=${SKV_BUNDLE_DATA} -D REFERENCE=${SKV_BUNDLE_REFERENCE}
      -P ${PROJECT_SOURCE_DIR}/bench/gpu_bundle/assemble.cmake
    DEPENDS test_gpu device_bench)
endfunction()
