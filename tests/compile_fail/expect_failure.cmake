# Run by skv_add_compile_fail.
set(command ${COMPILER} -std=c++20 -I${INCLUDE} -c ${SOURCE} -o ${OBJECT})

execute_process(COMMAND ${command} RESULT_VARIABLE status ERROR_VARIABLE message)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "without SKV_COMPILE_FAIL it should compile:\n${message}")
endif()

execute_process(COMMAND ${command} -DSKV_COMPILE_FAIL RESULT_VARIABLE status ERROR_VARIABLE message)
if(status EQUAL 0)
  message(FATAL_ERROR "with SKV_COMPILE_FAIL it should not compile")
endif()
if(NOT message MATCHES "${REGEX}")
  message(FATAL_ERROR "failed, but without '${REGEX}':\n${message}")
endif()
