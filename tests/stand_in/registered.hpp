// The kernels that nvcc left in this program, as PTX.
#pragma once

#include "ptx/kernel.hpp"

namespace skv::stand_in {

/// Is there PTX for all of them, in a way that is understood?
bool are_readable();

struct registered_kernel {
  const ptx::program& of;
  const ptx::kernel& code;
};
/// That of a function that the host launches. Throws std::runtime_error if its text is not understood.
registered_kernel find_registered(const void* host);

}  // namespace skv::stand_in
