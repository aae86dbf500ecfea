#include "engine/model.hpp"

#include <algorithm>

#include "engine/bf16.hpp"
#include "engine/weights.hpp"

namespace engine {

using namespace skv;

namespace {

// Reads tensors until one fails; what comes after a failure is empty.
class reader {
 public:
  explicit reader(const weight_files& files) : files_(files) {}

  std::shared_ptr<const bf16_matrix> matrix_of(const std::string& name, std::uint32_t outputs,
                                               std::uint32_t inputs) {
    const auto numbers = read(name, {outputs, inputs});
    if (!failure_) return std::make_shared<bf16_matrix>(outputs, inputs, numbers);
    return nullptr;
  }
  std::vector<float> vector_of(const std::string& name, std::uint32_t size) {
    const auto numbers = read(name, {size});
    std::vector<float> values(numbers.size());
    std::ranges::transform(numbers, values.begin(), from_bf16);
    return values;
  }
  const std::optional<error>& failure() const { return failure_; }

 private:
  std::vector<std::uint16_t> read(const std::string& name, std::vector<std::uint64_t> shape) {
    if (failure_) return {};
    auto numbers = files_.read(name, shape);
    if (numbers) return *std::move(numbers);
    failure_ = numbers.failure();
    return {};
  }

  const weight_files& files_;
  std::optional<error> failure_;
};

layer_weights read_layer(reader& from, const model_config& c, const std::string& prefix) {
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  layer_weights w;
  w.attention_norm = from.vector_of(prefix + "input_layernorm.weight", c.hidden);
  w.mlp_norm = from.vector_of(prefix + "post_attention_layernorm.weight", c.hidden);
  w.q = from.matrix_of(attention + "q_proj.weight", c.q_width(), c.hidden);
  w.k = from.matrix_of(attention + "k_proj.weight", c.kv_width(), c.hidden);
  w.v = from.matrix_of(attention + "v_proj.weight", c.kv_width(), c.hidden);
  w.o = from.matrix_of(attention + "o_proj.weight", c.hidden, c.q_width());
  if (c.has_qk_norm) {
    w.q_norm = from.vector_of(attention + "q_norm.weight", c.head_dim);
    w.k_norm = from.vector_of(attention + "k_norm.weight", c.head_dim);
  }
  if (c.has_qkv_bias) {
    w.q_bias = from.vector_of(attention + "q_proj.bias", c.q_width());
    w.k_bias = from.vector_of(attention + "k_proj.bias", c.kv_width());
    w.v_bias = from.vector_of(attention + "v_proj.bias", c.kv_width());
  }
  if (c.has_output_bias) w.o_bias = from.vector_of(attention + "o_proj.bias", c.hidden);
  w.gate = from.matrix_of(mlp + "gate_proj.weight", c.intermediate, c.hidden);
  w.up = from.matrix_of(mlp + "up_proj.weight", c.intermediate, c.hidden);
  w.down = from.matrix_of(mlp + "down_proj.weight", c.hidden, c.intermediate);
  return w;
}

}  // namespace

result<model> load_model(const std::filesystem::path& folder) {
  auto config = read_config(folder / "config.json");
  if (!config) return config.failure();
  const auto files = weight_files::open(folder);
  if (!files) return files.failure();

  model m;
  m.config = *std::move(config);
  const model_config& c = m.config;
  reader from(*files);
  m.embedding = from.matrix_of("model.embed_tokens.weight", c.vocabulary, c.hidden);
  for (std::uint32_t l = 0; l < c.layers && !from.failure(); ++l)
    m.layers.push_back(read_layer(from, c, "model.layers." + std::to_string(l) + "."));
  m.final_norm = from.vector_of("model.norm.weight", c.hidden);
  m.head = c.has_tied_embeddings ? m.embedding
                                 : from.matrix_of("lm_head.weight", c.vocabulary, c.hidden);
  if (from.failure()) return *from.failure();
  return m;
}

}  // namespace engine
