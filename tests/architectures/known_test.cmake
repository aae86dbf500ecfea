# Run with -D CASE, FOLDER and SOURCE: an nvcc that knows all, some or none of the architectures, or does not run.
cmake_minimum_required(VERSION 3.25)
include(${SOURCE}/cmake/cuda_architectures.cmake)
set(listed_all sm_75 sm_80 sm_86 sm_87 sm_89 sm_90 sm_90a sm_100 sm_103 sm_120)
set(listed_some sm_50 sm_80 sm_86 sm_87 sm_89 sm_90 sm_90a) # as of CUDA 12.4
set(listed_none sm_60 sm_70)
set(nvcc ${FOLDER}/nvcc)
list(JOIN listed_${CASE} "\\n" answer)
set(status 0)
if(CASE STREQUAL "broken")
  set(status 3)
endif()
file(WRITE ${nvcc} "#!/bin/sh
[ \"$*\" = --list-gpu-code ] || exit 1
printf '${answer}\\n'
exit ${status}
")
file(CHMOD ${nvcc} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
skv_known_architectures(known ${nvcc} 80 86 89 90 100 120)
set(expected_all 80 86 89 90 100 120)
set(expected_some 80 86 89 90)
if(NOT known STREQUAL expected_${CASE})
  message(FATAL_ERROR "${known}, not ${expected_${CASE}}")
endif()
