# Flags for code of this project only; none reaches a user's targets.
add_library(skv_build_flags INTERFACE)

# A fused multiply-add rounds once where two operations round twice: calibration must give the same
# tables on every machine.
target_compile_options(skv_build_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>
  $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false -Xcompiler=-ffp-contract=off>)

# Without -Wconversion: 8- and 16-bit lane arithmetic promotes to int at every step, and the casts
# it would ask for hide more than they show. The tests compare whole value ranges instead.
# -Wno-psabi: wide vectors change the calling convention, but never cross an object's border.
target_compile_options(skv_build_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-psabi>
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
# CMake 3.25 knows no C++20 for nvcc.
target_compile_options(skv_build_flags INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms inside std::string (GCC bug 105651).
  target_compile_options(skv_build_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(SKV_WARNINGS_AS_ERRORS)
  target_compile_options(skv_build_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C,CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()

if(SKV_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "SKV_BUILD_FUZZERS needs clang: use the preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(SKV_CCACHE ccache)
  mark_as_advanced(SKV_CCACHE)
  if(SKV_CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${SKV_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${SKV_CCACHE})
  endif()
endif()

# skv_export_only(<library> <map>): if shared, the library shows what the linker's version script
# lists. Hidden visibility is not enough: the standard library's templates are declared visible.
function(skv_export_only library map)
  cmake_path(ABSOLUTE_PATH map)
  get_target_property(type ${library} TYPE)
  if(type STREQUAL "SHARED_LIBRARY" AND UNIX AND NOT APPLE)
    target_link_options(${library} PRIVATE LINKER:--version-script=${map})
    set_property(TARGET ${library} APPEND PROPERTY LINK_DEPENDS ${map})
  endif()
endfunction()
