# The reference lanes are for comparison, not for speed; inlining all of their loops takes minutes.
set(SKV_ISA_FLAGS_scalar -O1 CACHE STRING "Flags for the reference lanes of the CPU codec")
set(SKV_ISA_FLAGS_portable -O2 CACHE STRING "Flags for the portable lanes of the CPU codec")
mark_as_advanced(SKV_ISA_FLAGS_scalar SKV_ISA_FLAGS_portable)
set(SKV_ISA_FLAGS_avx2 -mavx2 -mbmi -mbmi2 -mlzcnt -mpopcnt)
# GCC 12 builds vector constants in registers, inside loops, unless told that moves to vector
# registers are slow; -fno-gcse and -fno-tree-pre keep it from carrying more values through a step
# than registers hold.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND SKV_ISA_FLAGS_avx2 -O2 -fno-gcse -fno-tree-pre -mtune=znver3
    -mtune-ctrl=^inter_unit_moves_to_vec)
endif()
set(SKV_ISA_FLAGS_avx512 ${SKV_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512cd
  -mavx512vbmi -mavx512vbmi2 -mavx512vnni -mprefer-vector-width=512)

set(skv_isas scalar portable)
if(SKV_X86_ISAS AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64|i[3-6]86)$")
  list(APPEND skv_isas avx2 avx512)
  target_compile_definitions(skv_build_flags INTERFACE SKV_HAVE_X86_ISAS)
endif()

# skv_add_isa_objects(<library> <sources>...): compiles sources once for every instruction set, each
# time with SKV_ISA_NAMESPACE set to its name (and SKV_ISA_SCALAR for scalar), and adds the objects
# to library; SKV_HAVE_X86_ISAS tells all code of this project that avx2 and avx512 exist. Each copy keeps its
# code in a namespace of that name: an inline function outside it could be merged with another
# copy's, and an old machine would run new instructions (tests/isa checks).
function(skv_add_isa_objects library)
  foreach(isa IN LISTS skv_isas)
    add_library(${library}_${isa} OBJECT ${ARGN})
    target_include_directories(${library}_${isa} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_compile_definitions(${library}_${isa} PRIVATE SKV_ISA_NAMESPACE=${isa}
      $<$<STREQUAL:${isa},scalar>:SKV_ISA_SCALAR>)
    target_compile_options(${library}_${isa} PRIVATE ${SKV_ISA_FLAGS_${isa}})
    target_link_libraries(${library}_${isa} PRIVATE skv::skv skv_build_flags)
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:${library}_${isa}>)
  endforeach()
endfunction()
