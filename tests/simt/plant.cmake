# skv_plant(<target> <name> <file> <text> <replacement>): a copy of the kernels' headers with one bug.
# In kernels/<file>, <text>, which must be there exactly once, becomes <replacement>; everything of the
# copy is in namespace skv::cuda::<name>, and is included as <planted/<name>/...>. The kernels
# themselves know nothing of it, and a text that has changed stops the configuration.
function(skv_plant target name file text replacement)
  set(to ${CMAKE_CURRENT_BINARY_DIR}/planted/${name})
  set(headers decode.cuh encode.cuh head_layout.hpp linear.cuh linear_parameters.hpp pages.cuh
    parameters.hpp plan.hpp
    product.cuh rounds.cuh stored.cuh tuning.hpp)
  foreach(header IN LISTS headers)
    set(from ${PROJECT_SOURCE_DIR}/kernels/${header})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${from})
    file(READ ${from} content)
    if(header STREQUAL file)
      string(FIND "${content}" "${text}" first)
      string(FIND "${content}" "${text}" last REVERSE)
      if(first EQUAL -1 OR NOT first EQUAL last)
        message(FATAL_ERROR "kernels/${file} must have this once, for the bug ${name}:\n${text}")
      endif()
      string(REPLACE "${text}" "${replacement}" content "${content}")
    endif()
    string(REPLACE "namespace skv::cuda {" "namespace skv::cuda::${name} {" content "${content}")
    file(CONFIGURE OUTPUT ${to}/${header} CONTENT "${content}" @ONLY)
  endforeach()
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

# Sizes are added up before all tiles are there.
skv_plant(test_simt missing_barrier encode.cuh
"        if (device::lane() == 0) staged[i] = s;
      }
      device::sync_block();
" "        if (device::lane() == 0) staged[i] = s;
      }
")
# A word too many is copied: behind the last tile, beyond the block.
skv_plant(test_simt out_of_bounds pages.cuh
  "for (std::uint32_t i = device::lane(); i < whole; i += kLanes)"
  "for (std::uint32_t i = device::lane(); i <= whole; i += kLanes)")
# In place, tiles are decoded from where the numbers of others are written.
skv_plant(test_simt in_place_overlap decode.cuh
  "(staged == nullptr ? s.bytes : staged) + at" "s.bytes + at")
# A stage of a product is filled while some warps still multiply what is in it.
skv_plant(test_simt missing_stage_barrier product.cuh
"      device::sync_block();  // and all are done with the stage that is filled now
" "")
# Of the stride of tokens only the lower half counts, where a tile begins.
skv_plant(test_simt narrow_stride plan.hpp
  "std::int64_t{first_token} * t.token_stride_bytes"
  "std::int64_t{first_token * static_cast<std::uint32_t>(t.token_stride_bytes)}")
# Nothing is planted: what the tests say of the others is not due to the copy.
skv_plant(test_simt no_bug rounds.cuh "device::sync_block();
  if (device::thread() == 0)" "device::sync_block();
  if (device::thread() == 0)")
