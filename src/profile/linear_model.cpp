#include <skv/profile/linear_model.hpp>

#include <algorithm>
#include <skv/format/byte_io.hpp>
#include <skv/predict/linear.hpp>
#include <utility>

namespace skv {
namespace {

std::uint64_t width_of(const linear_shape& s) { return std::uint64_t{s.heads} * s.head_dim; }

// Inputs of a shard of tensor `t`: its part of tensors' channels, and all of outside rows'.
std::uint64_t inputs_of(const linear_model& m, const linear_tensor& t,
                        std::span<const linear_shape> shapes) {
  std::uint64_t inputs = 0;
  for (std::uint32_t s : t.sources)
    if (s < shapes.size())
      inputs += width_of(shapes[s]) / m.shards;
    else if (s - shapes.size() < m.outside.size())
      inputs += m.outside[s - shapes.size()].width();
  return inputs;
}

bool turns_within(const rotary& r, std::uint32_t head_dim) {
  return r.first_channel <= head_dim && r.pairs() <= (head_dim - r.first_channel) / 2;
}

std::string complaint_about(const linear_model& m, const linear_outside& o) {
  const bool is_embedding = o.kind == outside_kind::embedding;
  if (o.kind > outside_kind::draft) return "they are of unknown kind";
  if (!find_format(o.format) && !(is_embedding && o.format == 0))
    return "their numbers are of unknown format";
  if (o.heads == 0 || o.head_dim == 0 || width_of({o.heads, o.head_dim}) > kMaxInputs)
    return "they have an impossible width";
  if (is_embedding != (o.vocabulary != 0) ||
      (is_embedding ? o.heads != 1 || o.rotary != 0 || o.id != tensor_id{}
                    : o.hash != 0 || o.id.kind > tensor_kind::latent))
    return "they have what is of another kind";
  if (o.rotary > m.rotaries.size()) return "they turn with a rotary that is not there";
  if (o.rotary != 0 && !turns_within(m.rotaries[o.rotary - 1], o.head_dim))
    return "they turn more channels than a head has";
  if (o.units.size() != (is_embedding ? 0 : o.width()) || o.centres.size() != o.width() ||
      o.shifts.size() != o.width())
    return "their channels have the wrong number";
  return {};
}

std::string complaint_about(const linear_product& p, std::uint64_t inputs, std::uint64_t outputs,
                            std::uint32_t shards) {
  if (p.inputs != inputs || p.outputs != outputs) return "a product has the wrong shape";
  if (p.multipliers.size() != outputs * shards || p.shifts.size() != outputs * shards ||
      p.weights.size() != p.shard_weights() * shards)
    return "a product's parts have the wrong size";
  for (std::uint16_t multiplier : p.multipliers)
    if (multiplier > 32767) return "a multiplier is too large";
  return {};
}

std::string complaint_about(const linear_model& m, std::size_t index,
                            std::span<const linear_shape> shapes) {
  const linear_tensor& t = m.tensors[index];
  const linear_shape& shape = shapes[index];
  const std::uint64_t width = width_of(shape);
  if (shape.heads % m.shards != 0) return "its heads cannot be divided among the shards";
  if (t.rotary > m.rotaries.size()) return "it turns with a rotary that is not there";
  if (t.rotary != 0 && !turns_within(m.rotaries[t.rotary - 1], shape.head_dim))
    return "it turns more channels than a head has";
  if (t.units.size() != width || t.centres.size() != width || t.shifts.size() != width)
    return "its channels have the wrong number";
  for (std::uint32_t s : t.sources)
    if (s >= shapes.size() + m.outside.size() || (s >= index && s < shapes.size()))
      return "it is predicted from what comes after it";
  if (!t.is_predicted && (!t.sources.empty() || t.rank != 0))
    return "it has sources and is not predicted";
  if (t.sources.empty()) return t.rank != 0 ? "it has a rank and no sources" : std::string();
  const std::uint64_t inputs = inputs_of(m, t, shapes);
  if (inputs > kMaxInputs || t.rank > kMaxInputs) return "it has too many inputs";
  if (t.rank == 0) return complaint_about(t.to_output, inputs, width / m.shards, m.shards);
  std::string wrong = complaint_about(t.to_hidden, inputs, t.rank, m.shards);
  if (wrong.empty()) wrong = complaint_about(t.to_output, t.rank, width / m.shards, m.shards);
  return wrong;
}

void append_product(std::vector<std::byte>& out, const linear_product& p) {
  for (std::uint16_t multiplier : p.multipliers) append(out, multiplier);
  append(out, std::as_bytes(std::span(p.shifts)));
  append(out, std::as_bytes(p.weights));
}

template <class T>
std::vector<T> read_array(byte_reader& in, std::uint64_t count) {
  std::vector<T> array;
  if (count > in.left() / sizeof(T)) {
    in.take(in.left() + 1);
    return array;
  }
  array.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i)
    array.push_back(static_cast<T>(in.read<std::make_unsigned_t<T>>()));
  return array;
}

// Sizes are below 2^17 inputs and 2^32 outputs: nothing here overflows 64 bits.
linear_product read_product(byte_reader& in, std::uint64_t inputs, std::uint64_t outputs,
                            std::uint32_t shards) {
  linear_product p;
  p.inputs = static_cast<std::uint32_t>(inputs);
  p.outputs = static_cast<std::uint32_t>(outputs);
  p.multipliers = read_array<std::uint16_t>(in, outputs * shards);
  p.shifts = read_array<std::uint8_t>(in, outputs * shards);
  const std::uint64_t rows = outputs * shards;
  if (rows != 0 && 4 * std::uint64_t{p.input_groups()} > in.left() / rows) in.take(in.left() + 1);
  const auto weights = in.take(in.ok() ? rows * 4 * p.input_groups() : 0);
  p.weights = {reinterpret_cast<const std::int8_t*>(weights.data()), weights.size()};
  return p;
}

linear_product slice(const linear_product& p, std::uint32_t first_shard, std::uint32_t shards) {
  linear_product s = p;
  const auto rows = [&](const auto& all) {
    const auto begin = all.begin() + std::ptrdiff_t{first_shard} * p.outputs;
    return std::remove_cvref_t<decltype(all)>(begin, begin + std::ptrdiff_t{shards} * p.outputs);
  };
  s.multipliers = rows(p.multipliers);
  s.shifts = rows(p.shifts);
  s.weights = p.weights.subspan(first_shard * p.shard_weights(), shards * p.shard_weights());
  return s;
}

}  // namespace

std::string complaint_about(const linear_model& m, std::span<const linear_shape> shapes) {
  if (m.base != mean_source::none && m.base != mean_source::given)
    return "linear propagation over a base that it cannot correct";
  if (m.shards == 0) return "linear propagation without shards";
  if (m.tensors.size() != shapes.size()) return "linear propagation over other tensors";
  for (const rotary& r : m.rotaries)
    if (r.frequencies.empty()) return "a rotary without frequencies";
  if (m.rotaries.size() > 255) return "too many rotaries";
  for (std::size_t i = 0; i < m.outside.size(); ++i) {
    const linear_outside& o = m.outside[i];
    std::string wrong = complaint_about(m, o);
    if (wrong.empty() && i > 0 &&
        !(std::pair(m.outside[i - 1].kind, m.outside[i - 1].id) < std::pair(o.kind, o.id)))
      wrong = "they are not in ascending order";
    if (!wrong.empty()) return "outside rows " + std::to_string(i) + ": " + wrong;
  }
  for (std::size_t i = 0; i < shapes.size(); ++i)
    if (std::string wrong = complaint_about(m, i, shapes); !wrong.empty())
      return "linear propagation of tensor " + std::to_string(i) + ": " + wrong;
  return {};
}

namespace {

void append_outside(std::vector<std::byte>& out, const linear_outside& o) {
  append(out, static_cast<std::uint8_t>(o.kind));
  append(out, static_cast<std::uint8_t>(o.id.kind));
  append(out, o.format);
  append(out, o.rotary);
  append(out, o.id.layer);
  append(out, o.heads);
  append(out, o.head_dim);
  append(out, o.vocabulary);
  append(out, o.hash);
  append(out, std::as_bytes(std::span(o.units)));
  append(out, std::as_bytes(std::span(o.shifts)));
  for (std::int16_t c : o.centres) append(out, static_cast<std::uint16_t>(c));
}

linear_outside read_outside(byte_reader& in) {
  linear_outside o;
  o.kind = static_cast<outside_kind>(in.read<std::uint8_t>());
  o.id.kind = static_cast<tensor_kind>(in.read<std::uint8_t>());
  o.format = in.read<std::uint8_t>();
  o.rotary = in.read<std::uint8_t>();
  o.id.layer = in.read<std::uint32_t>();
  o.heads = in.read<std::uint32_t>();
  o.head_dim = in.read<std::uint32_t>();
  o.vocabulary = in.read<std::uint32_t>();
  o.hash = in.read<std::uint64_t>();
  const std::uint64_t width = width_of({o.heads, o.head_dim});
  if (width > kMaxInputs) in.take(in.left() + 1);
  o.units = read_array<std::uint8_t>(in, o.kind == outside_kind::embedding ? 0 : width);
  o.shifts = read_array<std::uint8_t>(in, width);
  o.centres = read_array<std::int16_t>(in, width);
  return o;
}

}  // namespace

void append(std::vector<std::byte>& out, const linear_model& m) {
  append(out, m.shards);
  append(out, static_cast<std::uint32_t>(m.rotaries.size()));
  append(out, static_cast<std::uint32_t>(m.outside.size()));
  for (const rotary& r : m.rotaries) {
    append(out, static_cast<std::uint32_t>(r.is_interleaved));
    append(out, r.first_channel);
    append(out, r.pairs());
    for (std::uint64_t f : r.frequencies) append(out, f);
  }
  for (const linear_outside& o : m.outside) append_outside(out, o);
  for (const linear_tensor& t : m.tensors) {
    append(out, static_cast<std::uint8_t>(t.is_predicted));
    append(out, t.rotary);
    append(out, static_cast<std::uint16_t>(t.sources.size()));
    append(out, t.rank);
    for (std::uint32_t s : t.sources) append(out, s);
    append(out, std::as_bytes(std::span(t.units)));
    append(out, std::as_bytes(std::span(t.shifts)));
    for (std::int16_t c : t.centres) append(out, static_cast<std::uint16_t>(c));
    if (t.rank != 0) append_product(out, t.to_hidden);
    if (!t.sources.empty()) append_product(out, t.to_output);
  }
}

linear_model read_linear_model(byte_reader& in, mean_source base,
                               std::span<const linear_shape> shapes) {
  linear_model m;
  m.base = base;
  m.shards = in.read<std::uint32_t>();
  const auto rotaries = in.read<std::uint32_t>();
  const auto outside = in.read<std::uint32_t>();
  const auto fail = [&] { in.take(in.left() + 1); };
  if (m.shards == 0 || rotaries > 255) fail();
  for (std::uint32_t i = 0; i < rotaries && in.ok(); ++i) {
    rotary r;
    const auto pairing = in.read<std::uint32_t>();
    if (pairing > 1) fail();
    r.is_interleaved = pairing == 1;
    r.first_channel = in.read<std::uint32_t>();
    const auto pairs = in.read<std::uint32_t>();
    r.frequencies = read_array<std::uint64_t>(in, pairs);
    m.rotaries.push_back(std::move(r));
  }
  for (std::uint32_t i = 0; i < outside && in.ok(); ++i) m.outside.push_back(read_outside(in));
  for (const linear_shape& shape : shapes) {
    if (!in.ok()) break;
    linear_tensor t;
    const auto predicted = in.read<std::uint8_t>();
    if (predicted > 1) fail();
    t.is_predicted = predicted == 1;
    t.rotary = in.read<std::uint8_t>();
    const auto sources = in.read<std::uint16_t>();
    t.rank = in.read<std::uint32_t>();
    t.sources = read_array<std::uint32_t>(in, sources);
    const std::uint64_t width = width_of(shape);
    t.units = read_array<std::uint8_t>(in, width);
    t.shifts = read_array<std::uint8_t>(in, width);
    t.centres = read_array<std::int16_t>(in, width);
    const std::uint64_t inputs = in.ok() ? inputs_of(m, t, shapes) : 0;
    if (inputs > kMaxInputs || t.rank > kMaxInputs) fail();
    if (!in.ok()) break;
    if (t.rank != 0) t.to_hidden = read_product(in, inputs, t.rank, m.shards);
    if (!t.sources.empty())
      t.to_output = read_product(in, t.rank != 0 ? t.rank : inputs, width / m.shards, m.shards);
    m.tensors.push_back(std::move(t));
  }
  return m;
}

std::string slice_linear_model(const linear_model& m, std::span<const linear_shape> shapes,
                               std::uint32_t first, std::uint32_t count, linear_model& sliced) {
  sliced = {m.base, 0, m.rotaries, m.outside, {}};
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const std::uint32_t heads = shapes[i].heads / m.shards;
    const std::uint32_t shards = count / heads, first_shard = first / heads;
    if (first % heads != 0 || count % heads != 0 || (i > 0 && shards != sliced.shards))
      return "linear propagation was fitted for shards of " + std::to_string(heads) + " heads";
    sliced.shards = shards;
    linear_tensor t = m.tensors[i];
    const auto channels = [&](const auto& all) {
      const auto begin = all.begin() + std::ptrdiff_t{first} * shapes[i].head_dim;
      return std::remove_cvref_t<decltype(all)>(begin,
                                                begin + std::ptrdiff_t{count} * shapes[i].head_dim);
    };
    t.units = channels(t.units);
    t.centres = channels(t.centres);
    t.shifts = channels(t.shifts);
    if (t.rank != 0) t.to_hidden = slice(t.to_hidden, first_shard, shards);
    if (!t.sources.empty()) t.to_output = slice(t.to_output, first_shard, shards);
    sliced.tensors.push_back(std::move(t));
  }
  return {};
}

}  // namespace skv
