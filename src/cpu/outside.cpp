#include <skv/cpu/outside.hpp>

#include <skv/predict/embedding.hpp>

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace skv::cpu {
namespace {

std::string shape_text(std::uint32_t rows, std::uint32_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

std::string_view name_of(std::uint8_t format) {
  return format == 0 ? "f32" : to_string(static_cast<format_id>(format));
}

error wrong(const std::string& what) { return fail(status::wrong_prediction, what); }

// What is wrong with the embedding and the ids; nothing if they are those of the profile's fit.
result<done> check(const linear_outside& o, const outside_inputs& in, std::size_t tokens) {
  if (in.embedding == nullptr)
    return wrong("the profile predicts from the token's embedding, and none is given");
  const embedding_table& e = *in.embedding;
  const auto format = static_cast<std::uint8_t>(e.format().id);
  if (e.rows() != o.vocabulary || e.width() != o.head_dim || format != o.format)
    return wrong(in.embedding_name + " is " + shape_text(e.rows(), e.width()) + " of " +
                 std::string(name_of(format)) + ", the profile's " +
                 shape_text(o.vocabulary, o.head_dim) + " of " + std::string(name_of(o.format)));
  if (e.hash() != o.hash)
    return wrong(in.embedding_name +
                 " has other numbers than the embedding that the profile was fitted with");
  if (in.ids.size() != tokens)
    return wrong("there are " + std::to_string(in.ids.size()) + " token ids for " +
                 std::to_string(tokens) + " tokens");
  return done{};
}

result<draft_tensor> find(const linear_outside& o, const outside_inputs& in, std::size_t tokens) {
  if (in.draft.empty())
    return wrong("the profile predicts from a draft's cache, and none is given");
  const std::string name = in.draft_name + ": " + to_string(o.id);
  const auto t = std::ranges::find(in.draft, o.id, &draft_tensor::id);
  if (t == in.draft.end()) return wrong(name + " is missing");
  if (t->heads != o.heads || t->head_dim != o.head_dim ||
      static_cast<std::uint8_t>(t->format) != o.format)
    return wrong(name + " has " + std::to_string(t->heads) + " x " + std::to_string(t->head_dim) +
                 " channels of " + std::string(to_string(t->format)) + ", the profile's " +
                 std::to_string(o.heads) + " x " + std::to_string(o.head_dim) + " of " +
                 std::string(name_of(o.format)));
  if (t->tokens == 0 || t->tokens > tokens)
    return wrong(name + " has " + std::to_string(t->tokens) + " tokens, the cache " +
                 std::to_string(tokens));
  return *t;
}

}  // namespace

embedding_table::embedding_table(number_format format, std::uint32_t rows, std::uint32_t width,
                                 const std::byte* numbers)
    : format_(format), rows_(rows), width_(width), numbers_(numbers) {
  hash_ = XXH3_64bits(numbers, std::size_t{rows} * width * format.bytes());
}

result<outside_rows> outside_rows::of(const linear_steps& steps, const outside_inputs& inputs,
                                      position_range positions) {
  outside_rows rows(steps);
  for (const linear_outside& o : steps.model().outside) {
    draft_tensor tensor;
    if (o.kind == outside_kind::embedding) {
      if (auto ok = check(o, inputs, positions.count); !ok) return ok.failure();
      rows.embedding_ = *inputs.embedding;
      rows.ids_.assign(inputs.ids.begin(), inputs.ids.end());
    } else {
      const auto found = find(o, inputs, positions.count);
      if (!found) return found.failure();
      tensor = *found;
    }
    rows.tensors_.push_back(tensor);
  }
  rows.draft_name_ = inputs.draft_name;
  rows.range_ = positions;
  return rows;
}

result<outside_rows> outside_rows::of(const linear_steps& steps, const outside_inputs& inputs,
                                      std::vector<std::uint32_t> positions) {
  auto rows = of(steps, inputs, position_range{0, static_cast<std::uint32_t>(positions.size())});
  if (rows) rows->listed_ = std::move(positions);
  return rows;
}

std::vector<std::uint32_t> outside_rows::positions() const {
  return listed_.empty() ? range_.list() : listed_;
}

innovations outside_rows::at(std::size_t outside, std::size_t first, std::size_t count) const {
  const linear_outside& o = steps_.model().outside[outside];
  if (o.kind == outside_kind::embedding)
    return steps_.innovate_embedding(outside, std::span(ids_).subspan(first, count), embedding_);
  const draft_tensor& t = tensors_[outside];
  const std::size_t lacking = range_.count - t.tokens;
  const std::size_t begin = std::max(first, lacking), end = first + count;
  innovations rows(count * o.width());
  if (begin >= end) return rows;
  const position_range part{range_.first + begin, static_cast<std::uint32_t>(end - begin)};
  const std::vector<std::uint32_t> consecutive = part.list();
  const innovations told = steps_.innovate_draft(
      outside,
      listed_.empty() ? std::span(consecutive) : std::span(listed_).subspan(begin, end - begin),
      t.numbers.from(begin - lacking));
  std::ranges::copy(told, rows.begin() + static_cast<std::ptrdiff_t>((begin - first) * o.width()));
  return rows;
}

std::uint64_t outside_rows::draft_hash() const {
  XXH3_state_t* const state = XXH3_createState();
  if (state == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state);
  bool has_draft = false;
  for (const draft_tensor& t : tensors_) {
    const std::size_t row_bytes =
        std::size_t{t.heads} * t.head_dim *
        (t.tokens == 0 ? 0 : find_format(static_cast<std::uint8_t>(t.format))->bytes());
    for (std::uint32_t token = 0; token < t.tokens; ++token)
      XXH3_64bits_update(state, t.numbers.at(token, 0), row_bytes);
    has_draft = has_draft || t.tokens != 0;
  }
  const std::uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return has_draft ? hash : 0;
}

}  // namespace skv::cpu
