#include <cstring>
#include <numeric>
#include <optional>
#include <skv/cpu/linear_predictor.hpp>
#include <skv/predict/embedding.hpp>
#include <skv/predict/reference.hpp>

#include "arguments.hpp"
#include "call.hpp"
#include "handles.hpp"
#include "sized.hpp"
#include "slice.hpp"

using namespace skv;
using namespace skv::c_api;

struct skv_embedding : counted {
  explicit skv_embedding(cpu::embedding_table t) : table(t) {}
  const cpu::embedding_table table;
};

namespace {

using rows = row_view<const std::byte>;

// The bases of a call, as a predictor.
struct bases_at {
  const rows* now;
  rows operator()(const tensor_shape&) const { return *now; }
};
using pass_predictor = cpu::linear<reference<bases_at>>;

result<geometry> read_tensor(const skv_slice* slice) {
  auto g = read_slice(slice);
  if (g && g->whole.head_count != g->whole.heads)
    return fail(status::invalid_argument, to_string(g->whole.tensor) + ": not all heads");
  return g;
}

result<rows> read_rows(const geometry& g, number_format format, const void* data,
                       std::size_t stride_bytes, const char* what) {
  const auto layout = lay_out(g, format, data, stride_bytes, what);
  if (!layout) return layout.failure();
  return rows{static_cast<const std::byte*>(data), layout->stride_bytes};
}

number_format known(format_id id) { return *find_format(static_cast<std::uint8_t>(id)); }

result<std::vector<cpu::draft_tensor>> read_draft(const skv_linear_tokens& t) {
  std::vector<cpu::draft_tensor> all;
  if (t.draft_count == 0) return all;
  if (t.draft == nullptr) return null_pointer("draft");
  if (!is_aligned(t.draft)) return fail(status::invalid_argument, "draft: misaligned pointer");
  if (t.draft_count > PTRDIFF_MAX / sizeof *t.draft)
    return fail(status::invalid_argument, "draft_count: no array is that large");
  for (std::size_t i = 0; i < t.draft_count; ++i) {
    const skv_draft_tensor& d = t.draft[i];
    if (d.reserved != 0) return fail(status::unsupported, "draft: its reserved member is not zero");
    const auto g = read_tensor(d.slice);
    if (!g) return g.failure();
    const auto format = format_of(d.format, "draft");
    if (!format) return format.failure();
    const auto numbers = read_rows(*g, known(*format), d.numbers, d.number_stride_bytes, "draft");
    if (!numbers) return numbers.failure();
    const cpu::tile_slice& s = g->whole;
    all.push_back({s.tensor, *format, s.tokens, s.heads, s.head_dim, *numbers});
  }
  return all;
}

}  // namespace

struct skv_linear_pass {
  skv_linear_pass(const cpu::linear_steps& s, std::vector<std::uint32_t> positions,
                  std::optional<cpu::outside_rows> outside, const profile_ptr& p)
      : steps(s),
        target(known(p->content().target)),
        mean(known(p->content().mean)),
        tokens(positions.size()),
        predictor(outside ? pass_predictor(*std::move(outside), reference(bases_at{&bases}))
                          : pass_predictor(p, reference(bases_at{&bases}), std::move(positions))) {}
  skv_linear_pass(const skv_linear_pass&) = delete;
  skv_linear_pass& operator=(const skv_linear_pass&) = delete;

  const cpu::linear_steps steps;
  const number_format target, mean;
  const std::size_t tokens;
  rows bases;
  pass_predictor predictor;
  std::size_t next = 0;  // the place of the first tensor that may still come
  std::optional<tensor_shape> predicted;
  bool has_failed = false;

  struct tensor {
    geometry cut;
    tensor_shape shape;
    std::size_t index = 0;
  };
  result<tensor> find(const skv_slice* slice) const {
    if (has_failed)
      return fail(status::invalid_argument, "the pass has failed before, for lack of memory");
    const auto g = read_tensor(slice);
    if (!g) return g.failure();
    const cpu::tile_slice& s = g->whole;
    const auto index = steps.find(s.tensor, s.heads, s.head_dim);
    if (!index) return index.failure();
    if (s.tokens > tokens)
      return fail(status::invalid_argument, to_string(s.tensor) + ": " + std::to_string(s.tokens) +
                                                " tokens, the pass has " + std::to_string(tokens));
    if (*index < next)
      return fail(status::invalid_argument,
                  to_string(s.tensor) + ": the pass is beyond this tensor");
    return tensor{*g, {s.tensor, s.tokens, s.heads, s.head_dim}, *index};
  }
};

skv_status skv_embedding_create(skv_format format, uint32_t rows, uint32_t width,
                                const void* numbers, skv_embedding** embedding) {
  return call([&]() -> result<done> {
    if (numbers == nullptr || embedding == nullptr) return null_pointer("numbers or embedding");
    number_format known_format = kSingle;
    if (format != 0) {
      const auto id = format_of(format, "format");
      if (!id) return id.failure();
      known_format = known(*id);
    }
    if (rows == 0 || width == 0) return fail(status::invalid_argument, "no rows, or no width");
    if (uint64_t{rows} * width > PTRDIFF_MAX / known_format.bytes())
      return fail(status::invalid_argument, "rows or width: more bytes than memory can hold");
    *embedding = new skv_embedding(
        cpu::embedding_table(known_format, rows, width, static_cast<const std::byte*>(numbers)));
    return done{};
  });
}

skv_embedding* skv_embedding_retain(skv_embedding* embedding) { return retain(embedding); }
void skv_embedding_release(skv_embedding* embedding) { release(embedding); }

skv_status skv_linear_pass_create(const skv_profile* profile, const skv_linear_tokens* tokens,
                                  skv_linear_pass** pass) {
  return call([&]() -> result<done> {
    if (profile == nullptr || pass == nullptr) return null_pointer("profile or pass");
    const auto t = take_sized(tokens, offsetof(skv_linear_tokens, embedding), "tokens");
    if (!t) return t.failure();
    if (t->reserved != 0)
      return fail(status::unsupported, "tokens: its reserved member is not zero");
    if (t->count == 0) return fail(status::invalid_argument, "tokens: there are none");
    if (!is_aligned(t->positions) || !is_aligned(t->ids))
      return fail(status::invalid_argument, "tokens: misaligned pointer");
    const auto draft = read_draft(*t);
    if (!draft) return draft.failure();
    const profile_ptr& p = profile->held;
    if (!p->content().linear)
      return fail(status::invalid_argument, "the profile has no linear propagation");
    std::vector<uint32_t> positions(t->count);
    if (t->positions != nullptr)
      std::copy_n(t->positions, t->count, positions.begin());
    else
      std::iota(positions.begin(), positions.end(), 0u);
    const cpu::linear_steps steps(p);
    std::optional<cpu::outside_rows> outside;
    if (!steps.model().outside.empty()) {
      cpu::outside_inputs inputs;
      if (t->embedding != nullptr) inputs.embedding = &t->embedding->table;
      if (t->ids != nullptr) inputs.ids = {t->ids, t->count};
      inputs.draft = *draft;
      auto made = cpu::outside_rows::of(steps, inputs, positions);
      if (!made) return made.failure();
      outside = *std::move(made);
    }
    *pass = new skv_linear_pass(steps, std::move(positions), std::move(outside), p);
    return done{};
  });
}

void skv_linear_pass_release(skv_linear_pass* pass) { delete pass; }

skv_status skv_linear_predict(skv_linear_pass* pass, const skv_slice* tensor, const void* bases,
                              size_t base_stride_bytes, void* means, size_t mean_stride_bytes,
                              size_t capacity_bytes) {
  return call([&]() -> result<done> {
    if (pass == nullptr) return null_pointer("pass");
    const auto t = pass->find(tensor);
    if (!t) return t.failure();
    rows from;
    if (pass->steps.has_bases()) {
      const auto given = read_rows(t->cut, pass->mean, bases, base_stride_bytes, "bases");
      if (!given) return given.failure();
      from = *given;
    }
    const auto to = lay_out(t->cut, pass->mean, means, mean_stride_bytes, "means");
    if (!to) return to.failure();
    if (to->extent_bytes > capacity_bytes)
      return fail(status::does_not_fit,
                  to_string(t->shape.id) + ": " + std::to_string(to->extent_bytes) +
                      " bytes of means, room for " + std::to_string(capacity_bytes));
    pass->predicted.reset();
    pass->bases = from;
    const rows made = pass->predictor.predict(t->shape);
    const std::size_t row_bytes = std::size_t{t->shape.width()} * pass->mean.bytes();
    for (uint32_t token = 0; token < t->shape.tokens; ++token)
      std::memcpy(static_cast<std::byte*>(means) + token * to->stride_bytes,
                  made.data + token * made.token_stride_bytes, row_bytes);
    pass->predicted = t->shape;
    return done{};
  });
}

skv_status skv_linear_update(skv_linear_pass* pass, const skv_slice* tensor, const void* numbers,
                             size_t number_stride_bytes) {
  return call([&]() -> result<done> {
    if (pass == nullptr) return null_pointer("pass");
    const auto t = pass->find(tensor);
    if (!t) return t.failure();
    if (!pass->predicted || pass->predicted->id != t->shape.id ||
        pass->predicted->tokens != t->shape.tokens)
      return fail(status::invalid_argument,
                  to_string(t->shape.id) + ": not what was predicted last");
    const auto exact = read_rows(t->cut, pass->target, numbers, number_stride_bytes, "numbers");
    if (!exact) return exact.failure();
    pass->has_failed = true;  // unless it comes to its end
    pass->predictor.update(t->shape, *exact);
    pass->has_failed = false;
    pass->predicted.reset();
    pass->next = t->index + 1;
    return done{};
  });
}
