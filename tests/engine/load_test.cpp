// Folders that are no models: one line that says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/tokenizer.hpp"
#include "models.hpp"
#include "run.hpp"

namespace engine::test {
namespace {

using skv::status;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

void expect_refused(const std::filesystem::path& folder, status code, const std::string& why) {
  const auto m = load_model(folder);
  ASSERT_FALSE(m) << why;
  EXPECT_EQ(m.code(), code) << m.failure().message;
  EXPECT_THAT(m.failure().message,
              AllOf(HasSubstr(why), HasSubstr(folder.string()), Not(HasSubstr("\n"))));
}

struct bad_key {
  const char *key, *value;
  status code;
  const char* why;
};
const bad_key kBadKeys[] = {
    {"architectures", R"(["GPT2LMHeadModel"])", status::unsupported, "GPT2LMHeadModel"},
    {"architectures", "7", status::corrupt, "architectures"},
    {"hidden_size", "null", status::corrupt, "hidden_size is missing"},
    {"hidden_size", "-3", status::corrupt, "hidden_size"},
    {"hidden_size", "52.5", status::corrupt, "hidden_size"},
    {"hidden_size", "99999999999999999999", status::corrupt, "hidden_size"},
    {"num_hidden_layers", "0", status::corrupt, "num_hidden_layers"},
    {"num_key_value_heads", "4", status::corrupt, "num_key_value_heads"},
    {"head_dim", "11", status::corrupt, "head_dim must be even"},
    {"hidden_act", "\"gelu\"", status::unsupported, "gelu"},
    {"rms_norm_eps", "\"small\"", status::corrupt, "rms_norm_eps"},
    {"rms_norm_eps", "-1", status::corrupt, "rms_norm_eps"},
    {"rope_theta", "1", status::corrupt, "rope_theta"},
    {"mlp_bias", "true", status::unsupported, "mlp_bias"},
    {"tie_word_embeddings", "1", status::corrupt, "tie_word_embeddings"},
    {"partial_rotary_factor", "0.5", status::unsupported, "partial_rotary_factor 0.5"},
    {"rope_scaling", R"({"rope_type": "longrope"})", status::unsupported, "'longrope'"},
    {"rope_scaling", R"({"rope_type": "yarn"})", status::corrupt, "factor is missing"},
    {"rope_scaling", R"({"type": "linear", "factor": 0})", status::corrupt, "factor"},
    {"rope_scaling", R"({"type": 3})", status::corrupt, "type"},
    {"rope_scaling", "[]", status::corrupt, "rotary scaling"},
    {"rope_parameters", R"({"rope_type": "odd\n", "rope_theta": 5})", status::unsupported,
     "'odd\\x0a'"},
    {"rope_scaling",
     R"({"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4})",
     status::corrupt, "high_freq_factor"},
    {"eos_token_id", "[1, \"x\"]", status::corrupt, "eos_token_id"},
    {"bos_token_id", "-2", status::corrupt, "bos_token_id"},
};

TEST(load, refuses_a_configuration_by_its_key) {
  for (const bad_key& b : kBadKeys) {
    model_folder f;
    f.config[b.key] = b.value;
    f.write();
    SCOPED_TRACE(std::string(b.key) + " " + b.value);
    expect_refused(f.folder.path(), b.code, b.why);
  }
}

TEST(load, refuses_sliding_windows_that_are_in_use) {
  model_folder f;
  f.config["sliding_window"] = "64";
  f.fill(1);
  f.write();
  EXPECT_TRUE(load_model(f.folder.path())) << "Qwen3 names one that it does not use";
  f.config["use_sliding_window"] = "true";
  f.write();
  expect_refused(f.folder.path(), status::unsupported, "sliding_window");
  f.config.erase("use_sliding_window");
  f.config["architectures"] = R"(["MistralForCausalLM"])";
  f.write();
  expect_refused(f.folder.path(), status::unsupported, "sliding_window");
}

TEST(load, refuses_files_that_are_none) {
  model_folder f;
  expect_refused(f.folder.path(), status::io_error, "config.json");
  skv::io::fill_file(f.folder / "config.json", "{\"architectures\": ");
  expect_refused(f.folder.path(), status::corrupt, "not JSON");
  skv::io::fill_file(f.folder / "config.json", "[]");
  expect_refused(f.folder.path(), status::corrupt, "not a JSON object");
  f.write_config();
  expect_refused(f.folder.path(), status::io_error, "model.safetensors");
  f.fill(1);
  f.write();
  const std::string whole = skv::io::text_of(f.folder / "model.safetensors");
  skv::io::fill_file(f.folder / "model.safetensors", whole.substr(0, whole.size() - 5));
  expect_refused(f.folder.path(), status::truncated, "model.safetensors");
  skv::io::fill_file(f.folder / "model.safetensors", whole.substr(0, 90));
  expect_refused(f.folder.path(), status::truncated, "model.safetensors");
}

TEST(load, refuses_tensors_by_name) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  model_folder f;
  f.fill(1);
  const auto right = f.weights;
  f.weights.tensors.erase(name);
  f.write();
  expect_refused(f.folder.path(), status::corrupt, name + "' is missing");

  f.weights = right;
  std::swap(f.weights.tensors[name].shape[0], f.weights.tensors[name].shape[1]);
  f.write();
  expect_refused(f.folder.path(), status::corrupt, name + "' has shape [52,70]");

  f.weights = right;
  f.weights.tensors[name].dtype = "I16";
  f.write();
  expect_refused(f.folder.path(), status::unsupported, "'I16'");

  for (const std::uint16_t bad : {0x7f80, 0xff80, 0x7fc1}) {
    f.weights = right;
    f.weights.tensors[name].numbers[11] = bad;
    f.write();
    expect_refused(f.folder.path(), status::corrupt, name + "' holds an infinity or a NaN");
  }
}

TEST(load, takes_shards) {
  model_folder f;
  f.fill(3);
  f.write();
  workers team(1);
  const auto tokens = random_tokens(9, 90, 1);
  const run_result expected = run(must(load_model(f.folder.path())), team, tokens);
  tensor_file parts[2];
  std::string map;
  for (const auto& [name, t] : f.weights.tensors) {
    const std::size_t part = map.size() % 2;
    parts[part].tensors[name] = t;
    map += fmt::format("{}\"{}\": \"part{}.safetensors\"", map.empty() ? "" : ", ", name, part);
  }
  parts[0].write(f.folder / "part0.safetensors");
  parts[1].write(f.folder / "part1.safetensors");
  std::filesystem::remove(f.folder / "model.safetensors");
  const auto index = f.folder / "model.safetensors.index.json";
  skv::io::fill_file(index, "{\"weight_map\": {" + map + "}}");
  EXPECT_TRUE(run(must(load_model(f.folder.path())), team, tokens) == expected);

  std::filesystem::remove(f.folder / "part1.safetensors");
  expect_refused(f.folder.path(), status::io_error, "part1.safetensors");
  for (const char* bad : {"{}", R"({"weight_map": []})", R"({"weight_map": {"x": 3}})", "x",
                          R"({"weight_map": {"x": "../model.safetensors"}})",
                          R"({"weight_map": {"x": "/etc/passwd"}})"}) {
    skv::io::fill_file(index, bad);
    expect_refused(f.folder.path(), status::corrupt, "index.json");
  }
}

TEST(load, rounds_other_types_to_bf16) {
  model_folder f;
  f.fill(4);
  f.write();
  workers team(1);
  const auto tokens = random_tokens(9, 90, 1);
  // The final norm in fp16, which has every bf16 number of this size: the same model.
  auto& norm = f.weights.tensors["model.norm.weight"];
  for (auto& x : norm.numbers) x = to_bf16(1.5f);
  f.write();
  const run_result expected = run(must(load_model(f.folder.path())), team, tokens);
  norm.dtype = "F16";
  for (auto& x : norm.numbers) x = 0x3e00;
  f.write();
  EXPECT_TRUE(run(must(load_model(f.folder.path())), team, tokens) == expected);
}

TEST(load, scalings_reach_the_model) {
  model_folder f;
  f.config["rope_parameters"] =
      R"({"rope_type": "yarn", "rope_theta": 5000, "factor": 4, "mscale": 1, "mscale_all_dim": 0.8,
          "beta_fast": 16, "truncate": false, "original_max_position_embeddings": 64})";
  f.config["eos_token_id"] = "[3, 4]";
  f.write_config();
  const auto c = read_config(f.folder / "config.json");
  ASSERT_TRUE(c) << c.failure().message;
  EXPECT_EQ(c->scaling.type, rope_scaling::kind::yarn);
  EXPECT_EQ(c->rope_theta, 5000);
  EXPECT_EQ(c->scaling.original_positions, 64);
  EXPECT_EQ(c->scaling.beta_fast, 16);
  EXPECT_EQ(c->scaling.beta_slow, 1);
  EXPECT_FALSE(c->scaling.truncate);
  EXPECT_NEAR(c->scaling.attention_factor, (0.1 * std::log(4) + 1) / (0.08 * std::log(4) + 1),
              1e-12);
  EXPECT_EQ(c->end_tokens, (std::vector<std::int32_t>{3, 4}));
  EXPECT_EQ(c->begin_token, -1);
  EXPECT_TRUE(c->has_qk_norm);
}

TEST(text, of_the_embedded_model) {
  const auto t = tokenizer::open(tiny_folder());
  if (!t && t.failure().message.find("without SentencePiece") != std::string::npos)
    GTEST_SKIP() << t.failure().message;
  ASSERT_TRUE(t) << t.failure().message;
  const std::string words = "def main():\n    return 0\n";
  const auto tokens = t->encode(words);
  EXPECT_GT(tokens.size(), 3u);
  EXPECT_LT(tokens.size(), words.size());
  EXPECT_EQ(t->decode(tokens), words);
}

TEST(text, of_models_without_a_tokenizer) {
  skv::io::scratch_folder folder;
  const auto none = tokenizer::open(folder.path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.code(), status::unsupported);
  EXPECT_THAT(none.failure().message, HasSubstr("give tokens"));
  skv::io::fill_file(folder / "tokenizer.model", "nonsense");
  const auto bad = tokenizer::open(folder.path());
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.failure().message, testing::AnyOf(HasSubstr("not a SentencePiece model"),
                                                    HasSubstr("without SentencePiece")));
}

}  // namespace
}  // namespace engine::test
