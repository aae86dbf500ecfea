// The snippet of README.md, which the build cuts out and compiles as C.
#include "c_api/c_case.hpp"

// CMakeLists.txt writes the function around the snippet.
extern "C" skv_status skv_readme_snippet(const void* skvp_bytes, size_t skvp_size, uint32_t layer,
                                         const void* k, const void* k_predicted, void* slot,
                                         size_t slot_bytes, void* restored, size_t restored_bytes);

namespace skv {
namespace {

TEST(readme, snippet_restores_a_page) {
  const auto p = test::default_profile_of(test::kGiven);
  test::c_case c(test::kGiven, test::slice_of(16, 8, 128));
  ASSERT_EQ(skv_readme_snippet(p->bytes().data(), p->bytes().size(), 3, c.data.numbers.data(),
                               c.data.means.data(), c.compressed.data(), c.compressed.size(),
                               c.restored.data(), c.restored.size()),
            SKV_OK)
      << skv_last_error();
  EXPECT_TRUE(c.is_restored());
}

}  // namespace
}  // namespace skv
