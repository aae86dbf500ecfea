// Memory of the stand-in's device.
#pragma once

#include "ptx/memory.hpp"

namespace skv::stand_in {

/// What the device says it has. More can be allocated, as mere addresses that all count as written.
inline constexpr std::size_t kMemoryBytes = std::size_t{128} << 20;

/// All that is allocated.
const ptx::memory_map& device_memory();

}  // namespace skv::stand_in
