// What a linear_fitter knows between passes. For linear*.cpp alone.
#pragma once

#include <map>
#include <optional>
#include <skv/calibrate/calibrate.hpp>
#include <skv/calibrate/linear.hpp>

#include "calibrate/ridge.hpp"
#include "calibrate/source_fit.hpp"

namespace skv {

enum class pass { deviations, centres, moments, trial, scales, done };

/// A tensor of the cache: a source, and what it may be predicted from.
struct tensor_state : source_fit {
  tensor_id id;
  std::uint32_t tokens = 0;
  std::vector<std::uint32_t> sources;
  std::vector<double> fine;  // per channel: sums of squares of what rounding to the format does
  double numbers = 0;
  std::vector<moments> fitted;  // per shard
  // What was found.
  bool is_predicted = false;
  ridge_choice choice;
  struct products {
    quantised_product to_hidden, to_output;
  };
  products final, without_fold[kFolds];
};

/// Outside rows.
struct outside_state : source_fit {
  linear_outside of;  // all but the channels
};

struct linear_fitter::state {
  number_format target, mean;
  mean_source base;
  linear_fit_options options;
  std::vector<rotary> rotaries;  // the cache's, the draft's: as far as there are
  pass now = pass::deviations;
  std::size_t caches = 0, seen = 0;  // in all; in this pass
  std::vector<tensor_state> tensors;
  std::vector<outside_state> outside;
  std::size_t first = 0, end = 0;  // tensors whose moments are being taken
  std::vector<cpu::linear_steps> without_fold;
  std::optional<calibrator> without, with, plain;  // plain: no means at all, if there are no bases
  bool pays = false;
  std::optional<cpu::linear_steps> steps;
  std::vector<linear_fit_report> report;

  const rotary* turns_of(const source_fit& s) const {
    return s.rotary == 0 ? nullptr : &rotaries[s.rotary - 1];
  }
  const source_fit& source(std::uint32_t s) const {
    return s < tensors.size() ? static_cast<const source_fit&>(tensors[s])
                              : outside[s - tensors.size()];
  }
  /// Inputs of a shard from a source.
  std::uint32_t inputs_from(std::uint32_t s) const {
    return s < tensors.size() ? tensors[s].width() / options.shards : source(s).width();
  }

  // linear_shapes.cpp: what there is, and what may be predicted from what.
  result<done> learn_shapes(calibration_cache cache, const cpu::outside_inputs& in);
  result<done> learn_outside(const cpu::outside_inputs& in);
  void choose_sources();
  result<done> match(calibration_cache cache, const cpu::outside_inputs& in) const;

  // linear.cpp: passes over the caches.
  void add_statistics(calibration_cache cache, const cpu::outside_inputs& in,
                      std::uint32_t longest);
  result<done> add_moments(calibration_cache cache, const cpu::outside_inputs& in,
                           std::uint32_t longest);
  bool next_tensors();
  int fold_of(std::uint64_t position, std::uint32_t longest) const;

  // linear_fit.cpp: what is made of them.
  void fit(std::size_t index);
  void select_sources(tensor_state& t, const Eigen::VectorXd& fine, double bits) const;
  void set_sources(linear_fit_report& r, const tensor_state& t) const;
  enum class stage { bases, folds, final };
  profile_content content(stage of, int fold) const;
  bool make_steps();
  result<done> add_trial(calibration_cache cache, const cpu::outside_inputs& in,
                         std::uint32_t longest);
  void judge();
};

}  // namespace skv
