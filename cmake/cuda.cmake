# skv::cuda: the kernels and their host side; skv::c_cuda: the C ABI over it.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90)
endif()
enable_language(CUDA)
# nvcc's host compiler may be an older one than CMAKE_CXX_COMPILER, whose standard library is linked.
list(FILTER CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES EXCLUDE REGEX "/lib(32|64|x32)?/gcc/")
find_package(CUDAToolkit 12.4 REQUIRED)
set(SKV_CUDA_ARCHITECTURES "" CACHE STRING
  "In place of CMAKE_CUDA_ARCHITECTURES: of these, all that the installed nvcc knows")
if(SKV_CUDA_ARCHITECTURES)
  include(cmake/cuda_architectures.cmake)
  skv_known_architectures(CMAKE_CUDA_ARCHITECTURES ${CMAKE_CUDA_COMPILER} ${SKV_CUDA_ARCHITECTURES})
endif()

add_library(skv_cuda kernels/codec.cpp kernels/linear.cpp kernels/linear_plan.cpp kernels/plan.cpp
  kernels/pool.cpp kernels/tensor_codec.cpp)
add_library(skv::cuda ALIAS skv_cuda)
set_target_properties(skv_cuda PROPERTIES EXPORT_NAME cuda
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_link_libraries(skv_cuda PUBLIC skv::skv skv::cpu
  PRIVATE $<BUILD_INTERFACE:skv_build_flags> CUDA::cudart_static)

function(skv_add_kernels name)
  add_library(skv_cuda_${name} OBJECT ${ARGN})
  target_compile_options(skv_cuda_${name} PRIVATE
    # CMake 3.25 does not know the standards of nvcc 13.
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
  if(SKV_WARNINGS_AS_ERRORS)
    target_compile_options(skv_cuda_${name} PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
  endif()
  target_link_libraries(skv_cuda_${name} PRIVATE skv::skv)
  target_sources(skv_cuda PRIVATE $<TARGET_OBJECTS:skv_cuda_${name}>)
  set_property(GLOBAL APPEND PROPERTY SKV_KERNEL_OBJECTS $<TARGET_OBJECTS:skv_cuda_${name}>)
endfunction()

# Every format's kernels are objects of their own, for they take long to compile.
foreach(format IN ITEMS bf16 fp16 e4m3 e5m2)
  skv_add_kernels(${format} kernels/encode.cu kernels/decode.cu)
  target_compile_definitions(skv_cuda_${format} PRIVATE SKV_TARGET=${format})
endforeach()
skv_add_kernels(move kernels/compact.cu kernels/pool.cu)
skv_add_kernels(linear kernels/linear.cu)

# Beside skv::c, so that those who link that one alone link no CUDA.
file(GLOB sources CONFIGURE_DEPENDS src/c_cuda/*.cpp)
add_library(skv_c_cuda ${sources})
add_library(skv::c_cuda ALIAS skv_c_cuda)
set_target_properties(skv_c_cuda PROPERTIES EXPORT_NAME c_cuda
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON INSTALL_RPATH $ORIGIN)
target_include_directories(skv_c_cuda PRIVATE src)
target_link_libraries(skv_c_cuda PUBLIC skv::c
  PRIVATE skv::cuda $<BUILD_INTERFACE:skv_build_flags>)
skv_export_only(skv_c_cuda src/c_cuda/exports.map)
