// Layer by layer with any predictor: the loop of an inference engine.
#pragma once

#include <skv/cpu/codec.hpp>
#include <skv/predict/loop.hpp>
#include <vector>

namespace skv::cpu {

/// One tensor, compressed: a record per tile, and the tiles' bytes one after the other.
struct encoded_tensor {
  std::vector<tile_record> records;
  std::vector<std::byte> bytes;
};

/// Tokens per tile of a tensor: about 65,536 numbers.
inline std::uint32_t tokens_per_tile(const tensor_shape& t) {
  const std::uint32_t fit = t.width() == 0 ? 1 : 65536 / t.width();
  return fit == 0 ? 1 : fit;
}

namespace detail {
// Calls f(slice, first token) for every tile until one fails.
template <class F>
result<done> for_each_tile(const tensor_shape& t, F&& f) {
  const std::uint32_t step = tokens_per_tile(t);
  for (std::uint32_t first = 0; first < t.tokens; first += step) {
    const std::uint32_t tokens = t.tokens - first < step ? t.tokens - first : step;
    if (auto ok = f(tile_slice{t.id, t.heads, t.head_dim, 0, t.heads, tokens}, first); !ok)
      return ok;
  }
  return done{};
}
}  // namespace detail

/// Asks `p` for the means of a tensor, encodes it, and shows it to `p`.
/// Fails as codec::encode, and with invalid_argument if `p` is not what the profile is for.
template <predictor P>
result<encoded_tensor> encode_tensor(const codec& coder, P& p, const tensor_shape& t,
                                     row_view<const std::byte> numbers) {
  if (P::kSource != coder.source())
    return fail(status::invalid_argument, "the profile is for another predictor");
  encoded_tensor e;
  const auto ok = predict_code_update(p, t, numbers, [&](row_view<const std::byte> means) {
    return detail::for_each_tile(t, [&](const tile_slice& s, std::uint32_t first) -> result<done> {
      const std::size_t at = e.bytes.size();
      e.bytes.resize(at + coder.max_tile_bytes(s.shape()));
      const auto record =
          coder.encode(s, numbers.from(first), means.from(first), std::span(e.bytes).subspan(at));
      if (!record) return record.failure();
      e.bytes.resize(at + record->bytes());
      e.records.push_back(*record);
      return done{};
    });
  });
  if (!ok) return ok.failure();
  return e;
}

/// The mirror: asks `p`, decodes into `numbers`, shows them to `p`.
/// Fails as codec::decode, and with corrupt if records are missing or left over.
template <predictor P>
result<done> decode_tensor(const codec& coder, P& p, const tensor_shape& t, const encoded_tensor& e,
                           row_view<std::byte> numbers) {
  if (P::kSource != coder.source())
    return fail(status::invalid_argument, "the profile is for another predictor");
  const row_view<const std::byte> decoded{numbers.data, numbers.token_stride_bytes};
  return predict_code_update(p, t, decoded, [&](row_view<const std::byte> means) -> result<done> {
    std::size_t next = 0, at = 0;
    const auto ok =
        detail::for_each_tile(t, [&](const tile_slice& s, std::uint32_t first) -> result<done> {
          if (next == e.records.size())
            return fail(status::truncated, to_string(t.id) + ": too few tiles");
          const tile_record& r = e.records[next++];
          if (r.bytes() > e.bytes.size() - at)
            return fail(status::truncated, to_string(t.id) + ": a tile ends early");
          const auto bytes = std::span(e.bytes).subspan(at, r.bytes());
          at += r.bytes();
          return coder.decode(s, r, bytes, means.from(first), numbers.from(first));
        });
    if (!ok) return ok;
    if (next != e.records.size() || at != e.bytes.size())
      return fail(status::corrupt, to_string(t.id) + ": bytes or tiles are left over");
    return done{};
  });
}

}  // namespace skv::cpu
