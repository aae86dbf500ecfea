#include "program/rope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "io/mapped_file.hpp"

namespace skv::program {
namespace {

using json = nlohmann::json;

std::vector<double> plain_frequencies(double theta, std::uint32_t channels) {
  std::vector<double> f;
  for (std::uint32_t i = 0; i < channels; i += 2)
    f.push_back(std::pow(theta, -double(i) / channels));
  return f;
}

// Radians per position into turns times 2^64.
std::vector<std::uint64_t> in_turns(const std::vector<double>& radians) {
  std::vector<std::uint64_t> f;
  for (double r : radians) {
    const double turns = r / (2 * std::numbers::pi);
    f.push_back(static_cast<std::uint64_t>(std::ldexp(turns - std::floor(turns), 64)));
  }
  return f;
}

// The scalings of Hugging Face's modeling_rope_utils.py.
std::vector<double> scaled_frequencies(std::vector<double> f, const json& scaling, double theta,
                                       double trained_positions) {
  const std::string type = scaling.value("rope_type", scaling.value("type", "default"));
  const double factor = scaling.value("factor", 1.0);
  if (type == "linear")
    for (double& x : f) x /= factor;
  if (type == "llama3") {
    const double original = scaling.value("original_max_position_embeddings", trained_positions);
    const double low = scaling.value("low_freq_factor", 1.0);
    const double high = scaling.value("high_freq_factor", 4.0);
    for (double& x : f) {
      const double turns = original * x / (2 * std::numbers::pi);
      const double blend = std::clamp((turns - low) / (high - low), 0.0, 1.0);
      x = (1 - blend) * x / factor + blend * x;
    }
  }
  if (type == "yarn") {
    const double original = scaling.value("original_max_position_embeddings", trained_positions);
    const double channels = 2.0 * static_cast<double>(f.size());
    const auto pair_of = [&](double turns) {
      return channels * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
    };
    double low = pair_of(scaling.value("beta_fast", 32.0));
    double high = pair_of(scaling.value("beta_slow", 1.0));
    if (scaling.value("truncate", true)) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, channels - 1);
    if (low == high) high += 0.001;
    for (std::size_t i = 0; i < f.size(); ++i) {
      const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
      f[i] = f[i] / factor * ramp + f[i] * (1 - ramp);
    }
  }
  return f;
}

error bad_rope(const std::string& text) {
  return fail(
      status::invalid_argument,
      fmt::format("--rope {}: half:THETA or interleaved:THETA is wanted, with :CHANNELS and "
                  ":FIRST behind it where not all of a head turns",
                  text));
}

}  // namespace

result<rotary> parse_rope(const std::string& text, std::uint32_t head_dim) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (parts.size() < 2 || parts.size() > 4 || (parts[0] != "half" && parts[0] != "interleaved"))
    return bad_rope(text);
  const auto number = [](const std::string& s, auto& value) {
    const auto [end, problem] = std::from_chars(s.data(), s.data() + s.size(), value);
    return problem == std::errc{} && end == s.data() + s.size();
  };
  double theta = 0;
  std::uint32_t channels = head_dim, first = 0;
  if (!number(parts[1], theta) || !(theta > 1) || !std::isfinite(theta) ||
      (parts.size() > 2 && !number(parts[2], channels)) ||
      (parts.size() > 3 && !number(parts[3], first)) || channels < 2 || channels % 2 != 0 ||
      channels > head_dim || first > head_dim - channels)
    return bad_rope(text);
  return rotary{parts[0] == "interleaved", first, in_turns(plain_frequencies(theta, channels))};
}

result<rotary> rope_of_model(const std::filesystem::path& config, std::uint32_t head_dim) {
  const auto file = io::mapped_file::open(config);
  if (!file) return file.failure();
  const std::string where = config.string() + ": ";
  const auto* text = reinterpret_cast<const char*>(file->bytes().data());
  try {
    json j = json::parse(text, text + file->bytes().size());
    if (j.contains("text_config")) j = j["text_config"];
    // Transformers 5 keeps theta and scaling together.
    json scaling = j.value("rope_scaling", json());
    if (j.contains("rope_parameters") && j["rope_parameters"].is_object())
      scaling = j["rope_parameters"];
    if (!scaling.is_object()) scaling = json::object();
    const double theta = scaling.value("rope_theta", j.value("rope_theta", 10000.0));
    const std::string type = scaling.value("rope_type", scaling.value("type", "default"));
    if (type != "default" && type != "linear" && type != "dynamic" && type != "yarn" &&
        type != "llama3")
      return fail(status::invalid_argument, where + "rotary scaling '" + type + "' is not known");
    const double part =
        scaling.value("partial_rotary_factor", j.value("partial_rotary_factor", 1.0));
    // The rotary part of a latent is its end, and in DeepSeek's models its pairs are neighbours.
    const bool latent = j.contains("qk_rope_head_dim") && j.contains("kv_lora_rank");
    const auto channels =
        latent ? j["qk_rope_head_dim"].get<std::uint32_t>()
               : static_cast<std::uint32_t>(static_cast<double>(head_dim) * part + 0.5);
    if (!(theta > 1) || !std::isfinite(theta) || channels < 2 || channels % 2 != 0 ||
        channels > head_dim)
      return fail(status::invalid_argument, where + "its rotary embedding does not fit the cache");
    const auto frequencies = scaled_frequencies(plain_frequencies(theta, channels), scaling, theta,
                                                j.value("max_position_embeddings", 2048.0));
    return rotary{latent, latent ? head_dim - channels : 0, in_turns(frequencies)};
  } catch (const json::exception&) {
    return fail(status::corrupt, where + "not a model's configuration, as far as it is read");
  }
}

}  // namespace skv::program
