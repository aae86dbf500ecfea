if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual)
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

file(GLOB sources CONFIGURE_DEPENDS kernels/*.cu)
add_library(skv_cuda ${sources})
add_library(skv::cuda ALIAS skv_cuda)
set_target_properties(skv_cuda PROPERTIES EXPORT_NAME cuda
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_link_libraries(skv_cuda PUBLIC skv::skv
  PRIVATE $<BUILD_INTERFACE:skv_build_flags> CUDA::cudart_static)
