// Streams run their work at once, or, while they are captured, keep it for the graph: what a device refuses then
// (allocations, waits, the legacy stream) is refused here, and ends the capture.
#include "stand_in/streams.hpp"

#include <chrono>
#include <memory>
#include <set>
#include <utility>
#include <vector>

using namespace skv::stand_in;

struct CUgraph_st {
  std::vector<work> nodes;
};
struct CUgraphExec_st {
  std::vector<work> nodes;
};
struct CUstream_st {
  std::unique_ptr<CUgraph_st> captured;
  bool is_invalid = false;  ///< the capture: something was done that no graph can have
};
struct CUevent_st {
  std::chrono::steady_clock::time_point at;
  bool is_captured = false;
};

namespace skv::stand_in {
namespace {

/// Streams that are captured, all in the global mode: what one forbids it forbids everywhere.
std::set<cudaStream_t>& capturing() {
  static std::set<cudaStream_t> all;
  return all;
}

cudaError_t invalidate(cudaStream_t stream, cudaError_t why) {
  stream->is_invalid = true;
  return why;
}

}  // namespace

cudaError_t outside_of_captures(cudaError_t why) {
  for (const cudaStream_t s : capturing()) s->is_invalid = true;
  return capturing().empty() ? cudaSuccess : why;
}

cudaError_t submit(cudaStream_t stream, work w) {
  if (stream == nullptr) {  // the legacy stream, which waits for all others
    const cudaError_t e = outside_of_captures(cudaErrorStreamCaptureImplicit);
    return e == cudaSuccess ? w() : e;
  }
  if (stream->captured == nullptr) return w();
  if (stream->is_invalid) return cudaErrorStreamCaptureInvalidated;
  stream->captured->nodes.push_back(std::move(w));
  return cudaSuccess;
}

}  // namespace skv::stand_in

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  capturing().erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr) return outside_of_captures(cudaErrorStreamCaptureImplicit);
  return stream->captured == nullptr ? cudaSuccess
                                     : invalidate(stream, cudaErrorStreamCaptureUnsupported);
}
// What was recorded is done already. Streams that join a capture are not modelled: they are refused.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const bool is_captured = stream != nullptr && stream->captured != nullptr;
  if (is_captured == event->is_captured) return cudaSuccess;
  return is_captured ? invalidate(stream, cudaErrorStreamCaptureIsolation)
                     : outside_of_captures(cudaErrorStreamCaptureUnsupported);
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (stream == nullptr || stream->captured != nullptr) return cudaErrorStreamCaptureUnsupported;
  if (mode != cudaStreamCaptureModeGlobal) return cudaErrorInvalidValue;
  stream->captured = std::make_unique<CUgraph_st>();
  stream->is_invalid = false;
  capturing().insert(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || stream->captured == nullptr) return cudaErrorIllegalState;
  capturing().erase(stream);
  const std::unique_ptr<CUgraph_st> captured = std::exchange(stream->captured, nullptr);
  if (stream->is_invalid) return cudaErrorStreamCaptureInvalidated;
  *graph = new CUgraph_st{*captured};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const work& node : executable->nodes)
    if (const cudaError_t e = submit(stream, node); e != cudaSuccess) return e;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->is_captured = stream != nullptr && stream->captured != nullptr;
  return submit(stream, [event] {
    event->at = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return event->is_captured ? outside_of_captures() : cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return cudaSuccess;
}

}  // extern "C"
