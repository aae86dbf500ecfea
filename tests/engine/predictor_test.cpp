// Predictors through files: what comes back, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "engine/bf16.hpp"
#include "predictor_scene.hpp"
#include "support/cache_file.hpp"

namespace engine {
namespace {

using skv::status;
using testing::HasSubstr;

test::predictor_scene& scene() {
  static test::predictor_scene s;
  return s;
}

// Of the text that was not fitted to.
std::vector<std::byte> file_of(const fitted_predictor& f) {
  return test::must(
      compress(*f.predictor, scene().team, f.profile, cache_of(scene().evaluation, {})));
}

TEST(predictor, names_say_its_options) {
  for (const predictor_options& o : test::all_options()) {
    const auto back = parse_predictor_options(to_string(o));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, o);
  }
  EXPECT_EQ(to_string(test::all_options()[3]), "fp8+exact_kv+closed_loop+anchored");
  for (const char* name : {"", "fp9", "fp8+", "fp8+anchored+exact_kv"})
    EXPECT_EQ(parse_predictor_options(name).code(), status::unsupported) << name;
}

TEST(predictor, caches_come_back_from_files_of_every_predictor) {
  for (const auto id : {skv::format_id::bf16, skv::format_id::e4m3}) {
    const sequence_cache cache = cache_of(scene().evaluation, make_format(id, scene().calibration));
    for (const predictor_options& o : test::all_options()) {
      SCOPED_TRACE(to_string(o) + " " + std::string(to_string(id)));
      const bool with_linear = o.weights == weight_format::fp8;
      const fitted_predictor f = scene().fit(o, id, with_linear);
      for (const auto& p : {f.profile, f.linear}) {
        if (p == nullptr) continue;
        const auto file = compress(*f.predictor, scene().team, p, cache);
        ASSERT_TRUE(file) << file.failure().message;
        EXPECT_LT(file->size(), (o.weights == weight_format::int4 ? 0.8 : 0.6) *
                                    static_cast<double>(scene().evaluation.tokens.size() * 6 * 2 *
                                                        64 * cache.format.number_bytes()));
        // The reader has the target, the options of the file's predictor, and the profile.
        const auto named = skv::parse_container(*file)->predictor;
        ASSERT_TRUE(named);
        const predictor_model base(scene().target,
                                   test::must(parse_predictor_options(named->name)));
        const predictor_model reader = test::must(with_anchors_of(base, *p));
        EXPECT_EQ(reader.identity(), *named);
        const auto back = restore(reader, scene().team, p, *file);
        ASSERT_TRUE(back) << back.failure().message;
        EXPECT_TRUE(*back == cache);
      }
    }
  }
}

TEST(predictor, steps_pay_on_the_embedded_model) {
  std::vector<double> bits;
  for (int step = 0; step < 4; ++step)
    bits.push_back(scene().fit(test::all_options()[static_cast<std::size_t>(step)]).bits);
  EXPECT_LT(bits[1], 0.9 * bits[0]) << "exact K and V projections";
  EXPECT_LT(bits[2], bits[1]) << "closed loop";
  EXPECT_LT(bits[3], 0.97 * bits[2]) << "anchors";
}

TEST(predictor, threads_change_no_byte) {
  const predictor_options o = test::all_options()[3];
  const sequence_cache cache = cache_of(scene().evaluation, {});
  workers one(1), two(2), scalar(1, skv::cpu::isa::scalar);
  const auto fit_with = [&](workers& team) {
    return test::must(
        fit_predictor(predictor_model(scene().target, o), team, scene().calibration, {}, false));
  };
  const fitted_predictor f = fit_with(one), g = fit_with(two);
  EXPECT_EQ(f.predictor->identity(), g.predictor->identity());
  EXPECT_EQ(f.profile->id(), g.profile->id());
  const auto file = test::must(compress(*f.predictor, one, f.profile, cache));
  for (workers* team : {&one, &two, &scalar}) {
    EXPECT_TRUE(test::must(compress(*g.predictor, *team, f.profile, cache)) == file);
    EXPECT_TRUE(test::must(restore(*f.predictor, *team, f.profile, file)) == cache);
  }
}

TEST(predictor, one_changed_weight_is_refused_by_its_fingerprint) {
  predictor_options o = test::all_options()[3];
  o.weights = weight_format::bf16;  // so that the change is not lost in rounding
  const fitted_predictor f = scene().fit(o);
  const auto file = file_of(f);
  const auto refusal = [&](const std::function<void(model&)>& change) {
    model other = scene().target;
    change(other);
    const predictor_model reader =
        test::must(with_anchors_of(predictor_model(other, o), *f.profile));
    const auto back = restore(reader, scene().team, f.profile, file);
    return back ? skv::error{} : back.failure();
  };
  EXPECT_EQ(refusal([](model&) {}).code, status::ok);
  const skv::error refused =
      refusal([](model& m) { m.layers[2].up = test::changed(*m.layers[2].up, 100, 3); });
  EXPECT_EQ(refused.code, status::wrong_prediction);
  EXPECT_THAT(refused.message, HasSubstr("was compressed with the predictor bf16+exact_kv"));
  EXPECT_EQ(refusal([](model& m) { m.layers[5].v = test::changed(*m.layers[5].v, 63, 127); }).code,
            status::wrong_prediction);
  EXPECT_EQ(refusal([](model& m) { m.layers[0].mlp_norm[5] *= 2; }).code, status::wrong_prediction);
  EXPECT_EQ(refusal([](model& m) { m.config.norm_epsilon *= 2; }).code, status::wrong_prediction);
  // Weights that no K and V depend on may be others.
  EXPECT_EQ(refusal([](model& m) { m.layers[5].up = test::changed(*m.layers[5].up, 100, 3); }).code,
            status::ok);
}

TEST(predictor, other_options_anchors_and_profiles_are_refused) {
  const predictor_options o = test::all_options()[3];
  const fitted_predictor f = scene().fit(o);
  const auto file = file_of(f);
  const auto code_with = [&](const predictor_model& m, const skv::profile_ptr& p) {
    return restore(m, scene().team, p, file).code();
  };
  EXPECT_EQ(code_with(*f.predictor, f.profile), status::ok);
  EXPECT_EQ(code_with(f.predictor->with({}), f.profile), status::wrong_prediction);
  predictor_options open = o;
  open.closed_loop = false;
  EXPECT_EQ(code_with(predictor_model(scene().target, open, f.predictor->maps()), f.profile),
            status::wrong_prediction);
  EXPECT_EQ(code_with(*f.predictor, scene().fit(test::all_options()[0]).profile),
            status::wrong_profile);
}

TEST(predictor, damaged_files_are_refused) {
  const fitted_predictor f = scene().fit(test::all_options()[2]);
  const auto file = file_of(f);
  for (std::size_t n = 0; n < file.size(); n += n < 2000 ? 97 : 9973)
    EXPECT_EQ(restore(*f.predictor, scene().team, f.profile, std::span(file).first(n)).code(),
              status::truncated);
  const std::size_t tiles_begin = skv::parse_container(file)->tiles_begin;
  for (const std::size_t at : {file.size() - 1, (file.size() + tiles_begin) / 2, tiles_begin}) {
    auto bad = file;
    bad[at] ^= std::byte{0x10};
    const auto code = restore(*f.predictor, scene().team, f.profile, bad).code();
    EXPECT_EQ(code, status::corrupt) << at;
  }
}

TEST(predictor, a_file_of_another_shape_is_no_cache_of_this_model) {
  const fitted_predictor f = scene().fit(test::all_options()[2]);
  const auto file = file_of(f);
  const skv::container good = *skv::parse_container(file);
  const auto code_with = [&](const std::function<void(skv::container&)>& change) {
    skv::container c = good;
    change(c);
    auto bytes = front_matter(c);
    bytes.insert(bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(good.tiles_begin),
                 file.end());
    return restore(*f.predictor, scene().team, f.profile, bytes).code();
  };
  EXPECT_EQ(code_with([](skv::container&) {}), status::ok);
  EXPECT_EQ(code_with([](auto& c) {
              c.streams[1].heads = 1, c.streams[1].head_dim = 64;
              c.streams[1].tile_heads = 1;
            }),
            status::corrupt);
  EXPECT_EQ(code_with([](auto& c) { c.preamble[20] ^= std::byte{1}; }), status::corrupt);
  EXPECT_EQ(code_with([](auto& c) { c.predictor.reset(); }), status::wrong_prediction);
}

TEST(predictor, tokens_that_the_model_does_not_have_are_refused) {
  const predictor_model m(scene().target, {});
  for (const std::vector<std::int32_t>& tokens : {std::vector<std::int32_t>{}, {1, -1}, {1024}})
    EXPECT_EQ(model_predictor::start(m, scene().team, tokens, {}).code(), status::invalid_argument);
}

TEST(predictor, says_nothing_out_of_turn) {
  const predictor_model m(scene().target, {});
  const std::vector<std::int32_t> tokens = {1, 2, 3};
  auto p = *model_predictor::start(m, scene().team, tokens, {});
  const auto has_means = [&](skv::tensor_shape t) { return p->predict(t).data != nullptr; };
  const skv::tensor_id k{0, skv::tensor_kind::k}, v{0, skv::tensor_kind::v};
  EXPECT_FALSE(has_means({v, 3, 2, 32}));
  EXPECT_FALSE(has_means({k, 4, 2, 32}));
  EXPECT_FALSE(has_means({k, 3, 4, 16}));
  EXPECT_FALSE(has_means({{1, skv::tensor_kind::k}, 3, 2, 32}));
  EXPECT_TRUE(has_means({k, 3, 2, 32}));
}

// An fp8 copy in the open loop is what the fixture's references were made with, by another engine:
// what remains between them is the order of sums, which flips roundings, and in layer 0 hardly any.
TEST(predictor, agrees_with_the_fixtures_references) {
  model target = scene().target;  // with the rounding points of the fixture's engine
  target.config.rounding.rotary_table = target.config.rounding.activation = true;
  target.config.rounding.probability = false;
  const recording r = test::must(record(target, scene().team, scene().evaluation.tokens));
  for (const bool exact_kv : {false, true}) {
    const predictor_model m(target, {weight_format::fp8, exact_kv, false, false});
    const auto reference =
        skv::test::cache_file::tiny(std::string("evaluation/reference_fp8") +
                                    (exact_kv ? "_exactkv" : "") + "/000.safetensors");
    auto p = *model_predictor::start(m, scene().team, r.tokens, {});
    double apart = 0, off_target = 0, same = 0, first_layer = 0;
    for (const skv::test::cached_tensor& t : reference.tensors()) {
      const skv::tensor_shape shape{t.id, t.tokens, t.heads, t.head_dim};
      const auto means = p->predict(shape);
      ASSERT_NE(means.data, nullptr);
      const auto wanted = reference.rows(t);
      const auto value = [&](const std::byte* bits) {
        std::uint16_t b = 0;
        std::memcpy(&b, bits, 2);
        return static_cast<double>(from_bf16(b));
      };
      for (std::uint32_t row = 0; row < t.tokens; ++row)
        for (std::uint32_t i = 0; i < shape.width(); ++i) {
          const double expected = value(wanted.at(row, 0) + 2 * i);
          const double mean = value(means.at(row, 0) + 2 * i);
          apart += std::pow(mean - expected, 2);
          first_layer += t.id.layer == 0;
          same += t.id.layer == 0 && mean == expected;
          off_target +=
              std::pow(from_bf16(r.of(t.id)[std::size_t{row} * shape.width() + i]) - expected, 2);
        }
      const auto exact = r.kept(t.id, {});
      p->update(shape, {exact.data(), 2 * std::size_t{shape.width()}});
    }
    // The fixture's fp8 weights are not rounded to bf16: nothing is the same to the bit behind
    // them.
    if (exact_kv) {
      EXPECT_GT(same, 0.98 * first_layer);
    }
    EXPECT_LT(std::sqrt(apart), 0.35 * std::sqrt(off_target)) << exact_kv;
  }
}

}  // namespace
}  // namespace engine
