// Streams of the stand-in.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace skv::stand_in {

/// Success if nothing is captured; otherwise why a call is refused, which ends every capture.
cudaError_t outside_of_captures(cudaError_t why = cudaErrorStreamCaptureUnsupported);

using work = std::function<cudaError_t()>;
/// Does it at once, or, while the stream is captured, keeps it for the graph.
cudaError_t submit(cudaStream_t stream, work w);

}  // namespace skv::stand_in
