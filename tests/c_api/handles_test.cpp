// The library, profiles and codecs as handles.
#include <gmock/gmock.h>

#include <cstring>
#include <thread>

#include "c_api/c_case.hpp"

namespace skv {
namespace {

using testing::HasSubstr;
using testing::StrEq;

TEST(library, says_what_it_is_and_reads) {
  EXPECT_EQ(skv_version(),
            std::uint32_t{SKV_VERSION_MAJOR << 16 | SKV_VERSION_MINOR << 8 | SKV_VERSION_PATCH});
  skv_formats_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(skv_formats(&info), SKV_OK);
  EXPECT_EQ(info.number_formats, 0b11110u);
  EXPECT_EQ(info.sources, 0b111u);
  EXPECT_EQ(info.profile_version_min, 1u);
  EXPECT_EQ(info.profile_version_max, 1u);
  EXPECT_EQ(info.container_version_min, 1u);
  EXPECT_EQ(info.container_version_max, 1u);
  EXPECT_EQ(info.struct_size, sizeof info);
}

TEST(library, names_statuses) {
  EXPECT_THAT(skv_status_string(SKV_OK), StrEq("ok"));
  EXPECT_THAT(skv_status_string(SKV_DOES_NOT_FIT), StrEq("does_not_fit"));
  EXPECT_THAT(skv_status_string(SKV_OUT_OF_MEMORY), StrEq("out_of_memory"));
  for (const skv_status unknown : {-1, 10, 255, 256, INT32_MAX, INT32_MIN})
    EXPECT_THAT(skv_status_string(unknown), StrEq("unknown status"));
}

TEST(library, remembers_the_last_error_of_each_thread) {
  EXPECT_EQ(skv_formats(nullptr), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("null pointer"));
  std::thread([] { EXPECT_THAT(skv_last_error(), StrEq("")); }).join();
  EXPECT_THAT(skv_last_error(), HasSubstr("null pointer"));
  skv_formats_info info{};
  info.struct_size = sizeof info;
  EXPECT_EQ(skv_formats(&info), SKV_OK);
  EXPECT_THAT(skv_last_error(), StrEq(""));
}

TEST(profiles, are_those_of_the_library) {
  for (const auto id : test::all_combinations()) {
    skv_profile* made = nullptr;
    const skv_status s =
        skv_profile_default(static_cast<skv_format>(id.target), static_cast<skv_source>(id.source),
                            static_cast<skv_format>(id.mean), &made);
    if (!is_coded(id.target, id.source, id.mean)) {
      EXPECT_EQ(s, SKV_INVALID_ARGUMENT);
      EXPECT_EQ(made, nullptr);
      EXPECT_THAT(skv_last_error(), HasSubstr("no coding"));
      continue;
    }
    ASSERT_EQ(s, SKV_OK) << skv_last_error();
    const test::c_profile p(made);
    const auto same = test::default_profile_of(id);
    std::uint8_t name[16];
    const void* bytes = nullptr;
    size_t size = 0;
    skv_format target = 0, mean = 0;
    skv_source source = 9;
    ASSERT_EQ(skv_profile_id(p.get(), name), SKV_OK);
    EXPECT_EQ(std::memcmp(name, same->id().data(), 16), 0);
    ASSERT_EQ(skv_profile_bytes(p.get(), &bytes, &size), SKV_OK);
    ASSERT_EQ(size, same->bytes().size());
    EXPECT_EQ(std::memcmp(bytes, same->bytes().data(), size), 0);
    ASSERT_EQ(skv_profile_coding(p.get(), &target, &source, &mean), SKV_OK);
    EXPECT_EQ(target, static_cast<skv_format>(id.target));
    EXPECT_EQ(source, static_cast<skv_source>(id.source));
    EXPECT_EQ(mean, static_cast<skv_format>(id.mean));
    EXPECT_EQ(skv_profile_coding(p.get(), nullptr, nullptr, nullptr), SKV_OK);
  }
}

TEST(profiles, refuse_bytes_that_are_none) {
  const auto p = test::default_profile_of(test::kGiven);
  const auto status_of = [](std::span<const std::byte> bytes) {
    skv_profile* made = nullptr;
    const skv_status s = skv_profile_from_bytes(bytes.data(), bytes.size(), &made);
    EXPECT_EQ(made, nullptr);
    return s;
  };
  EXPECT_EQ(status_of(p->bytes().first(100)), SKV_TRUNCATED);
  EXPECT_THAT(skv_last_error(), HasSubstr("100 of"));
  EXPECT_EQ(status_of(p->bytes().first(0)), SKV_TRUNCATED);
  std::vector<std::byte> altered(p->bytes().begin(), p->bytes().end());
  altered[50] ^= std::byte{1};
  EXPECT_EQ(status_of(altered), SKV_CORRUPT);
  altered[4] = std::byte{9};
  EXPECT_EQ(status_of(altered), SKV_UNSUPPORTED);
}

TEST(profiles, are_sliced_by_heads) {
  const auto whole = *profile::make(test::content_with_scales(test::kGiven));
  const auto p = test::c_profile_of(*whole);
  skv_profile* made = nullptr;
  ASSERT_EQ(skv_profile_slice_heads(p.get(), 1, 1, &made), SKV_OK);
  const test::c_profile sliced(made);
  std::uint8_t id[16];
  ASSERT_EQ(skv_profile_id(sliced.get(), id), SKV_OK);
  EXPECT_EQ(std::memcmp(id, (*whole->slice_heads(1, 1))->id().data(), 16), 0);
  for (const auto& [first, count] :
       {std::pair{0u, 0u}, {1u, 2u}, {~0u, 1u}, {1u, ~0u}, {~0u, ~0u}}) {
    EXPECT_EQ(skv_profile_slice_heads(p.get(), first, count, &made), SKV_INVALID_ARGUMENT);
    EXPECT_NE(*skv_last_error(), 0);
  }
}

TEST(handles, live_as_long_as_a_reference) {
  test::c_profile p = test::c_profile_of(*test::default_profile_of(test::kGiven));
  EXPECT_EQ(skv_profile_retain(p.get()), p.get());
  test::c_profile again(p.get());
  test::c_codec c = test::c_codec_of(p.get());
  p.reset();
  std::uint8_t id[16];
  EXPECT_EQ(skv_profile_id(again.get(), id), SKV_OK);
  again.reset();
  EXPECT_EQ(skv_codec_retain(c.get()), c.get());
  test::c_codec other(c.get());
  c.reset();
  const skv_slice slice = test::slice_of(10);
  size_t bytes = 0;
  EXPECT_EQ(skv_max_compressed_bytes(other.get(), &slice, &bytes), SKV_OK) << "without its profile";
  EXPECT_EQ(bytes, 10u * 4 * 40 * 2);
  EXPECT_EQ(skv_profile_retain(nullptr), nullptr);
  EXPECT_EQ(skv_codec_retain(nullptr), nullptr);
  skv_profile_release(nullptr);
  skv_codec_release(nullptr);
}

TEST(handles, that_are_null_or_go_nowhere_are_refused) {
  const auto p = test::c_profile_of(*test::default_profile_of(test::kGiven));
  const auto c = test::c_codec_of(p.get());
  const skv_slice slice = test::slice_of(10);
  skv_profile* profile = nullptr;
  skv_codec* codec = nullptr;
  const void* bytes = nullptr;
  size_t size = 0;
  std::uint8_t id[16];
  const skv_format bf16 = SKV_FORMAT_BF16;
  const skv_source none = SKV_SOURCE_NONE;
  for (const skv_status s : {
           skv_profile_from_bytes(nullptr, 10, &profile),
           skv_profile_from_bytes(id, SIZE_MAX, &profile),
           skv_profile_from_bytes(id, 16, nullptr),
           skv_profile_default(bf16, none, bf16, nullptr),
           skv_profile_default(0, none, bf16, &profile),
           skv_profile_default(bf16 + 256, none, bf16, &profile),
           skv_profile_default(bf16, 3, bf16, &profile),
           skv_profile_default(bf16, none + 256, bf16, &profile),
           skv_profile_default(bf16, none, ~0u, &profile),
           skv_profile_slice_heads(nullptr, 0, 1, &profile),
           skv_profile_slice_heads(p.get(), 0, 1, nullptr),
           skv_profile_slice_heads(p.get(), 0, 0, &profile),
           skv_profile_bytes(nullptr, &bytes, &size),
           skv_profile_bytes(p.get(), nullptr, &size),
           skv_profile_bytes(p.get(), &bytes, nullptr),
           skv_profile_id(nullptr, id),
           skv_profile_id(p.get(), nullptr),
           skv_profile_coding(nullptr, nullptr, nullptr, nullptr),
           skv_codec_create(nullptr, &codec),
           skv_codec_create(p.get(), nullptr),
           skv_tile_count(nullptr, &size, nullptr),
           skv_max_compressed_bytes(nullptr, &slice, &size),
           skv_max_compressed_bytes(c.get(), nullptr, &size),
           skv_max_compressed_bytes(c.get(), &slice, nullptr),
           skv_formats(nullptr),
           skv_encode(nullptr, nullptr, 0, 1),
           skv_decode(nullptr, nullptr, 0, 1),
           skv_encode(c.get(), nullptr, 1, 1),
           skv_decode(c.get(), nullptr, 1, 1),
       })
    EXPECT_EQ(s, SKV_INVALID_ARGUMENT);
  EXPECT_EQ(profile, nullptr);
  EXPECT_EQ(codec, nullptr);
  EXPECT_EQ(skv_tile_bytes(nullptr), 0u);
}

}  // namespace
}  // namespace skv
