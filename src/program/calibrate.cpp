#include <fmt/format.h>

#include "program/commands.hpp"

namespace skv::program {

result<done> calibrate(const calibrate_options& o) {
  const auto pairs = pair_up(o.target, o.reference);
  if (!pairs) return pairs.failure();
  const mean_source source = !o.reference.empty()
                                 ? mean_source::given
                                 : find_predictor(o.predictor).value_or(mean_source::none);
  std::vector<fs::path> inputs;
  for (const cache_pair& pair : *pairs) inputs.insert(inputs.end(), {pair.target, pair.reference});
  auto out = create_output(o.output, inputs);
  if (!out) return out.failure();
  const auto p = fit_profile(*pairs, source, o.threads);
  if (!p) return p.failure();
  if (auto ok = out->append((*p)->bytes()); !ok) return ok;
  if (auto ok = out->commit(); !ok) return ok;
  fmt::print("{}: profile {}, {} tensors of {}, predictor {}, from {} caches\n", o.output.string(),
             to_string((*p)->id()), (*p)->content().scales.size(),
             to_string((*p)->content().target), name_of(source), pairs->size());
  return done{};
}

}  // namespace skv::program
