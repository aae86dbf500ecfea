// Linear propagation through the streams of a container. For archive.cpp alone.
#pragma once

#include <functional>
#include <limits>
#include <skv/cpu/archive.hpp>
#include <skv/cpu/outside.hpp>

#include "jobs.hpp"

namespace skv::cpu {

/// Which stream is which tensor of the profile.
class linear_streams {
 public:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  /// Fails with wrong_profile for a tensor that the profile does not know.
  static result<linear_streams> of(const container& c, const codec& coder);

  const linear_steps& steps() const { return steps_; }
  const linear_tensor& tensor(std::size_t index) const { return steps_.model().tensors[index]; }
  std::size_t index_of(std::size_t stream) const { return index_of_[stream]; }
  /// kNone if the container lacks the tensor, and for outside rows.
  std::size_t stream_of(std::size_t source) const {
    return source < stream_of_.size() ? stream_of_[source] : kNone;
  }
  /// Streams of tensors, in the order of coding.
  std::vector<std::size_t> in_order() const;
  /// A tensor's stream, and before it those that its means depend on.
  std::vector<std::size_t> chain_of(std::size_t stream) const;

 private:
  explicit linear_streams(profile_ptr p)
      : steps_(p), stream_of_(p->content().scales.size(), kNone) {}

  linear_steps steps_;
  std::vector<std::size_t> index_of_, stream_of_;
};

/// Encoding: all numbers are at hand, so tiles need not wait for each other.
class linear_encoder {
 public:
  /// Borrows everything but `coder`; `outside` as linear_chain. Fails as linear_streams::of.
  static result<linear_encoder> of(const container& c, const codec& coder,
                                   std::span<const std::byte> source,
                                   const std::vector<row_view<const std::byte>>& bases,
                                   const outside_rows* outside);

  /// The means of a tile, in `room` or elsewhere.
  row_view<const std::byte> means_of(const job& j, std::vector<std::byte>& room) const;

 private:
  linear_encoder(const container& c, linear_streams streams,
                 const std::vector<row_view<const std::byte>>& bases, const outside_rows* outside)
      : c_(&c), streams_(std::move(streams)), bases_(&bases), outside_(outside) {}

  const container* c_;
  linear_streams streams_;
  const std::vector<row_view<const std::byte>>* bases_;
  const outside_rows* outside_;
  std::vector<const std::byte*> numbers_;  // of every stream
};

/// Decoding: bands of positions do not depend on each other; within a band a tensor needs those
/// that it is predicted from. A band has at most one tile of a tensor.
class linear_decoder {
 public:
  /// Receives tiles on the calling thread.
  using tile_sink = std::function<result<done>(const job&, std::span<const std::byte>)>;

  /// Borrows everything; `outside` as linear_chain. Fails as linear_streams::of.
  static result<linear_decoder> of(const container& c, const codec& coder,
                                   std::span<const std::byte> file,
                                   const std::vector<row_view<const std::byte>>& bases,
                                   const outside_rows* outside);

  /// Decodes all tensors, some bands at a time, tensor by tensor.
  result<done> for_each_tile(const archive_options& options, const tile_sink& sink) const;

  /// Decodes the wanted tiles of a tensor, and for each those that it depends on.
  result<done> read_tiles(
      std::size_t stream, const std::function<bool(const tile_range&)>& wanted,
      const std::function<void(const job&, std::span<const std::byte>)>& sink) const;

 private:
  class chain;
  struct place {
    std::uint64_t first_tile = 0, source_begin = 0;
  };

  linear_decoder(const container& c, const codec& coder, linear_streams streams,
                 std::span<const std::byte> file,
                 const std::vector<row_view<const std::byte>>& bases, const outside_rows* outside)
      : c_(&c),
        coder_(&coder),
        streams_(std::move(streams)),
        file_(file),
        bases_(&bases),
        outside_(outside) {}

  /// The tile of a stream in a band, if it has one.
  std::optional<job> job_in(std::size_t stream, std::uint64_t band) const;

  const container* c_;
  const codec* coder_;
  linear_streams streams_;
  std::span<const std::byte> file_;
  const std::vector<row_view<const std::byte>>* bases_;
  const outside_rows* outside_;
  std::vector<place> places_;              // of every stream
  std::vector<std::uint64_t> file_begin_;  // of every tile
};

}  // namespace skv::cpu
