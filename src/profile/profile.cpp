#include <skv/profile/profile.hpp>

#include <algorithm>
#include <skv/entropy/table.hpp>
#include <skv/format/byte_io.hpp>
#include <skv/predict/list.hpp>
#include <skv/tile/exponent.hpp>
#include <skv/tile/residual.hpp>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace skv {
namespace {

constexpr std::uint8_t kMagic[4] = {'S', 'K', 'V', 'P'};
constexpr std::uint32_t kLinearFeature = 1, kAttachmentFeature = 2;
constexpr std::size_t kHeaderBytes = 32, kTensorBytes = 16, kChecksumBytes = 8;

profile_id name_of(std::span<const std::byte> bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  profile_id id;
  std::transform(std::begin(canonical.digest), std::end(canonical.digest), id.begin(),
                 [](unsigned char c) { return std::byte{c}; });
  return id;
}

// Calls f with the coding's type.
template <class F>
void with_coding(format_id target, mean_source source, format_id mean, F&& f) {
  coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    if (Pair::kTarget.id != target || Pair::kMean.id != mean) return false;
    if (source == mean_source::none)
      f(exponent_coding<Pair::kTarget>{});
    else
      f(residual_coding<Pair::kTarget, Pair::kMean>{});
    return true;
  });
}

std::vector<linear_shape> shapes_of(const profile_content& c) {
  std::vector<linear_shape> shapes;
  for (const tensor_scales& s : c.scales) shapes.push_back({s.heads, s.head_dim});
  return shapes;
}

std::string validate(const profile_content& c) {
  if (!is_coded(c.target, c.source, c.mean))
    return "no coding of " + std::string(to_string(c.target)) + " numbers with " +
           std::string(to_string(c.mean)) + " means from this predictor";
  const table_shape shape = coding_table_shape(c.target, c.source, c.mean);
  if (c.frequencies.size() != std::size_t{shape.contexts} * shape.tokens)
    return "its tables have the wrong size";
  for (std::uint32_t context = 0; context < shape.contexts; ++context) {
    std::uint32_t sum = 0;
    for (std::uint32_t token = 0; token < shape.tokens; ++token)
      sum += c.frequencies[context * shape.tokens + token];
    if (sum != kSlots)
      return "the frequencies of context " + std::to_string(context) + " do not sum to " +
             std::to_string(kSlots);
    const std::uint32_t escape = c.frequencies[context * shape.tokens + shape.escape];
    if (escape == 0)
      return "the escape of context " + std::to_string(context) + " has no frequency";
    if (escape == kSlots)
      return "the escape of context " + std::to_string(context) + " has all the frequency";
  }
  for (std::size_t i = 0; i < c.scales.size(); ++i) {
    const tensor_scales& s = c.scales[i];
    if (i > 0 && !(c.scales[i - 1].id < s.id)) return "its tensors are not in ascending order";
    if (s.id.kind > tensor_kind::latent) return "a tensor is of unknown kind";
    if (s.heads == 0 || s.head_dim == 0 || s.codes.size() != std::uint64_t{s.heads} * s.head_dim)
      return "the scales of " + to_string(s.id) + " do not match its shape";
  }
  if (!c.scales.empty() && c.default_code != 0) return "a default scale next to given ones";
  for (std::size_t i = 0; i < c.attachments.size(); ++i) {
    if (!is_name(c.attachments[i].name)) return "an attachment has no name";
    if (i > 0 && !(c.attachments[i - 1].name < c.attachments[i].name))
      return "its attachments are not in ascending order";
  }
  if (!c.linear) return {};
  if (c.source != mean_source::given) return "linear propagation whose means are not given";
  if (c.linear->base == mean_source::none && c.mean != c.target)
    return "linear propagation without a base, and means of another format";
  return complaint_about(*c.linear, shapes_of(c));
}

std::vector<std::byte> serialise(const profile_content& c) {
  const table_shape shape = coding_table_shape(c.target, c.source, c.mean);
  std::vector<std::byte> out;
  append(out, std::as_bytes(std::span(kMagic)));
  append(out, kProfileVersion);
  append(out, static_cast<std::uint8_t>(c.target));
  append(out, static_cast<std::uint8_t>(c.source));
  append(out, static_cast<std::uint8_t>(c.mean));
  append(out, c.default_code);
  append(out, static_cast<std::uint8_t>(c.linear ? c.linear->base : mean_source::none));
  append(out, std::uint8_t{0});
  append(out, static_cast<std::uint32_t>(c.scales.size()));
  append(out, static_cast<std::uint16_t>(shape.contexts));
  append(out, static_cast<std::uint16_t>(shape.tokens));
  append(out, (c.linear ? kLinearFeature : 0) | (c.attachments.empty() ? 0 : kAttachmentFeature));
  const std::size_t size_at = out.size();
  append(out, std::uint64_t{0});  // the size's place
  for (const tensor_scales& s : c.scales) {
    append(out, s.id.layer);
    append(out, static_cast<std::uint32_t>(s.id.kind));
    append(out, s.heads);
    append(out, s.head_dim);
  }
  for (const tensor_scales& s : c.scales) append(out, std::as_bytes(std::span(s.codes)));
  for (std::uint16_t f : c.frequencies) append(out, f);
  if (c.linear) append(out, *c.linear);
  if (!c.attachments.empty()) append(out, static_cast<std::uint32_t>(c.attachments.size()));
  for (const attachment& a : c.attachments) {
    append(out, static_cast<std::uint8_t>(a.name.size()));
    append(out, std::as_bytes(std::span(a.name)));
    append(out, std::uint64_t{a.bytes.size()});
    append(out, a.bytes);
  }
  std::vector<std::byte> size;
  append(size, std::uint64_t{out.size() + kChecksumBytes});
  std::ranges::copy(size, out.begin() + static_cast<std::ptrdiff_t>(size_at));
  append(out, static_cast<std::uint64_t>(XXH3_64bits(out.data(), out.size())));
  return out;
}

std::vector<attachment> read_attachments(byte_reader& in) {
  std::vector<attachment> attachments;
  for (auto count = in.read<std::uint32_t>(); count != 0 && in.ok(); --count) {
    attachment a;
    const auto name = in.take(in.read<std::uint8_t>());
    a.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    a.bytes = in.take(in.read<std::uint64_t>());
    attachments.push_back(std::move(a));
  }
  return attachments;
}

result<profile_content> deserialise(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes)
    return fail(status::truncated, "profile: shorter than a header");
  byte_reader in(bytes);
  if (!std::ranges::equal(in.take(4), std::as_bytes(std::span(kMagic))))
    return fail(status::corrupt, "profile: not a .skvp profile");
  if (const auto version = in.read<std::uint16_t>(); version != kProfileVersion)
    return fail(status::unsupported, "profile: version " + std::to_string(version) +
                                         ", this build reads version " +
                                         std::to_string(kProfileVersion));
  profile_content c;
  const auto target = find_format(in.read<std::uint8_t>());
  const auto source = in.read<std::uint8_t>();
  const auto mean = find_format(in.read<std::uint8_t>());
  c.default_code = in.read<std::uint8_t>();
  const auto base = in.read<std::uint8_t>();
  const auto reserved = in.read<std::uint8_t>();
  const auto tensors = in.read<std::uint32_t>();
  const auto contexts = in.read<std::uint16_t>();
  const auto tokens = in.read<std::uint16_t>();
  const auto features = in.read<std::uint32_t>();
  const auto announced = in.read<std::uint64_t>();
  if (announced > bytes.size())
    return fail(status::truncated, "profile: " + std::to_string(bytes.size()) + " of " +
                                       std::to_string(announced) + " bytes are there");
  if (announced < kHeaderBytes + kChecksumBytes || announced != bytes.size())
    return fail(status::corrupt, "profile: bytes after its end");
  const auto body = bytes.first(bytes.size() - kChecksumBytes);
  if (byte_reader(bytes.last(kChecksumBytes)).read<std::uint64_t>() !=
      XXH3_64bits(body.data(), body.size()))
    return fail(status::corrupt, "profile: checksum mismatch, the file was altered");
  if ((features & ~(kLinearFeature | kAttachmentFeature)) != 0)
    return fail(status::unsupported, "profile: needs a feature that this build lacks");
  if (!target || !mean || source > static_cast<std::uint8_t>(mean_source::given))
    return fail(status::unsupported, "profile: unknown number format or predictor");
  c.target = target->id;
  c.source = static_cast<mean_source>(source);
  c.mean = mean->id;
  const bool is_linear = (features & kLinearFeature) != 0;
  if (reserved != 0 || (!is_linear && base != 0))
    return fail(status::corrupt, "profile: reserved bytes are not zero");
  const table_shape shape = coding_table_shape(c.target, c.source, c.mean);
  if (contexts != shape.contexts || tokens != shape.tokens)
    return fail(status::corrupt, "profile: its tables have the wrong shape");

  if (tensors > in.left() / kTensorBytes)
    return fail(status::corrupt, "profile: more tensors than bytes");
  std::uint64_t codes = 0;
  for (std::uint32_t i = 0; i < tensors; ++i) {
    tensor_scales s;
    s.id.layer = in.read<std::uint32_t>();
    const auto kind = in.read<std::uint32_t>();
    s.id.kind = static_cast<tensor_kind>(kind);
    s.heads = in.read<std::uint32_t>();
    s.head_dim = in.read<std::uint32_t>();
    const std::uint64_t width = std::uint64_t{s.heads} * s.head_dim;
    codes += width < in.left() ? width : in.left() + 1;
    if (kind > 2 || codes > in.left())
      return fail(status::corrupt, "profile: a tensor of impossible kind or shape");
    c.scales.push_back(std::move(s));
  }
  for (tensor_scales& s : c.scales)
    for (std::byte code : in.take(std::uint64_t{s.heads} * s.head_dim))
      s.codes.push_back(std::to_integer<scale_code>(code));
  for (std::uint32_t i = 0; i < std::uint32_t{contexts} * tokens && in.ok(); ++i)
    c.frequencies.push_back(in.read<std::uint16_t>());
  if (is_linear && in.ok())
    c.linear = read_linear_model(in, static_cast<mean_source>(base), shapes_of(c));
  if ((features & kAttachmentFeature) != 0 && in.ok()) {
    c.attachments = read_attachments(in);
    if (in.ok() && c.attachments.empty())
      return fail(status::corrupt, "profile: attachments are announced and not there");
  }
  if (!in.ok() || in.left() != kChecksumBytes)
    return fail(status::corrupt, "profile: its parts do not add up to its size");
  return c;
}

}  // namespace

std::string to_string(const std::array<std::byte, 16>& id) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string s;
  for (std::byte b : id) {
    s += digits[std::to_integer<unsigned>(b) >> 4];
    s += digits[std::to_integer<unsigned>(b) & 15];
  }
  return s;
}

table_shape coding_table_shape(format_id target, mean_source source, format_id mean) {
  table_shape shape;
  with_coding(target, source, mean, [&](auto coding) {
    using Coding = decltype(coding);
    shape = {Coding::kContexts, Coding::tokens::kCount, Coding::tokens::kEscape};
  });
  return shape;
}

result<profile_ptr> profile::make(profile_content content) {
  if (std::string wrong = validate(content); !wrong.empty())
    return fail(status::invalid_argument, "profile: " + wrong);
  const auto bytes = std::make_shared<const std::vector<std::byte>>(serialise(content));
  return from(*bytes, bytes);
}

result<profile_ptr> profile::parse(std::span<const std::byte> bytes,
                                   std::shared_ptr<const void> owner) {
  if (owner) return from(bytes, std::move(owner));
  const auto copy = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  return from(*copy, copy);
}

result<profile_ptr> profile::from(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner) {
  auto content = deserialise(bytes);
  if (!content) return content.failure();
  if (std::string wrong = validate(*content); !wrong.empty())
    return fail(status::corrupt, "profile: " + wrong);
  std::shared_ptr<profile> p(new profile);
  p->content_ = *std::move(content);
  p->bytes_ = bytes;
  p->owner_ = std::move(owner);
  p->id_ = name_of(bytes);

  const profile_content& c = p->content_;
  with_coding(c.target, c.source, c.mean, [&](auto coding) {
    using Coding = decltype(coding);
    using tokens = typename Coding::tokens;
    p->contexts_ = Coding::kContexts;
    p->decode_table_.resize(std::size_t{Coding::kContexts} * kSlots);
    p->encode_table_.resize(std::size_t{Coding::kContexts} * kMaxTokens * encode_entry::kWords);
    const std::span frequencies(c.frequencies);
    for (std::size_t i = 0; i < Coding::kContexts; ++i) {
      const auto context = frequencies.subspan(i * tokens::kCount, tokens::kCount);
      fill_decode_table<tokens>(context, std::span(p->decode_table_).subspan(i * kSlots, kSlots));
      constexpr std::size_t words = kMaxTokens * encode_entry::kWords;
      fill_encode_table<tokens>(context, std::span(p->encode_table_).subspan(i * words, words));
    }
  });
  return profile_ptr(std::move(p));
}

result<std::span<const scale_code>> profile::codes(tensor_id id, std::uint32_t heads,
                                                   std::uint32_t head_dim) const {
  const auto at = std::ranges::lower_bound(content_.scales, id, {}, &tensor_scales::id);
  if (at == content_.scales.end() || at->id != id)
    return fail(status::wrong_profile,
                "the profile " + to_string(id_) + " has no scales for " + to_string(id));
  if (at->heads != heads || at->head_dim != head_dim)
    return fail(status::wrong_profile,
                "the profile " + to_string(id_) + " has " + std::to_string(at->heads) + " x " +
                    std::to_string(at->head_dim) + " channels for " + to_string(id) +
                    ", the cache has " + std::to_string(heads) + " x " + std::to_string(head_dim));
  return std::span<const scale_code>(at->codes);
}

std::span<const std::byte> profile::attached(std::string_view name) const {
  const auto at = std::ranges::find(content_.attachments, name, &attachment::name);
  return at == content_.attachments.end() ? std::span<const std::byte>() : at->bytes;
}

result<profile_ptr> profile::slice_heads(std::uint32_t first, std::uint32_t count) const {
  profile_content sliced = content_;
  sliced.attachments.clear();
  for (tensor_scales& s : sliced.scales) {
    if (count == 0 || first > s.heads || count > s.heads - first)
      return fail(status::invalid_argument, "cannot take heads " + std::to_string(first) + " to " +
                                                std::to_string(std::uint64_t{first} + count) +
                                                " of " + to_string(s.id) + ", which has " +
                                                std::to_string(s.heads));
    const auto begin =
        s.codes.begin() + static_cast<std::ptrdiff_t>(std::uint64_t{first} * s.head_dim);
    s.codes = std::vector<scale_code>(
        begin, begin + static_cast<std::ptrdiff_t>(std::uint64_t{count} * s.head_dim));
    s.heads = count;
  }
  if (content_.linear)
    if (std::string wrong =
            slice_linear_model(*content_.linear, shapes_of(content_), first, count, *sliced.linear);
        !wrong.empty())
      return fail(status::invalid_argument, "profile: " + wrong);
  return make(std::move(sliced));
}

}  // namespace skv
