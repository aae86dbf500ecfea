// A predictor of one's own: every tensor is expected to be like that of the layer before.
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <skv/skv.hpp>
using namespace skv;

struct previous_layer {
  static constexpr mean_source kSource = mean_source::given;  // it makes its own means
  std::map<tensor_kind, std::vector<std::uint16_t>> last;     // bf16, [tokens, heads, head_dim]

  row_view<const std::byte> predict(const tensor_shape& t) {
    last[t.id.kind].resize(std::size_t{t.tokens} * t.width());  // zeros before the first layer
    return {std::as_bytes(std::span(last[t.id.kind])).data(), 2 * t.width()};
  }
  void update(const tensor_shape& t, row_view<const std::byte> exact) {
    for (std::uint32_t i = 0; i < t.tokens; ++i)
      std::memcpy(&last[t.id.kind][i * t.width()], exact.at(i, 0), 2 * t.width());
  }
};

int main() {  // a calibrated profile would need fewer bits than the built-in one
  const cpu::codec codec(*default_profile(format_id::bf16, mean_source::given, format_id::bf16));
  previous_layer encoding, decoding;                                    // one at each end
  std::vector<std::uint16_t> k(256 * 128, 0x3f80), restored(k.size());  // ones, to begin with
  std::mt19937 random;
  std::size_t bytes = 0;
  for (std::uint32_t layer = 0; layer < 8; ++layer) {
    for (auto& x : k) x = static_cast<std::uint16_t>(x + random() % 9 - 4);
    const tensor_shape t{{layer, tensor_kind::k}, 256, 2, 64};
    const auto e = encode_tensor(codec, encoding, t, {std::as_bytes(std::span(k)).data(), 256});
    const row_view<std::byte> out{std::as_writable_bytes(std::span(restored)).data(), 256};
    if (!e || !decode_tensor(codec, decoding, t, *e, out) || restored != k) return 1;
    bytes += e->bytes.size() + sizeof(tile_record) * e->records.size();
  }
  std::printf("restored: identical, %.2f bits per scalar\n", bytes / (k.size() * 1.0));
}
