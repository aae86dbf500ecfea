// The events of a safetensors header's JSON, checked and gathered. For safetensors.cpp alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/messages.hpp"
#include "io/safetensors.hpp"

namespace skv::io {

inline constexpr std::string_view kMetadata = "__metadata__";

/// A tensor's name in a message.
inline std::string tensor_named(std::string_view name) { return "tensor " + in_quotes(name, 120); }

/// Takes the header's JSON event by event, so that nothing is built but the tensors, and a hostile
/// header costs memory in proportion to its length. An event that returns false stops the parser.
class header_reader {
  using json = nlohmann::json;

 public:
  std::vector<tensor_entry> tensors;  // offsets relative to the data
  std::string complaint;

  bool null() { return scalar(); }
  bool boolean(bool) { return scalar(); }
  bool number_integer(json::number_integer_t) { return scalar(); }  // only negative ones come here
  bool number_float(json::number_float_t, const std::string&) { return scalar(); }
  bool binary(json::binary_t&) { return scalar(); }

  bool number_unsigned(std::uint64_t number) {
    if (place_ == place::shape) {
      tensors.back().shape.push_back(number);
      return true;
    }
    if (place_ != place::offsets) return scalar();
    if (offsets_read_ == offsets_.size()) return refuse("data_offsets are more than two");
    offsets_[offsets_read_++] = number;
    return true;
  }

  bool string(std::string& text) {
    if (place_ != place::tensor || field_ != field::dtype) return scalar();
    tensors.back().dtype = std::move(text);
    return true;
  }

  bool key(std::string& name) {
    const auto [at, is_new] = keys_[depth_].insert(std::move(name));
    if (!is_new) return refuse("the key " + in_quotes(*at, 120) + " occurs twice");
    if (place_ == place::header) {
      field_ = *at == kMetadata ? field::other : field::tensor;
      if (field_ == field::tensor) tensors.emplace_back().name = *at;
    } else if (place_ == place::tensor) {
      field_ = *at == "dtype"          ? field::dtype
               : *at == "shape"        ? field::shape
               : *at == "data_offsets" ? field::offsets
                                       : field::other;
      seen_[index_of(field_)] = true;
    }
    return true;
  }

  bool start_object(std::size_t) {
    if (!enter()) return false;
    if (place_ == place::ignored) return true;
    if (place_ == place::outside) {
      place_ = place::header;
      return true;
    }
    if (place_ != place::header) return refuse(expectation());
    place_ = place::tensor;
    seen_ = {};
    offsets_read_ = 0;
    return true;
  }

  bool start_array(std::size_t) {
    if (!enter()) return false;
    if (place_ == place::ignored) return true;
    const bool of_numbers = field_ == field::shape || field_ == field::offsets;
    if (place_ != place::tensor || !of_numbers) return refuse(expectation());
    place_ = field_ == field::shape ? place::shape : place::offsets;
    return true;
  }

  bool end_object() {
    const place ended = place_;
    leave();
    if (ended != place::tensor) return true;
    for (const field f : {field::dtype, field::shape, field::offsets})
      if (!seen_[index_of(f)]) return refuse_tensor(std::string("it has no ") + name_of_field(f));
    if (offsets_read_ != offsets_.size()) return refuse_tensor("data_offsets are fewer than two");
    tensors.back().begin = offsets_[0];
    tensors.back().end = offsets_[1];
    return true;
  }

  bool end_array() {
    leave();
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception&) {
    // The exception's own text quotes the header at any length.
    complaint = "the header is not valid JSON at its byte " + std::to_string(position);
    return false;
  }

 private:
  enum class place { outside, header, tensor, shape, offsets, ignored };
  enum class field { tensor, dtype, shape, offsets, other };
  static constexpr std::size_t kMaxDepth = 16;  // 3 are needed; the rest is for ignored values

  static std::size_t index_of(field f) { return static_cast<std::size_t>(f); }
  static const char* name_of_field(field f) {
    return f == field::dtype ? "dtype" : f == field::shape ? "shape" : "data_offsets";
  }

  bool refuse(std::string why) {
    const place where = place_ == place::ignored ? ignored_in_ : place_;
    if (where != place::header && where != place::outside) return refuse_tensor(std::move(why));
    complaint = std::move(why);
    return false;
  }
  bool refuse_tensor(const std::string& why) {
    complaint = tensor_named(tensors.back().name) + ": " + why;
    return false;
  }
  std::string expectation() const {
    if (place_ == place::outside) return "the header is not a JSON object";
    if (place_ == place::header) return tensor_named(tensors.back().name) + " is not a JSON object";
    if (field_ == field::dtype) return "dtype is not a string";
    return std::string(name_of_field(field_)) + " is not an array of unsigned 64-bit integers";
  }

  /// The value to come is one that this reader ignores, whatever it is.
  bool is_ignored() const {
    return place_ == place::ignored ||
           ((place_ == place::header || place_ == place::tensor) && field_ == field::other);
  }
  bool scalar() { return is_ignored() || refuse(expectation()); }

  bool enter() {
    if (depth_ == kMaxDepth) return refuse("values are nested too deeply");
    keys_[++depth_] = {};
    if (place_ != place::ignored && is_ignored()) {
      ignored_from_ = depth_;
      ignored_in_ = std::exchange(place_, place::ignored);
    }
    return true;
  }
  void leave() {
    --depth_;
    if (place_ == place::ignored) {
      if (depth_ < ignored_from_) place_ = ignored_in_;
    } else {
      place_ = depth_ == 0 ? place::outside : depth_ == 1 ? place::header : place::tensor;
    }
  }

  place place_ = place::outside;
  field field_ = field::other;  // whose value is to come
  std::array<bool, 5> seen_ = {};
  std::array<std::uint64_t, 2> offsets_ = {};
  std::size_t offsets_read_ = 0;

  std::size_t depth_ = 0;
  std::size_t ignored_from_ = 0;  // depth of the ignored value
  place ignored_in_ = place::outside;
  // Ordered sets: keys chosen to collide would make hashed ones slow.
  std::array<std::set<std::string>, kMaxDepth + 1> keys_;
};

}  // namespace skv::io
