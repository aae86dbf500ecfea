// .skv files tensor by tensor, with a predictor that lives outside the library: the loop of an inference
// engine. Where all means are at hand from the start, cpu/archive.hpp does the same on whole caches.
#pragma once

#include <optional>
#include <skv/cpu/archive.hpp>
#include <skv/predict/loop.hpp>
#include <vector>

namespace skv::cpu {

/// Where a file stands that is written or read stream by stream.
class layered_archive {
 public:
  /// The next stream; null after the last.
  const stream* next() const;
  /// The shape of the next stream, which must be a tensor.
  tensor_shape shape() const;

 protected:
  // Tensors must ascend by id and have fewer than 2^32 tokens.
  static result<done> check(const container& c, const codec& coder, const outside_rows* outside);
  layered_archive(const codec& by, unsigned at_once) : used_coder(&by), used_threads(at_once) {}

  result<done> check_next(bool is_tensor, mean_source source) const;
  // Tiles of the next stream: their records come from or go to `box`.
  void advance();

  const codec* used_coder;
  unsigned used_threads;
  container box;
  std::size_t stream_index = 0, tile_index = 0;
};

/// Writes a .skv file tensor by tensor, in the order of the streams of its container: tensors in ascending
/// order of id, opaque bytes where they are.
///
///     auto w = archive_writer::begin(box, coder, sink);
///     while (w->next())
///       w->write(predictor, numbers of w->shape().id);
///     auto front = w->finish();
class archive_writer : public layered_archive {
 public:
  /// `c` has everything but records. `sink` receives the tiles' bytes; in the file they follow what `finish`
  /// returns, whose size is that of front_matter(c) with count_tiles(c.streams) records. Borrows `coder`.
  /// `outside`: the rows that the predictor has, if the profile predicts from any; only compared.
  /// Fails with unsupported (streams that do not ascend) or wrong_profile.
  static result<archive_writer> begin(container c, const codec& coder, byte_sink sink,
                                      unsigned threads = 0, const outside_rows* outside = nullptr);

  /// The next tensor: asks `p` for its means, encodes its numbers (as in codec::encode, [tokens][heads *
  /// head_dim]) and shows them to `p`. Fails with invalid_argument (the next stream is no tensor, `p` has no
  /// means or is not what the profile is for), or as codec::encode or `sink` do.
  template <predictor P>
  result<done> write(P& p, row_view<const std::byte> numbers) {
    if (auto ok = check_next(true, P::kSource); !ok) return ok;
    return predict_code_update(p, shape(), numbers, [&](row_view<const std::byte> means) {
      return encode(numbers, means);
    });
  }

  /// The next stream, which must be opaque, and of this size. Fails with invalid_argument or as `sink` does.
  result<done> write_opaque(std::span<const std::byte> bytes);

  /// The bytes before the tiles. Fails with invalid_argument if streams are missing.
  result<std::vector<std::byte>> finish() const;

 private:
  archive_writer(const codec& coder, byte_sink sink, unsigned threads)
      : layered_archive(coder, threads), sink_(std::move(sink)) {}
  result<done> encode(row_view<const std::byte> numbers, row_view<const std::byte> means);

  byte_sink sink_;
};

/// The mirror: the same loop with the same predictor.
class archive_reader : public layered_archive {
 public:
  /// A file, of which `c` was parsed, and the predictor and outside rows that its reader has. Borrows
  /// `file` and `coder`. Fails with wrong_prediction if another predictor made the file's means,
  /// wrong_profile, or unsupported (streams that do not ascend), before anything is decoded.
  static result<archive_reader> begin(container c, const codec& coder,
                                      std::span<const std::byte> file, const predictor_identity& by,
                                      unsigned threads = 0, const outside_rows* outside = nullptr);

  /// The next tensor: asks `p`, decodes into `numbers`, shows them to `p`. Fails as archive_writer::write, or
  /// as codec::decode; `numbers` then hold no particular values.
  template <predictor P>
  result<done> read(P& p, row_view<std::byte> numbers) {
    if (auto ok = check_next(true, P::kSource); !ok) return ok;
    const row_view<const std::byte> decoded{numbers.data, numbers.token_stride_bytes};
    return predict_code_update(p, shape(), decoded, [&](row_view<const std::byte> means) {
      return decode(means, numbers);
    });
  }

  /// The next stream, which must be opaque. Its memory grows with what has been restored, not with what the
  /// file announces. Fails with invalid_argument or corrupt.
  result<std::vector<std::byte>> read_opaque();

 private:
  archive_reader(const codec& coder, std::span<const std::byte> file, unsigned threads)
      : layered_archive(coder, threads), file_(file) {}
  result<done> decode(row_view<const std::byte> means, row_view<std::byte> numbers);

  std::span<const std::byte> file_;
  std::uint64_t at_ = 0;  // of the next tile's bytes
};

}  // namespace skv::cpu
