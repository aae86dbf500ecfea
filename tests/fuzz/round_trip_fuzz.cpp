// Any bytes as numbers, means and scales of any coding, shape and stride: they come back, by every
// instruction set, from the same bytes.
//
// Input: coding, tokens, heads, head_dim, padding of rows, then scale codes and numbers and means.
#include <skv/cpu/codec.hpp>
#include <skv/predict/list.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

namespace {

using namespace skv;

void check(bool holds) {
  if (!holds) std::abort();
}

struct coding {
  format_id target;
  mean_source source;
  format_id mean;
};
const std::vector<coding>& codings() {
  static const std::vector<coding> all = [] {
    std::vector<coding> found;
    for (const number_format& target : kFormats)
      for (const number_format& mean : kFormats)
        for (const mean_source s :
             {mean_source::none, mean_source::previous_token, mean_source::given})
          if (is_coded(target.id, s, mean.id)) found.push_back({target.id, s, mean.id});
    return found;
  }();
  return all;
}

// Bytes of the input, over and over.
struct source {
  const std::uint8_t* data;
  std::size_t size, at = 0;

  std::byte next() {
    const std::byte b = size == 0 ? std::byte{0} : std::byte{data[at % size]};
    ++at;
    return b;
  }
  std::uint32_t below(std::uint32_t n) { return std::to_integer<std::uint32_t>(next()) % n; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  source in{data, size};
  const coding& c = codings()[in.below(static_cast<std::uint32_t>(codings().size()))];
  const std::uint32_t tokens = 1 + in.below(40), heads = 1 + in.below(4),
                      head_dim = 1 + in.below(70);
  const std::size_t padding = in.below(4);

  static std::map<const coding*, profile_content> defaults;
  if (!defaults.contains(&c))
    defaults[&c] = (*default_profile(c.target, c.source, c.mean))->content();
  profile_content content = defaults[&c];
  content.default_code = 0;
  content.scales = {{{5, tensor_kind::v}, heads, head_dim, {}}};
  for (std::uint32_t i = 0; i < heads * head_dim; ++i)
    content.scales[0].codes.push_back(std::to_integer<scale_code>(in.next()));
  const auto p = profile::make(content);
  check(static_cast<bool>(p));

  const cpu::tile_slice tile{{5, tensor_kind::v}, heads, head_dim, 0, heads, tokens};
  const cpu::codec coder(*p);
  const std::size_t width = heads * head_dim, row = width * coder.target().bytes() + padding,
                    mean_row = width * coder.mean().bytes() + padding;
  std::vector<std::byte> numbers(row * tokens), means(mean_row * tokens);
  for (std::byte& b : numbers) b = in.next();
  // Means are near the numbers in their upper bytes for half of the inputs, else anything.
  const bool near = coder.target() == coder.mean() && in.below(2) == 0;
  for (std::size_t i = 0; i < means.size(); ++i)
    means[i] = near && i % 2 != 0 ? numbers[i] : in.next();

  tile_record first;
  std::vector<std::byte> first_image;
  for (const cpu::isa set : {cpu::isa::portable, cpu::isa::scalar, cpu::best_isa()}) {
    const cpu::codec with(*p, set);
    std::vector<std::byte> image(with.max_tile_bytes(tile.shape())), out(numbers.size());
    const auto record = with.encode(tile, {numbers.data(), row}, {means.data(), mean_row}, image);
    check(record && record->bytes() <= image.size());
    image.resize(record->bytes());
    if (set == cpu::isa::portable) {
      first = *record;
      first_image = image;
    }
    check(*record == first && image == first_image);
    check(static_cast<bool>(
        with.decode(tile, *record, image, {means.data(), mean_row}, {out.data(), row})));
    for (std::uint32_t t = 0; t < tokens; ++t)
      check(std::memcmp(out.data() + t * row, numbers.data() + t * row, row - padding) == 0);
  }
  return 0;
}
