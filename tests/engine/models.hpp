// Models to test with: the embedded one, and random ones in folders of their own.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/bf16.hpp"
#include "engine/model.hpp"
#include "io/safetensors.hpp"
#include "io/scratch_folder.hpp"
#include "support/random.hpp"

namespace engine::test {

inline std::filesystem::path tiny_folder() { return SKV_ENGINE_MODEL; }

template <class T>
T must(skv::result<T> r) {
  if (!r) throw std::runtime_error(r.failure().message);
  return *std::move(r);
}

/// Named tensors of bf16 patterns (or of what else `dtype` says), as a safetensors file.
struct tensor_file {
  struct tensor {
    std::vector<std::uint64_t> shape;
    std::vector<std::uint16_t> numbers;
    std::string dtype = "BF16";
  };
  std::map<std::string, tensor> tensors;

  void write(const std::filesystem::path& path) const {
    std::vector<skv::io::tensor_entry> entries;
    std::uint64_t at = 0;
    for (const auto& [name, t] : tensors) {
      entries.push_back({name, t.dtype, t.shape, at, at + 2 * t.numbers.size()});
      at += 2 * t.numbers.size();
    }
    std::ofstream file(path, std::ios::binary);
    file << skv::io::make_header(entries);
    for (const auto& [name, t] : tensors)
      file.write(reinterpret_cast<const char*>(t.numbers.data()),
                 static_cast<std::streamsize>(2 * t.numbers.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
  }
};

/// A small model with odd sizes: config.json as text, to be changed, and weights that suit it.
struct model_folder {
  std::map<std::string, std::string> config = {{"architectures", R"(["Qwen3ForCausalLM"])"},
                                               {"hidden_size", "52"},
                                               {"intermediate_size", "70"},
                                               {"num_hidden_layers", "3"},
                                               {"num_attention_heads", "6"},
                                               {"num_key_value_heads", "2"},
                                               {"head_dim", "10"},
                                               {"vocab_size", "90"},
                                               {"rms_norm_eps", "1e-6"},
                                               {"rope_theta", "10000.0"},
                                               {"max_position_embeddings", "256"},
                                               {"hidden_act", "\"silu\""}};
  tensor_file weights;
  skv::io::scratch_folder folder;

  std::string config_text() const {
    std::string text;
    for (const auto& [key, value] : config)
      text += fmt::format("{}\"{}\": {}", text.empty() ? "{" : ",\n", key, value);
    return text + "}";
  }
  void write_config() const { std::ofstream(folder / "config.json") << config_text(); }
  void write() const {
    write_config();
    weights.write(folder / "model.safetensors");
  }

  /// Random weights for the configuration.
  void fill(std::uint64_t seed) {
    write_config();
    const model_config c = must(read_config(folder / "config.json"));
    skv::test::random_source random(seed);
    const auto add = [&](const std::string& name, std::vector<std::uint64_t> shape) {
      tensor_file::tensor t{shape, {}};
      const bool is_norm = name.find("norm") != name.npos;
      std::uint64_t count = 1;
      for (const auto n : shape) count *= n;
      const double scale = is_norm ? 0.2 : shape.size() == 1 ? 0.3 : 1.5 / std::sqrt(shape[1]);
      for (std::uint64_t i = 0; i < count; ++i)
        t.numbers.push_back(to_bf16(static_cast<float>(is_norm + scale * random.gaussian())));
      weights.tensors[name] = t;
    };
    add("model.embed_tokens.weight", {c.vocabulary, c.hidden});
    for (std::uint32_t l = 0; l < c.layers; ++l) {
      const std::string p = fmt::format("model.layers.{}.", l);
      add(p + "input_layernorm.weight", {c.hidden});
      add(p + "post_attention_layernorm.weight", {c.hidden});
      add(p + "self_attn.q_proj.weight", {c.q_width(), c.hidden});
      add(p + "self_attn.k_proj.weight", {c.kv_width(), c.hidden});
      add(p + "self_attn.v_proj.weight", {c.kv_width(), c.hidden});
      add(p + "self_attn.o_proj.weight", {c.hidden, c.q_width()});
      if (c.has_qk_norm) {
        add(p + "self_attn.q_norm.weight", {c.head_dim});
        add(p + "self_attn.k_norm.weight", {c.head_dim});
      }
      if (c.has_qkv_bias) {
        add(p + "self_attn.q_proj.bias", {c.q_width()});
        add(p + "self_attn.k_proj.bias", {c.kv_width()});
        add(p + "self_attn.v_proj.bias", {c.kv_width()});
      }
      if (c.has_output_bias) add(p + "self_attn.o_proj.bias", {c.hidden});
      add(p + "mlp.gate_proj.weight", {c.intermediate, c.hidden});
      add(p + "mlp.up_proj.weight", {c.intermediate, c.hidden});
      add(p + "mlp.down_proj.weight", {c.hidden, c.intermediate});
    }
    add("model.norm.weight", {c.hidden});
    if (!c.has_tied_embeddings) add("lm_head.weight", {c.vocabulary, c.hidden});
  }
  model make(std::uint64_t seed) {
    fill(seed);
    write();
    return must(load_model(folder.path()));
  }
};

inline std::vector<std::int32_t> random_tokens(std::uint32_t count, std::uint32_t vocabulary,
                                               std::uint64_t seed) {
  skv::test::random_source random(seed);
  std::vector<std::int32_t> tokens;
  for (std::uint32_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>(random.below(vocabulary)));
  return tokens;
}

}  // namespace engine::test
