# Run by the target gpu_bundle: fills FOLDER, and sees to it that a host needs only its C library.
set(limit 64000000)
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER}/bin ${FOLDER}/data)
foreach(program IN ITEMS ${TESTS} ${BENCH})
  file(COPY ${program} DESTINATION ${FOLDER}/bin)
  cmake_path(GET program FILENAME name)
  execute_process(COMMAND ${STRIP} ${FOLDER}/bin/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
file(COPY ${SCRIPT} DESTINATION ${FOLDER})
# Two sequences of each kind: enough for the benchmark, and for a bundle that is quickly carried.
foreach(split IN ITEMS calibration evaluation)
  foreach(kind IN ITEMS target target_e4m3 ${REFERENCE} ${REFERENCE}_for_e4m3)
    file(GLOB sequences ${DATA}/${split}/${kind}/*)  # in the order of their names
    if(NOT sequences)
      message(FATAL_ERROR "${DATA}/${split}/${kind} has no files")
    endif()
    list(SUBLIST sequences 0 2 sequences)
    file(COPY ${sequences} DESTINATION ${FOLDER}/data/${split}/${kind}
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  endforeach()
endforeach()
file(WRITE ${FOLDER}/data/reference ${REFERENCE})

set(host_libraries "^(ld-linux.*|linux-vdso|lib(c|m|dl|rt|pthread))\\.so")
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${TESTS} ${BENCH}
  RESOLVED_DEPENDENCIES_VAR carried UNRESOLVED_DEPENDENCIES_VAR missing
  PRE_EXCLUDE_REGEXES ${host_libraries} POST_EXCLUDE_REGEXES "/(${host_libraries})")
if(missing)
  message(FATAL_ERROR "not found: ${missing}")
endif()
foreach(library IN LISTS carried) # under the names that are asked for, no links
  cmake_path(GET library FILENAME name)
  file(REAL_PATH ${library} real)
  file(MAKE_DIRECTORY ${FOLDER}/lib)
  file(COPY_FILE ${real} ${FOLDER}/lib/${name})
endforeach()

file(GLOB_RECURSE files ${FOLDER}/*)
set(bytes 0)
foreach(file IN LISTS files)
  file(SIZE ${file} size)
  math(EXPR bytes "${bytes} + ${size}")
endforeach()
message(STATUS "${FOLDER}: ${bytes} bytes; carries ${carried}")
if(bytes GREATER_EQUAL limit)
  message(FATAL_ERROR "the bundle has more than ${limit} bytes")
endif()
