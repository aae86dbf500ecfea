# assemble.cmake with programs of the test's own: what is in the folder, and what it refuses. SOURCE, STATIC, SHARED,
# STRIP and FOLDER are given.
cmake_minimum_required(VERSION 3.25)
function(assemble program result errors)
  execute_process(COMMAND ${CMAKE_COMMAND} -D FOLDER=${FOLDER} -D TESTS=${program} -D BENCH=${program}
      -D STRIP=${STRIP} -D SCRIPT=${SOURCE}/bench/gpu_bundle/run-all.sh
      -D DATA=${SOURCE}/tests/data/${ARGV3} -D REFERENCE=reference_fp8
      -P ${SOURCE}/bench/gpu_bundle/assemble.cmake
    RESULT_VARIABLE status ERROR_VARIABLE why OUTPUT_QUIET)
  set(${result} ${status} PARENT_SCOPE)
  string(REGEX REPLACE "[ \n]+" " " why "${why}") # CMake wraps it
  set(${errors} "${why}" PARENT_SCOPE)
endfunction()

function(expect_refused program data reason)
  assemble(${program} status why ${data})
  if(status EQUAL 0 OR NOT why MATCHES "${reason}")
    message(SEND_ERROR "'${reason}' was expected, not ${status}: ${why}")
  endif()
endfunction()

expect_refused(${SHARED} tiny "not linked statically: [^ ]*libstdc\\+\\+")
expect_refused(${STATIC} no_such_folder "no_such_folder/calibration/target has no files")

assemble(${STATIC} status why tiny)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${why}")
endif()
cmake_path(GET STATIC FILENAME name)
file(GLOB_RECURSE files RELATIVE ${FOLDER} ${FOLDER}/*)
foreach(file IN ITEMS run-all.sh bin/${name} data/reference)
  if(NOT file IN_LIST files)
    message(SEND_ERROR "${file} is not in the folder")
  endif()
endforeach()
foreach(split IN ITEMS calibration evaluation)
  foreach(kind IN ITEMS target target_e4m3 reference_fp8 reference_fp8_for_e4m3)
    set(sequences ${files})
    list(FILTER sequences INCLUDE REGEX "^data/${split}/${kind}/")
    if(NOT sequences)
      message(SEND_ERROR "there are no sequences of ${kind} for ${split}")
    endif()
  endforeach()
endforeach()
execute_process(COMMAND env -i ${FOLDER}/bin/${name} RESULT_VARIABLE status OUTPUT_VARIABLE said)
if(NOT status EQUAL 0 OR NOT said STREQUAL "a program\n")
  message(SEND_ERROR "the program in the folder does not run: ${status}")
endif()
