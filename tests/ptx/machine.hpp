// Runs kernels in PTX: all blocks are resident, and which warp goes on, how far, and which of its lanes first
// where they have parted, is drawn from a seed. (The kernels' own text runs, thread by thread, under
// simt/executor.hpp.)
#pragma once

#include "ptx/kernel.hpp"
#include "ptx/warp.hpp"
#include "simt/launch.hpp"

namespace skv::ptx {

/// Runs a kernel in all threads of the shape, to the end or to the first error: lanes that part at a collective,
/// waiting that cannot end, accesses that are misaligned or outside of memory, reads of what was never written, and
/// accesses to shared memory that no barrier keeps in order. `parameters`: as many bytes as the kernel has of them.
/// `counted`: what the launch accesses is added there.
simt::report launch(const program& of, const kernel& code, const simt::launch_shape& shape,
                    const std::byte* parameters, const memory_map& memory,
                    traffic* counted = nullptr);

}  // namespace skv::ptx
