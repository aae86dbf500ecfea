#include "engine/quantised.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <skv/number/value.hpp>

#include "engine/bf16.hpp"

namespace engine {
namespace {

constexpr std::uint32_t kBlock = 128;  // of fp8
static_assert(kBlock % kPanel == 0);

std::uint32_t divided_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

// Inputs that share a scale.
std::uint32_t group_of(weight_format f, std::uint32_t inputs) {
  return f == weight_format::fp8 ? kBlock : f == weight_format::int8 ? inputs : 32;
}

float largest_code(weight_format f) {
  return f == weight_format::fp8 ? 448.0F : f == weight_format::int8 ? 127.0F : 7.0F;
}

std::uint8_t to_code(weight_format f, float x) {
  if (f == weight_format::fp8) return to_e4m3(x);
  const float largest = largest_code(f);
  const auto n = static_cast<int>(std::clamp(std::nearbyintf(x), -largest, largest));
  return static_cast<std::uint8_t>(f == weight_format::int8 ? n : n & 15);
}

using code_values = std::array<float, 256>;

code_values values_of(weight_format f) {
  code_values v{};
  for (int code = 0; code < 256; ++code) {
    if (f == weight_format::fp8)
      v[static_cast<std::size_t>(code)] =
          static_cast<float>(skv::to_double(skv::e4m3, static_cast<std::uint32_t>(code)));
    else if (f == weight_format::int8)
      v[static_cast<std::size_t>(code)] = static_cast<float>(static_cast<std::int8_t>(code));
    else
      v[static_cast<std::size_t>(code)] = static_cast<float>((code & 15) - ((code & 8) << 1));
  }
  return v;
}

const code_values& value_table(weight_format f) {
  static const code_values fp8 = values_of(weight_format::fp8),
                           int8 = values_of(weight_format::int8),
                           int4 = values_of(weight_format::int4);
  return f == weight_format::fp8 ? fp8 : f == weight_format::int8 ? int8 : int4;
}

}  // namespace

std::string_view to_string(weight_format f) {
  switch (f) {
    case weight_format::bf16: return "bf16";
    case weight_format::fp8: return "fp8";
    case weight_format::int8: return "int8";
    case weight_format::int4: return "int4";
  }
  return "unknown format";
}

std::uint8_t to_e4m3(float x) {
  const std::uint8_t sign = std::signbit(x) ? 0x80 : 0;
  const float size = std::fabs(x);
  if (std::isnan(x)) return sign | 0x7f;
  if (size >= 448.0F) return sign | 0x7e;
  // In steps of an eighth of the number's power of two; below 2^-6 the steps stay as they are.
  const int exponent = size == 0 ? -6 : std::max(std::ilogb(size), -6);
  const auto steps = static_cast<int>(std::nearbyintf(std::ldexp(size, 3 - exponent)));
  return static_cast<std::uint8_t>(sign | (((exponent + 6) << 3) + steps));
}

std::size_t quantised_matrix::code_count(std::uint32_t outputs, std::uint32_t inputs,
                                         weight_format format) {
  const std::size_t codes = std::size_t{divided_up(outputs, kPanel)} * inputs * kPanel;
  return format == weight_format::int4 ? codes / 2 : codes;
}

std::size_t quantised_matrix::scale_count(std::uint32_t outputs, std::uint32_t inputs,
                                          weight_format format) {
  if (format == weight_format::fp8)
    return std::size_t{divided_up(outputs, kBlock)} * divided_up(inputs, kBlock);
  return std::size_t{divided_up(outputs, kPanel)} * kPanel *
         divided_up(inputs, group_of(format, inputs));
}

std::size_t quantised_matrix::scale_at(std::uint32_t panel, std::uint32_t input,
                                       std::uint32_t output) const {
  const std::uint32_t group = group_of(format_, inputs());
  const std::size_t groups = divided_up(inputs(), group);
  if (format_ == weight_format::fp8) return panel / (kBlock / kPanel) * groups + input / group;
  return (panel * groups + input / group) * kPanel + output;
}

void quantised_matrix::set_code(std::uint32_t panel, std::uint32_t input, std::uint32_t output,
                                std::uint8_t code) {
  const std::size_t at = (std::size_t{panel} * inputs() + input) * kPanel + output;
  if (format_ == weight_format::int4)
    codes_[at / 2] = static_cast<std::uint8_t>(codes_[at / 2] | code << 4 * (output & 1));
  else
    codes_[at] = code;
}

quantised_matrix::quantised_matrix(const matrix& weights, weight_format format)
    : matrix(weights.outputs(), weights.inputs()),
      format_(format),
      codes_(code_count(outputs(), inputs(), format)),
      scales_(scale_count(outputs(), inputs(), format)) {
  std::vector<float> panel(std::size_t{inputs()} * kPanel);
  for (std::uint32_t p = 0; p < panels(); ++p) {
    weights.expand(p, 0, inputs(), panel.data());
    for (std::size_t i = 0; i < panel.size(); ++i) {
      float& largest = scales_[scale_at(p, static_cast<std::uint32_t>(i / kPanel), i % kPanel)];
      largest = std::max(largest, std::fabs(panel[i]));
    }
  }
  for (float& s : scales_) s /= largest_code(format);
  for (std::uint32_t p = 0; p < panels(); ++p) {
    weights.expand(p, 0, inputs(), panel.data());
    for (std::uint32_t i = 0; i < inputs(); ++i)
      for (std::uint32_t j = 0; j < kPanel; ++j) {
        const float scale = scales_[scale_at(p, i, j)];
        const float weight = panel[std::size_t{i} * kPanel + j];
        set_code(p, i, j, scale == 0 ? 0 : to_code(format, weight / scale));
      }
  }
}

quantised_matrix::quantised_matrix(std::uint32_t outputs, std::uint32_t inputs,
                                   weight_format format, std::vector<std::uint8_t> codes,
                                   std::vector<float> scales)
    : matrix(outputs, inputs),
      format_(format),
      codes_(std::move(codes)),
      scales_(std::move(scales)) {}

void quantised_matrix::expand(std::uint32_t panel, std::uint32_t first, std::uint32_t count,
                              float* out) const {
  const code_values& values = value_table(format_);
  const std::uint32_t group = group_of(format_, inputs());
  const bool is_shared = format_ == weight_format::fp8;
  for (std::uint32_t i = first; i < first + count;) {
    const std::uint32_t end = std::min(first + count, (i / group + 1) * group);
    float scales[kPanel];
    for (std::uint32_t j = 0; j < kPanel; ++j)
      scales[j] = scales_[scale_at(panel, i, is_shared ? 0 : j)];
    for (; i < end; ++i, out += kPanel) {
      const std::size_t at = (std::size_t{panel} * inputs() + i) * kPanel;
      for (std::uint32_t j = 0; j < kPanel; ++j) {
        const std::uint8_t code = format_ == weight_format::int4
                                      ? codes_[(at + j) / 2] >> 4 * (j & 1) & 15
                                      : codes_[at + j];
        out[j] = rounded(values[code] * scales[j]);
      }
    }
  }
}

matrix_ptr quantise(const matrix_ptr& weights, weight_format format) {
  if (format == weight_format::bf16) return weights;
  return std::make_shared<quantised_matrix>(*weights, format);
}

}  // namespace engine
