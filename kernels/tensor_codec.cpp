#include <algorithm>
#include <skv/cuda/tensor_codec.hpp>
#include <string>

#include "refuse.hpp"

namespace skv::cuda {

result<tensor_codec> tensor_codec::make(const profile_ptr& p, const block_geometry& geometry) {
  if (p->content().source != mean_source::given) return bad("the profile is for another predictor");
  if (geometry.tensor_count == 0 || geometry.tensor_count > kMaxTensors)
    return bad("a block has 1 to " + std::to_string(kMaxTensors) + " tensors");
  std::vector<codec> coders;
  for (std::uint32_t i = 0; i < geometry.tensor_count; ++i) {
    if (geometry.tensors[i].opaque_bytes != 0) return bad("opaque bytes are not predicted");
    block_geometry one = geometry;
    one.tensor_count = 1;
    one.tensors[0] = geometry.tensors[i];
    auto made = codec::make(p, one);
    if (!made) return made.failure();
    coders.push_back(*std::move(made));
  }
  return tensor_codec(std::move(coders));
}

std::size_t tensor_codec::workspace_bytes(std::uint32_t max_items, launch_limits limits) const {
  std::size_t most = 0;
  for (const codec& c : coders_) most = std::max(most, c.workspace_bytes(max_items, limits));
  return most;
}

}  // namespace skv::cuda
