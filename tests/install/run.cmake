# Run by ctest: builds and runs the consumer in an empty scratch folder.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})

if(MODE MATCHES "^installed")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --config ${CONFIG}
    --prefix ${SCRATCH}/prefix OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  set(where -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix)
else()
  # As quick to compile as can be: the whole library is, once more.
  set(CONFIG Debug)
  set(where -DSKV_SOURCE=${SOURCE} -DSKV_X86_ISAS=OFF -DSKV_ISA_FLAGS_scalar=
    -DSKV_ISA_FLAGS_portable= -DCMAKE_CXX_FLAGS_DEBUG=)
endif()

if(MODE STREQUAL "installed_c")
  list(APPEND where -DCONSUMER_C_ONLY=ON)
endif()

# The compiler and its flags are passed on: a sanitized library links only with the same sanitizer.
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${SCRATCH}/build
  -G ${GENERATOR} -DCMAKE_BUILD_TYPE=${CONFIG} -DCMAKE_C_COMPILER=${CC} -DCMAKE_CXX_COMPILER=${CXX}
  -DCMAKE_C_FLAGS=${C_FLAGS} -DCMAKE_CXX_FLAGS=${CXX_FLAGS}
  -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} ${where}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH}/build --config ${CONFIG}
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${SCRATCH}/build -C ${CONFIG}
  --output-on-failure --no-tests=error COMMAND_ERROR_IS_FATAL ANY)
