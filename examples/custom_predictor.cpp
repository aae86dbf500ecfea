// A predictor of one's own: every tensor is expected to be like that of the layer before.
#include <bit>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <skv/skv.hpp>

using numbers = std::vector<std::uint16_t>;  // bf16, [tokens, heads, head_dim]

struct previous_layer {
  static constexpr skv::mean_source kSource = skv::mean_source::given;  // it makes its own means
  std::map<skv::tensor_kind, numbers> last;

  skv::row_view<const std::byte> predict(const skv::tensor_shape& t) {
    last[t.id.kind].resize(std::size_t{t.tokens} * t.width());  // zeros before the first layer
    return {std::as_bytes(std::span(last[t.id.kind])).data(), t.width() * 2};
  }
  void update(const skv::tensor_shape& t, skv::row_view<const std::byte> exact) {
    for (std::uint32_t i = 0; i < t.tokens; ++i)
      std::memcpy(&last[t.id.kind][i * t.width()], exact.at(i, 0), t.width() * 2);
  }
};

int main() {
  const skv::cpu::codec codec(  // a calibrated profile (skv/calibrate) would need fewer bits
      *skv::default_profile(skv::format_id::bf16, skv::mean_source::given, skv::format_id::bf16));
  previous_layer encoding, decoding;  // one at each end
  numbers exact(256 * 2 * 64), restored(exact.size());
  std::vector<float> drift(exact.size());
  std::mt19937 random;
  std::size_t bytes = 0;
  for (std::uint32_t layer = 0; layer < 8; ++layer) {
    std::normal_distribution<float> step(0.f, layer == 0 ? 1.f : 0.05f);
    for (std::size_t i = 0; i < exact.size(); ++i)
      exact[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(drift[i] += step(random)) >> 16);
    const skv::tensor_shape k{{layer, skv::tensor_kind::k}, 256, 2, 64};
    const auto e = skv::cpu::encode_tensor(codec, encoding, k, {std::as_bytes(std::span(exact)).data(), 256});
    if (!e || !skv::cpu::decode_tensor(codec, decoding, k, *e, {std::as_writable_bytes(std::span(restored)).data(), 256}) || restored != exact)
      return 1;
    bytes += e->bytes.size() + sizeof(skv::tile_record) * e->records.size();
  }
  std::printf("restored: identical, %.2f bits per scalar\n", static_cast<double>(bytes) / static_cast<double>(exact.size()));
}
