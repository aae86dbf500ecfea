// README's example of the library, with what it takes as given. Compiled, not run.
#include <skv/skv.hpp>

void example(std::span<const std::byte> skvp_bytes,
             skv::row_view<const std::byte> (*prediction_of)(skv::tensor_id), std::uint32_t layer,
             std::uint32_t tokens, std::uint32_t heads, std::uint32_t dim,
             skv::row_view<const std::byte> k, const skv::tensor_shape& shape,
             skv::row_view<std::byte> out) {
#include "readme_example.inc"
}
