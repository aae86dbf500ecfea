// Fitting linear propagation to caches. docs/linear-propagation.md says what is fitted, and how.
#pragma once

#include <functional>
#include <memory>
#include <skv/base/status.hpp>
#include <skv/cpu/outside.hpp>
#include <skv/profile/profile.hpp>
#include <span>
#include <vector>

namespace skv {

/// A tensor of a cache with what it is predicted by, as calibration sees it.
struct calibration_tensor {
  tensor_id id;
  std::uint32_t tokens = 0, heads = 0, head_dim = 0;
  row_view<const std::byte> numbers, bases;  ///< bases: null if there are none
};
/// A cache: tensors in ascending order of id. All end at one position; the longest begins at 0.
using calibration_cache = std::span<const calibration_tensor>;

struct linear_fit_options {
  /// How K turns (and the latent, in its rotary part); nothing turns without.
  std::optional<rotary> rope;
  std::optional<rotary> draft_rope;  ///< the same in the draft's cache
  std::uint32_t rank = 0;            ///< of the matrices; 0: full
  std::uint32_t shards = 1;          ///< head ranges that must not depend on each other
  std::uint32_t restart_every = 0;   ///< layers at which a chain starts anew; 0: only the first
  unsigned threads = 0;              ///< 0: one per processor
};

/// What was found for a tensor. Bits are those that its numbers cost, without and with what was
/// fitted to other caches.
struct linear_fit_report {
  tensor_id id;
  bool is_predicted = false;
  double regularisation = 0;
  double bits_without = 0, bits_with = 0;
  std::size_t sources = 0;
  bool uses_embedding = false, uses_draft = false;  ///< among the sources
};

/// Fits the model of linear propagation: ridge regressions of each tensor's deviations from its
/// bases on the innovations of tensors before it. Memory does not depend on the number of caches.
///
///     linear_fitter fit(format_id::bf16, mean_source::none, format_id::bf16, options);
///     do
///       for (every cache) fit.add(cache);
///     while (fit.next_pass());
///     auto model = fit.finish();
///
/// Caches fall into four folds (of fewer than four caches, quarters of each do). Strengths, what
/// pays, scales and tables are judged and fitted on every fold by matrices fitted to the other
/// three; the final matrices are fitted to all.
class linear_fitter {
 public:
  linear_fitter(format_id target, mean_source base, format_id mean, linear_fit_options options);
  ~linear_fitter();
  linear_fitter(linear_fitter&&) noexcept;
  linear_fitter& operator=(linear_fitter&&) noexcept;

  /// A cache, and what else both ends will hold: an embedding, a draft's tensors in ascending order
  /// of id. Each pass must see the same ones in the same order. Fails with invalid_argument if
  /// shapes differ between caches, or do not suit the options.
  result<done> add(calibration_cache cache, const cpu::outside_inputs& outside = {});

  /// Ends a pass; false when no more are needed.
  bool next_pass();

  /// The profile, scales and tables included. Null if caches are coded no better with linear
  /// propagation than without. Fails with invalid_argument if nothing was added.
  result<profile_ptr> finish() const;
  const std::vector<linear_fit_report>& report() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Calls f(tensor, means) for every tensor of a cache, on `threads` threads (0: one per processor).
/// The steps are those of `outside`, which may have no rows. Fails as f does, or with wrong_profile
/// for a tensor that their profile does not know.
result<done> for_each_linear_mean(
    const cpu::outside_rows& outside, calibration_cache cache, unsigned threads,
    const std::function<result<done>(const calibration_tensor&, row_view<const std::byte>)>& f);

}  // namespace skv
