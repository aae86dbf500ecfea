#include <skv/cpu/codec.hpp>

#include "instruction_sets.hpp"

namespace skv::cpu {
namespace {

coding_id id_of(const profile& p) {
  return {p.content().target, p.content().source, p.content().mean};
}

error with_tensor(status code, tensor_id id, std::string_view what) {
  return fail(code, to_string(id) + ": " + std::string(what));
}

}  // namespace

codec::codec(profile_ptr p, isa set)
    : profile_(std::move(p)),
      target_(*find_format(static_cast<std::uint8_t>(profile_->content().target))),
      mean_(*find_format(static_cast<std::uint8_t>(profile_->content().mean))),
      isa_(is_available(set) ? set : isa::portable) {
  if (profile_->content().scales.empty())
    default_codes_.assign(kMaxTileElements, profile_->content().default_code);
}

result<std::span<const scale_code>> codec::codes_of(const tile_slice& t) const {
  const std::uint64_t elements =
      std::uint64_t{t.tokens} * t.head_count * t.head_dim;  // each factor is checked below
  if (t.tokens == 0 || t.head_count == 0 || t.head_dim == 0 || t.head_count > t.heads ||
      t.first_head > t.heads - t.head_count ||
      std::uint64_t{t.head_count} * t.head_dim > kMaxTileElements || elements > kMaxTileElements)
    return with_tensor(
        status::invalid_argument, t.tensor,
        "a tile has 1 to " + std::to_string(kMaxTileElements) + " numbers, of heads that exist");
  const std::size_t first = std::size_t{t.first_head} * t.head_dim;
  const std::size_t width = std::size_t{t.head_count} * t.head_dim;
  if (!default_codes_.empty()) return std::span<const scale_code>(default_codes_).first(width);
  auto codes = profile_->codes(t.tensor, t.heads, t.head_dim);
  if (!codes) return codes;
  return codes->subspan(first, width);
}

result<tile_record> codec::encode(const tile_slice& tile, row_view<const std::byte> numbers,
                                  row_view<const std::byte> means, std::span<std::byte> out) const {
  const auto codes = codes_of(tile);
  if (!codes) return codes.failure();
  if (out.size() < max_tile_bytes(tile.shape()))
    return with_tensor(status::invalid_argument, tile.tensor, "the output has too little room");
  if (source() == mean_source::given && means.data == nullptr)
    return with_tensor(status::invalid_argument, tile.tensor, "there is no prediction");
  return codec_for(isa_, id_of(*profile_))
      .encode({tile.shape(), numbers, means, reinterpret_cast<const std::byte*>(codes->data()),
               profile_->encode_table(), out.data()});
}

result<done> codec::decode(const tile_slice& tile, const tile_record& record,
                           std::span<const std::byte> bytes, row_view<const std::byte> means,
                           row_view<std::byte> numbers) const {
  const auto codes = codes_of(tile);
  if (!codes) return codes.failure();
  if (bytes.size() < record.bytes())
    return with_tensor(status::truncated, tile.tensor, "a tile ends early");
  if (source() == mean_source::given && means.data == nullptr)
    return with_tensor(status::invalid_argument, tile.tensor, "there is no prediction");
  const status s = codec_for(isa_, id_of(*profile_))
                       .decode({tile.shape(), record, bytes.data(), means,
                                reinterpret_cast<const std::byte*>(codes->data()),
                                profile_->decode_table(), numbers});
  if (s == status::ok) return done{};
  return with_tensor(s, tile.tensor,
                     s == status::wrong_prediction
                         ? "the prediction is not the one that the cache was compressed with"
                         : "a tile is damaged: its numbers do not match their hash");
}

}  // namespace skv::cpu
