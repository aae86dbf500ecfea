#include "engine/fit.hpp"

#include "engine/anchor_fit.hpp"
#include "engine/bf16.hpp"
#include "engine/calibration.hpp"

namespace engine {
namespace {

using skv::fail;
using skv::result;
using skv::status;

// A text while the predictor goes through it, and what it predicted.
struct text_run {
  const recording* of;
  std::unique_ptr<model_predictor> predictor;
  std::vector<std::vector<std::byte>> numbers, means;  // of every tensor
};

// Consecutive rows of a text that are in one fold.
struct fold_rows {
  int fold;
  std::uint32_t first, rows;
};

std::vector<fold_rows> folds_of(std::size_t text, std::size_t texts, std::uint32_t tokens) {
  if (texts >= kFolds) return {{static_cast<int>(text % kFolds), 0, tokens}};
  std::vector<fold_rows> folds;
  for (int f = 0; f < kFolds; ++f) {
    const auto begin =
        static_cast<std::uint32_t>(std::uint64_t{tokens} * static_cast<unsigned>(f) / kFolds);
    const auto end =
        static_cast<std::uint32_t>(std::uint64_t{tokens} * (static_cast<unsigned>(f) + 1) / kFolds);
    if (end > begin) folds.push_back({f, begin, end - begin});
  }
  return folds;
}

class fitter {
 public:
  fitter(const predictor_model& m, const cache_format& format)
      : m_(&m), config_(m.weights().config), format_(format), tensors_(tensors_of(config_)) {}

  result<skv::done> run_through(workers& team, std::span<const recording> recordings);
  anchors maps() const { return maps_; }
  const std::vector<anchor_report>& report() const { return report_; }
  std::vector<text_tensors> texts() const;

 private:
  bool is_anchored(skv::tensor_id t) const {
    // Behind the last V nothing is predicted.
    return m_->options().anchored &&
           !(t.kind == skv::tensor_kind::v && t.layer + 1 == config_.layers);
  }
  skv::tensor_shape shape_of(const text_run& r, skv::tensor_id t) const {
    return {t, static_cast<std::uint32_t>(r.of->tokens.size()), config_.kv_heads, config_.head_dim};
  }
  std::size_t number_stride() const {
    return std::size_t{config_.kv_width()} * format_.number_bytes();
  }
  std::size_t mean_stride() const {
    return std::size_t{config_.kv_width()} * sizeof(std::uint16_t);
  }
  void observe(anchor_fit& fit, text_run& r, std::size_t text, skv::tensor_id t) const;
  void anchor(skv::tensor_id t);

  const predictor_model* m_;
  const model_config& config_;
  const cache_format& format_;
  std::vector<skv::tensor_id> tensors_;
  std::vector<text_run> runs_;
  anchors maps_;
  std::vector<anchor_report> report_;
};

// Residuals, and how far the hidden state is from the target's, in units of its root mean square.
void fitter::observe(anchor_fit& fit, text_run& r, std::size_t text, skv::tensor_id t) const {
  const auto residuals = r.predictor->residuals();
  const auto hidden = r.predictor->hidden();
  const auto& wanted = r.of->layers[t.layer].hidden;
  const std::size_t width = config_.hidden, tokens = r.of->tokens.size();
  const std::size_t inputs = residuals.size() / tokens;
  for (const fold_rows& f : folds_of(text, runs_.size(), static_cast<std::uint32_t>(tokens))) {
    Eigen::MatrixXf x(f.rows, inputs), y(f.rows, width);
    Eigen::Index used = 0;
    for (std::uint32_t row = f.first; row < f.first + f.rows; ++row) {
      const auto h = hidden.subspan(row * width, width);
      const float scale = root_mean_square(h);
      for (std::size_t i = 0; i < inputs; ++i)
        x(used, static_cast<Eigen::Index>(i)) = residuals[row * inputs + i];
      for (std::size_t i = 0; i < width; ++i)
        y(used, static_cast<Eigen::Index>(i)) = (from_bf16(wanted[row * width + i]) - h[i]) / scale;
      if (x.row(used).allFinite() && y.row(used).allFinite()) ++used;
    }
    fit.add(x.topRows(used), y.topRows(used), f.fold);
  }
}

// Fits a tensor's map, and corrects every text by what is fitted to the others.
void fitter::anchor(skv::tensor_id t) {
  const bool is_k = t.kind == skv::tensor_kind::k;
  anchor_fit fit(config_.kv_width() * (is_k ? 1 : 2), config_.hidden);
  for (std::size_t i = 0; i < runs_.size(); ++i) observe(fit, runs_[i], i, t);
  const fitted_map map = fit.solve();
  report_.push_back({t, map.error_before, map.error_after});
  if (map.all == nullptr) return;
  maps_.layers.resize(config_.layers);
  (is_k ? maps_.layers[t.layer].after_k : maps_.layers[t.layer].after_v) = map.all;
  for (std::size_t i = 0; i < runs_.size(); ++i)
    for (const fold_rows& f :
         folds_of(i, runs_.size(), static_cast<std::uint32_t>(runs_[i].of->tokens.size())))
      runs_[i].predictor->correct(*map.without_fold[f.fold], f.first, f.rows);
}

result<skv::done> fitter::run_through(workers& team, std::span<const recording> recordings) {
  for (const recording& r : recordings) {
    auto started = model_predictor::start(*m_, team, r.tokens, format_);
    if (!started) return started.failure();
    runs_.push_back({&r, *std::move(started), {}, {}});
  }
  for (const skv::tensor_id t : tensors_) {
    for (text_run& r : runs_) {
      const auto means = r.predictor->predict(shape_of(r, t));
      if (means.data == nullptr)
        return fail(status::invalid_argument, "the recordings are of a model of another shape");
      r.means.emplace_back(means.data, means.data + r.of->tokens.size() * mean_stride());
      r.numbers.push_back(r.of->kept(t, format_));
      r.predictor->observe(shape_of(r, t), {r.numbers.back().data(), number_stride()});
    }
    if (is_anchored(t)) anchor(t);
    for (text_run& r : runs_) r.predictor->turn_over();
  }
  for (text_run& r : runs_) r.predictor.reset();
  return skv::done{};
}

// What the texts' caches hold, and what was predicted of them.
std::vector<text_tensors> fitter::texts() const {
  std::vector<text_tensors> texts;
  for (const text_run& r : runs_) {
    text_tensors& text = texts.emplace_back();
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const skv::tensor_shape t = shape_of(r, tensors_[i]);
      text.push_back({t.id,
                      t.tokens,
                      t.heads,
                      t.head_dim,
                      {r.numbers[i].data(), number_stride()},
                      {r.means[i].data(), mean_stride()}});
    }
  }
  return texts;
}

// The profile with anchors attached, if there are any.
result<skv::profile_ptr> attach(const skv::profile_ptr& p, const anchors& maps,
                                const model_config& config) {
  if (p == nullptr || maps.layers.empty()) return p;
  skv::profile_content content = p->content();
  const std::vector<std::byte> bytes = maps.serialise(config);
  content.attachments = {{kAnchorsName, bytes}};
  return skv::profile::make(std::move(content));
}

}  // namespace

result<fitted_predictor> fit_predictor(const predictor_model& m, workers& team,
                                       std::span<const recording> recordings,
                                       const cache_format& format, bool with_linear) {
  if (recordings.empty()) return fail(status::invalid_argument, "nothing to calibrate on");
  fitter f(m, format);
  if (auto ok = f.run_through(team, recordings); !ok) return ok.failure();
  const model_config& config = m.weights().config;
  fitted_predictor fitted;
  fitted.predictor = std::make_shared<predictor_model>(m.with(f.maps()));
  fitted.anchors = f.report();
  const std::vector<text_tensors> texts = f.texts();
  const auto scales = fit_scales(format.id, skv::mean_source::given, texts);
  if (!scales) return scales.failure();
  fitted.bits = scales->bits;
  auto plain = attach(scales->profile, f.maps(), config);
  if (!plain) return plain.failure();
  fitted.profile = *plain;
  if (!with_linear) return fitted;
  auto linear = fit_propagation(format.id, skv::mean_source::given, config, texts);
  if (!linear) return linear.failure();
  linear = attach(*linear, f.maps(), config);
  if (!linear) return linear.failure();
  fitted.linear = *linear;
  return fitted;
}

result<predictor_model> with_anchors_of(const predictor_model& m, const skv::profile& p) {
  const auto bytes = p.attached(kAnchorsName);
  if (bytes.data() == nullptr) return m.with({});
  auto maps = anchors::parse(bytes, m.weights().config);
  if (!maps) return maps.failure();
  return m.with(*std::move(maps));
}

}  // namespace engine
