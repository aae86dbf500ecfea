# The preset gpu-bundle: a folder, build/gpu-bundle/bundle, with the tests and the benchmark of the
# GPU, their data and run-all.sh, for a GPU host where nothing is installed.
#
# Libraries are linked statically where the distribution has them so. What it has only as a shared
# library (Debian: Google Benchmark) lies in lib/, with the C++ runtime that it needs.
set(SKV_BUNDLE_DATA ${PROJECT_SOURCE_DIR}/tests/data/tiny CACHE PATH
  "Folder with calibration/ and evaluation/ that the benchmark in the bundle runs on")
set(SKV_BUNDLE_REFERENCE reference_fp8 CACHE STRING "The reference in SKV_BUNDLE_DATA")

# Called before any library is looked for.
macro(skv_prefer_static_libraries)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
endmacro()

# Called when all targets are there.
function(skv_add_gpu_bundle)
  set(folder ${PROJECT_BINARY_DIR}/bundle)
  find_package(benchmark REQUIRED)
  get_target_property(type benchmark::benchmark TYPE)
  set(static test_gpu)
  if(NOT type STREQUAL "SHARED_LIBRARY")
    list(APPEND static device_bench)
  endif()
  foreach(target IN LISTS static)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  endforeach()
  set_target_properties(device_bench PROPERTIES
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH $ORIGIN/../lib)
  add_custom_target(gpu_bundle ALL VERBATIM
    COMMAND ${CMAKE_COMMAND} -D FOLDER=${folder} -D TESTS=$<TARGET_FILE:test_gpu>
      -D BENCH=$<TARGET_FILE:device_bench> -D STRIP=${CMAKE_STRIP}
      -D SCRIPT=${PROJECT_SOURCE_DIR}/bench/gpu_bundle/run-all.sh
      -D DATA=${SKV_BUNDLE_DATA} -D REFERENCE=${SKV_BUNDLE_REFERENCE}
      -P ${PROJECT_SOURCE_DIR}/bench/gpu_bundle/assemble.cmake
    DEPENDS test_gpu device_bench)
endfunction()
