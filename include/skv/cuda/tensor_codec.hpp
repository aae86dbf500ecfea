// Layer by layer on a stream with any predictor: the mirror of cpu/tensor_codec.hpp.
#pragma once

#include <concepts>
#include <skv/cuda/codec.hpp>
#include <skv/predict/loop.hpp>
#include <vector>

namespace skv::cuda {

/// A type P predicts the blocks of a batch on a stream if
/// 1. `p.predict_async(layer, tensor, stream)` enqueues what makes the means of one tensor of one layer, and
///    says where they will lie: a cache, patterns in the profile's mean format, of which that layer and tensor
///    are read, and before the next prediction. So all layers may share memory (a layer stride of 0);
/// 2. `p.update_async(layer, tensor, numbers, stream)` enqueues what it takes from that tensor's exact numbers,
///    patterns in the target format: that layer and tensor of the cache `numbers`. What it has been shown stays
///    there: a predictor may read it later, too.
///
/// Layers and tensors are numbered as in the block_geometry, from 0. Encoder and decoder call predict and update
/// in the same order, layer after layer, and in a layer the tensors as they stand in the geometry: K before V.
/// Means must be a pure function of what the predictor was given and shown, to the last bit. The tiles' hashes
/// catch it if they are not. What a damaged block is decoded to is shown as well: a predictor must take
/// any patterns.
template <class P>
concept stream_predictor = requires(P& p, std::uint32_t layer, std::uint32_t tensor,
                                    const paged_cache& numbers, void* stream) {
  { p.predict_async(layer, tensor, stream) } -> std::same_as<result<paged_cache>>;
  { p.update_async(layer, tensor, numbers, stream) } -> std::same_as<result<done>>;
};

/// Where the tensors of a batch go: each has slots and arrays [layers][items] of its own.
struct encoded_tensors {
  encoded_places tensors[kMaxTensors];
};

/// Where they are.
struct stored_tensors {
  stored_places tensors[kMaxTensors];
};

inline stored_tensors as_stored(const encoded_tensors& e) {
  stored_tensors s;
  for (std::uint32_t i = 0; i < kMaxTensors; ++i) s.tensors[i] = as_stored(e.tensors[i]);
  return s;
}

/// Takes a batch through its layers with a predictor that needs each tensor before it can predict the next. For
/// every tensor of the geometry it has a codec, which is called for one layer after the other.
///
/// What is said of a codec holds here: calls enqueue on `stream` and return, and can be captured in a graph, if
/// the predictor's can; a tensor_codec is immutable. A batch of some layers goes on where the one before it
/// ended, with the same predictor. They fail with invalid_argument (layers that the geometry does not have) and as
/// the predictor or a codec does, which ends the walk: what was enqueued before that stays so.
class tensor_codec {
 public:
  /// Fails as codec::make does, and with invalid_argument if the profile's means are not given, or the geometry
  /// has opaque bytes: neither wants a predictor, but a codec of its own.
  static result<tensor_codec> make(const profile_ptr& p, const block_geometry& geometry);

  /// The codec of a tensor of the geometry, for all layers: how much room its blocks need, and what packs them.
  const codec& of(std::uint32_t tensor) const { return coders_[tensor]; }
  /// What the calls need for batches of up to `max_items`.
  std::size_t workspace_bytes(std::uint32_t max_items, launch_limits limits = {}) const;

  /// Asks `p` for the means of one tensor after the other, encodes it into slots, and shows it to `p`. Slots are
  /// not the blocks of `numbers`, which are wanted until the end; of(tensor).compact_async packs them.
  template <stream_predictor P>
  result<done> encode_async(P& p, const block_batch& batch, const paged_cache& numbers,
                            const encoded_tensors& out, workspace room, void* stream,
                            launch_limits limits = {}) const {
    for (std::uint32_t i = 0; i < coders_.size(); ++i) {
      if (out.tensors[i].packed != nullptr)
        return fail(status::invalid_argument, "tensors are encoded into slots");
      for (std::uint32_t t = 0; t < coders_.size(); ++t)
        if (are_same(out.tensors[i].slots, numbers.blocks_of(t)))
          return fail(status::invalid_argument, "tensors are not encoded in place");
    }
    return walk(p, batch, numbers, stream,
                [&](std::uint32_t tensor, const block_batch& layer, const paged_cache& exact,
                    const paged_cache& means) {
                  return coders_[tensor].encode_async(layer, exact, means, out.tensors[tensor],
                                                      room, stream, limits);
                });
  }

  /// The mirror: asks `p`, decodes into `numbers`, shows them to `p`. `statuses` [tensors][layers][items] are those
  /// of codec::decode_async. A block that had stayed raw is not decoded: whoever kept it puts it into
  /// `numbers` before, so that `p` sees it.
  template <stream_predictor P>
  result<done> decode_async(P& p, const block_batch& batch, const stored_tensors& in,
                            const paged_cache& numbers, status* statuses, workspace room,
                            void* stream, launch_limits limits = {}) const {
    if (statuses == nullptr) return fail(status::invalid_argument, "statuses must be given");
    return walk(p, batch, numbers, stream,
                [&](std::uint32_t tensor, const block_batch& layer, const paged_cache& exact,
                    const paged_cache& means) {
                  const std::size_t first = std::size_t{tensor} * layers() * batch.items;
                  return coders_[tensor].decode_async(layer, in.tensors[tensor], means, exact,
                                                      false, {}, statuses + first, room, stream,
                                                      limits);
                });
  }

 private:
  explicit tensor_codec(std::vector<codec> coders) : coders_(std::move(coders)) {}

  /// As far as the host can see: are two caches' blocks the same?
  static bool are_same(const block_places& a, const block_places& b) {
    if (a.pointers_dev != nullptr || b.pointers_dev != nullptr)
      return a.pointers_dev == b.pointers_dev;
    if (a.layer_bases_dev != nullptr || b.layer_bases_dev != nullptr)
      return a.layer_bases_dev == b.layer_bases_dev && a.indices_dev == b.indices_dev;
    return a.base == b.base && a.indices_dev == b.indices_dev;
  }
  std::uint32_t layers() const { return coders_.front().layers(); }
  /// A cache as the codec of one of its tensors knows it.
  static paged_cache only(paged_cache cache, std::uint32_t tensor) {
    cache.tensors[0] = cache.tensors[tensor];
    return cache;
  }

  /// The loop. `code(tensor, batch of one layer, numbers, means)` encodes or decodes.
  template <class P, class Code>
  result<done> walk(P& p, block_batch batch, const paged_cache& numbers, void* stream,
                    const Code& code) const {
    const auto range = layers_of(batch, layers());
    if (!range) return range.failure();
    batch.layers = 1;
    for (batch.first_layer = range->first; batch.first_layer < range->end; ++batch.first_layer)
      for (std::uint32_t tensor = 0; tensor < coders_.size(); ++tensor) {
        const auto ok = predict_code_update(
            [&] { return p.predict_async(batch.first_layer, tensor, stream); },
            [&](const paged_cache& means) {
              return code(tensor, batch, only(numbers, tensor), only(means, tensor));
            },
            [&] { return p.update_async(batch.first_layer, tensor, numbers, stream); });
        if (!ok) return ok;
      }
    return done{};
  }

  std::vector<codec> coders_;
};

}  // namespace skv::cuda
