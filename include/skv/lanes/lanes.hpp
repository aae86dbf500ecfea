// The lanes concept: the codec is written once against it, for a warp and for the CPU.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <skv/base/config.hpp>

namespace skv {

/// Thirty-two lanes run in lockstep and share one stream of words.
inline constexpr std::uint32_t kLanes = 32;

/// The words of a block image, read upwards by `Lanes::take`. Words are little-endian 16-bit
/// integers at any alignment.
struct word_reader {
  const std::byte* next;
  const std::byte* end;
  bool overrun = false;  ///< more words were taken than there are

  word_reader(const std::byte* begin, const std::byte* last) : next(begin), end(last) {}
  std::size_t left() const { return static_cast<std::size_t>(end - next) / 2; }
  bool is_finished() const { return !overrun && next == end; }
};

/// The words of a block image, written downwards by `Lanes::put`: the last word first.
struct word_writer {
  std::byte* begin;
  std::byte* next;       ///< one past the place of the next word
  bool overrun = false;  ///< words were dropped: the capacity did not suffice

  word_writer(std::byte* first, std::byte* end) : begin(first), next(end) {}
  std::size_t room() const { return static_cast<std::size_t>(next - begin) / 2; }
  bool is_overrun() const { return overrun; }
  std::byte* written() const { return next; }
};

/// The lanes are worked on in parts: a warp is one part, CPU vectors hold a quarter or half of the
/// lanes each. What belongs to a step is done part by part, in ascending order.
///
/// A type `L` of lanes has
/// 1. `L::kParts`, and `L::kWidth` = kLanes / kParts, the lanes of a part;
/// 2. `L::u32`, one 32-bit integer per lane of a part, with the wrapping operators + - * & | ^ << >>
///    (shift counts below 32), comparisons == !=, and >= <= > < of values below 2^31, and conversion
///    from one integer for all lanes; `L::mask`, one truth value per lane, with ! & |;
/// 3. arithmetic: `min`, `max`, `select(mask, a, b)`, `zero_unless(mask, a)`, `signed_shift(a, n)`
///    (to the right, by one count for all lanes), `shift_out(a, n)` (a >> n, for a below 2^31 and any
///    n), `shift_left(a, n)` (a << n, for any n), `shift_right` (by the lowest five bits of any n),
///    `or_masked(a, b, mask)` (a | (b & mask), one mask for all lanes: a GPU's compiler does not always
///    find the one instruction that it is), `keep` (the same, but sums are not reordered across it),
///    `reverse_bits`, `append_top(a, b, n)`
///    (a, followed by the n highest bits of b; anything for n from 32 on), `clip(a, limit)` (a, as a signed integer,
///    or 0 if it is below, or limit if above), `sign_mask<Bits>` (all ones where bit Bits - 1 is set),
///    `below(a, b)` (a < b, of any values), `excess(a, b)` (a - b if that is positive as a signed
///    integer, else 0), `floor_log2` (of 1 ... 2^24 - 1; for 0 something from 2^31 on),
///    `leading_zeros<Bits>` (in the low `Bits` bits, at most 24: 0 for what has more bits, and for 0;
///    of values below 2^31), `multiply_high` (upper half of the product), `index(part)` (the numbers
///    of the lanes, 0 ... 31), `any(mask)`, `any_bits(a)` (the bits that any lane has) and `sum` (wrapping)
///    over a part;
/// 4. memory: `load<Pattern>(row, part, count)` and `store<Pattern>(row, part, count, values)`: lane
///    i has the i-th pattern of a row; lanes from `count` on are 0, respectively not written; and
///    `lookup(table, index)`, a gather of 32-bit entries; `lookup_pair(table, index, a, b)`, the
///    entries at an even index and after it; `L::table` is made from a pointer, on a GPU to shared
///    memory, aligned to pairs;
/// 5. `L::reader` and `L::writer`, on the CPU word_reader and word_writer, made from two ends; and
///    `take(mask, reader, a)`: marked lanes read consecutive words in lane order, and become their a
///    moved up, with the word below; others keep a. Past the end words are anything, and the reader
///    is never finished;
/// 6. `put(mask, writer, x)`: marked lanes write the low 16 bits of x such that `take` reads them
///    back. Without room nothing outside is written, the first word there becomes anything, and the
///    writer is overrun.
/// Two types of lanes never differ in a result.
template <class L>
concept lanes = requires(typename L::u32 a, typename L::mask m, typename L::table table,
                         std::byte* row, typename L::reader& reader, typename L::writer& writer) {
  requires L::kParts* L::kWidth == kLanes;
  { L::zero_unless(m, L::shift_out(a, L::excess(a, a))) } -> std::same_as<decltype(a)>;
  { L::template leading_zeros<8>(a) } -> std::same_as<decltype(a)>;
  {
    L::select(m, L::multiply_high(a, L::reverse_bits(a)), L::index(0))
    } -> std::same_as<decltype(a)>;
  { L::below(a, a) } -> std::same_as<decltype(m)>;
  { L::template load<std::uint16_t>(row, 0u, 0u) } -> std::same_as<decltype(a)>;
  { L::lookup(table, a) } -> std::same_as<decltype(a)>;
  { L::take(m, reader, L::append_top(a, a, a)) } -> std::same_as<decltype(a)>;
  {
    L::shift_left(L::shift_right(a, a), L::template sign_mask<16>(a))
    } -> std::same_as<decltype(a)>;
  { L::clip(L::floor_log2(a), 1u) } -> std::same_as<decltype(a)>;
  { L::any_bits(L::or_masked(a, a, 1u)) } -> std::same_as<std::uint32_t>;
  L::put(m, writer, a);
};

/// The lanes of a part that a step has numbers for: all of them, or the first ones at the end of a
/// row, when `kAll` is false.
template <class Lanes, bool kAll>
struct active_lanes {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;
  mask lanes;

  SKV_INLINE active_lanes(std::uint32_t part, std::uint32_t count) {
    if constexpr (!kAll) lanes = Lanes::index(part) < u32(count);
  }
  SKV_INLINE mask among(mask m) const {
    if constexpr (kAll)
      return m;
    else
      return m & lanes;
  }
  SKV_INLINE u32 or_zero(u32 a) const {
    if constexpr (kAll)
      return a;
    else
      return Lanes::zero_unless(lanes, a);
  }
  SKV_INLINE u32 or_else(u32 a, u32 otherwise) const {
    if constexpr (kAll)
      return a;
    else
      return Lanes::select(lanes, a, otherwise);
  }
};

}  // namespace skv
