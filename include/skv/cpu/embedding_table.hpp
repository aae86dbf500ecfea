// The embeddings of a model, where they lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/number/format.hpp>

namespace skv::cpu {

/// A row of numbers for every token id, [rows][width], contiguous. Borrows the numbers.
class embedding_table {
 public:
  embedding_table() = default;
  /// Reads all numbers once, for their hash. `format`: find_embedding_format
  /// (predict/embedding.hpp).
  embedding_table(number_format format, std::uint32_t rows, std::uint32_t width,
                  const std::byte* numbers);

  number_format format() const { return format_; }
  std::uint32_t rows() const { return rows_; }
  std::uint32_t width() const { return width_; }
  /// XXH3-64 of the numbers' bytes.
  std::uint64_t hash() const { return hash_; }
  const std::byte* row(std::uint32_t id) const {
    return numbers_ + std::size_t{id} * width_ * format_.bytes();
  }

 private:
  number_format format_{};
  std::uint32_t rows_ = 0, width_ = 0;
  const std::byte* numbers_ = nullptr;
  std::uint64_t hash_ = 0;
};

}  // namespace skv::cpu
