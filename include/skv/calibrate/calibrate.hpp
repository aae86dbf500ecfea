// Making profiles from caches. docs/profiles.md says what is fitted, and how.
#pragma once

#include <map>
#include <memory>
#include <skv/base/status.hpp>
#include <skv/base/tensor.hpp>
#include <skv/base/view.hpp>
#include <skv/profile/profile.hpp>

namespace skv {

/// Fits scales and tables to caches, pass by pass: memory does not depend on how many there are.
///
///     calibrator c(format_id::bf16, mean_source::given, format_id::bf16);
///     do
///       for (every tensor of every cache) c.add(...);
///     while (c.next_pass());
///     auto profile = c.finish();
///
/// Every pass must see the same tensors, in any order; the profile does not depend on it.
class calibrator {
 public:
  /// How often everything is to be added.
  static constexpr unsigned kPasses = 6;

  calibrator(format_id target, mean_source source, format_id mean);
  ~calibrator();
  calibrator(calibrator&&) noexcept;
  calibrator& operator=(calibrator&&) noexcept;

  /// One tensor of one cache: patterns as in cpu::codec. Several threads may add tensors at once,
  /// if their ids differ; all else is for one thread at a time. Fails with invalid_argument if the
  /// shape differs from that of the same tensor in another cache.
  result<done> add(tensor_id id, std::uint32_t tokens, std::uint32_t heads, std::uint32_t head_dim,
                   row_view<const std::byte> numbers, row_view<const std::byte> means);

  /// Ends a pass; false when no more are needed.
  bool next_pass();

  /// What each tensor costs, in bits per number: under the tables of the last but one pass and the
  /// scales that were chosen with them.
  std::map<tensor_id, double> bits() const;

  /// The profile. Fails with invalid_argument if nothing was added.
  result<profile_ptr> finish() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace skv
