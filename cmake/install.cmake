include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/skv)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp" PATTERN "*.cuh")
install(TARGETS skv_headers skv_cpu skv_c EXPORT skv-targets)
if(SKV_CUDA)
  install(TARGETS skv_cuda skv_c_cuda EXPORT skv-targets)
endif()
if(SKV_BUILD_PROGRAM)
  install(TARGETS skv)
endif()

install(EXPORT skv-targets NAMESPACE skv:: DESTINATION ${package_dir})
# What a C++ compiler links beyond a C compiler.
set(skv_cxx_runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(REMOVE_ITEM skv_cxx_runtime ${CMAKE_C_IMPLICIT_LINK_LIBRARIES})
configure_package_config_file(cmake/skv-config.cmake.in
  ${PROJECT_BINARY_DIR}/skv-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/skv-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/skv-config.cmake ${PROJECT_BINARY_DIR}/skv-config-version.cmake
  cmake/FindxxHash.cmake cmake/FindZSTD.cmake DESTINATION ${package_dir})
