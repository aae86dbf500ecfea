#include "engine/config.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>
#include <stdexcept>

#include "engine/elementary.hpp"
#include "io/mapped_file.hpp"
#include "io/messages.hpp"

namespace engine {

using namespace skv;

namespace {

using json = nlohmann::json;

// Sizes beyond these are nothing that this engine could run, and their products fit 64 bits.
constexpr std::uint32_t kMaxHeads = 1u << 12, kMaxSize = 1u << 24;

// What is wrong with a file; thrown and caught within this one.
struct refusal : std::runtime_error {
  status code;
  refusal(status s, const std::string& why) : std::runtime_error(why), code(s) {}
};
[[noreturn]] void corrupt(const std::string& why) { throw refusal(status::corrupt, why); }
[[noreturn]] void unsupported(const std::string& why) { throw refusal(status::unsupported, why); }

// The value of a key that is neither missing nor null.
const json* find(const json& object, const std::string& key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

std::uint32_t size(const json& object, const std::string& key, std::optional<std::uint32_t> missing,
                   std::uint32_t largest = kMaxSize) {
  const json* const value = find(object, key);
  if (value == nullptr) {
    if (!missing) corrupt(key + " is missing");
    return *missing;
  }
  if (!value->is_number_integer() || *value < 1 || *value > largest)
    corrupt(key + " must be an integer from 1 to " + std::to_string(largest));
  return value->get<std::uint32_t>();
}

double number(const json& object, const std::string& key, std::optional<double> missing,
              double above = 0) {
  const json* const value = find(object, key);
  if (value == nullptr) {
    if (!missing) corrupt(key + " is missing");
    return *missing;
  }
  if (!value->is_number() || !(value->get<double>() > above) ||
      !std::isfinite(value->get<double>()))
    corrupt(key + " must be a number above " + json(above).dump());
  return value->get<double>();
}

bool flag(const json& object, const std::string& key, bool missing) {
  const json* const value = find(object, key);
  if (value == nullptr) return missing;
  if (!value->is_boolean()) corrupt(key + " must be true or false");
  return value->get<bool>();
}

std::string text(const json& object, const std::string& key, const std::string& missing) {
  const json* const value = find(object, key);
  if (value == nullptr) return missing;
  if (!value->is_string()) corrupt(key + " must be a string");
  return value->get<std::string>();
}

std::vector<std::int32_t> token_ids(const json& object, const std::string& key) {
  const json* const value = find(object, key);
  std::vector<std::int32_t> ids;
  if (value == nullptr) return ids;
  for (const json& id : value->is_array() ? *value : json::array({*value})) {
    if (!id.is_number_integer() || id < 0 || id > kMaxSize) corrupt(key + " must be token ids");
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

double yarn_attention_factor(const json& s, double factor) {
  const auto of_scale = [&](double scale) {
    return factor <= 1 ? 1 : 0.1 * scale * logarithm(factor) + 1;
  };
  if (find(s, "attention_factor") != nullptr) return number(s, "attention_factor", {});
  if (find(s, "mscale") != nullptr && find(s, "mscale_all_dim") != nullptr)
    return of_scale(number(s, "mscale", {})) / of_scale(number(s, "mscale_all_dim", {}));
  return of_scale(1);
}

void read_rope(const json& j, model_config& c) {
  // Transformers 5 keeps theta and scaling together.
  const json* found = find(j, "rope_parameters");
  if (found == nullptr) found = find(j, "rope_scaling");
  const json none = json::object();
  const json& s = found == nullptr ? none : *found;
  if (!s.is_object()) corrupt("the rotary scaling must be an object");
  c.rope_theta = number(s, "rope_theta", number(j, "rope_theta", 10000.0, 1), 1);
  c.rope_interleaved = flag(j, "rope_interleaved", false);
  const double part = number(s, "partial_rotary_factor", number(j, "partial_rotary_factor", 1.0));
  if (part != 1) unsupported("partial_rotary_factor " + json(part).dump());

  const std::string type = text(s, "rope_type", text(s, "type", "default"));
  using kind = rope_scaling::kind;
  if (type == "default") return;
  const std::pair<const char*, kind> known[] = {{"linear", kind::linear},
                                                {"dynamic", kind::dynamic},
                                                {"yarn", kind::yarn},
                                                {"llama3", kind::llama3}};
  const auto* const at = std::ranges::find(known, type, [](const auto& k) { return k.first; });
  if (at == std::end(known)) unsupported("rotary scaling " + io::in_quotes(type));
  rope_scaling& r = c.scaling;
  r.type = at->second;
  r.factor = number(s, "factor", {});
  r.original_positions = number(s, "original_max_position_embeddings", c.max_positions);
  if (r.type == kind::yarn) {
    r.beta_fast = number(s, "beta_fast", 32);
    r.beta_slow = number(s, "beta_slow", 1);
    r.truncate = flag(s, "truncate", true);
    r.attention_factor = yarn_attention_factor(s, r.factor);
  }
  if (r.type == kind::llama3) {
    r.low_frequency_factor = number(s, "low_freq_factor", {});
    r.high_frequency_factor = number(s, "high_freq_factor", {});
    if (r.low_frequency_factor >= r.high_frequency_factor)
      corrupt("high_freq_factor must be above low_freq_factor");
  }
}

model_config read(const json& j) {
  if (!j.is_object()) corrupt("not a JSON object");
  model_config c;
  const json* const names = find(j, "architectures");
  if (names == nullptr || !names->is_array() || names->size() != 1 || !(*names)[0].is_string())
    corrupt("architectures must be a list of one name");
  c.architecture = (*names)[0].get<std::string>();
  const bool is_qwen2 = c.architecture == "Qwen2ForCausalLM";
  const bool is_qwen3 = c.architecture == "Qwen3ForCausalLM";
  if (!is_qwen2 && !is_qwen3 && c.architecture != "LlamaForCausalLM" &&
      c.architecture != "MistralForCausalLM")
    unsupported("architecture " + io::in_quotes(c.architecture));

  c.layers = size(j, "num_hidden_layers", {}, kMaxHeads);
  c.hidden = size(j, "hidden_size", {});
  c.intermediate = size(j, "intermediate_size", {});
  c.vocabulary = size(j, "vocab_size", {});
  c.heads = size(j, "num_attention_heads", {}, kMaxHeads);
  c.kv_heads = size(j, "num_key_value_heads", c.heads, kMaxHeads);
  if (c.heads % c.kv_heads != 0)
    corrupt("num_attention_heads must be a multiple of num_key_value_heads");
  c.head_dim = size(j, "head_dim", std::max(c.hidden / c.heads, 1u), kMaxHeads);
  if (c.head_dim % 2 != 0) corrupt("head_dim must be even");
  c.max_positions = size(j, "max_position_embeddings", 2048);
  c.norm_epsilon = number(j, "rms_norm_eps", 1e-6);
  c.has_tied_embeddings = flag(j, "tie_word_embeddings", false);
  c.has_qk_norm = is_qwen3;
  c.has_output_bias = flag(j, "attention_bias", false);
  c.has_qkv_bias = c.has_output_bias || is_qwen2;
  read_rope(j, c);

  const std::string activation = text(j, "hidden_act", "silu");
  if (activation != "silu") unsupported("hidden_act " + io::in_quotes(activation));
  if (flag(j, "mlp_bias", false)) unsupported("mlp_bias");
  // Qwen's configurations name a window that use_sliding_window then turns off.
  if (find(j, "sliding_window") != nullptr && flag(j, "use_sliding_window", !is_qwen2 && !is_qwen3))
    unsupported("sliding_window");

  if (const auto begin = token_ids(j, "bos_token_id"); !begin.empty()) c.begin_token = begin[0];
  c.end_tokens = token_ids(j, "eos_token_id");
  return c;
}

}  // namespace

result<model_config> read_config(const std::filesystem::path& file) {
  const auto mapped = io::mapped_file::open(file);
  if (!mapped) return mapped.failure();
  const auto* const begin = reinterpret_cast<const char*>(mapped->bytes().data());
  const std::string where = io::in_quotes(file.string()) + ": ";
  try {
    return read(json::parse(begin, begin + mapped->bytes().size()));
  } catch (const refusal& r) {
    return fail(r.code, where + r.what());
  } catch (const json::exception&) {
    return fail(status::corrupt, where + "not JSON");
  }
}

}  // namespace engine
