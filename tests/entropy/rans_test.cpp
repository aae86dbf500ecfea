// The coder against one that is written with divisions and 64-bit integers, word for word; and
// back. Both as docs/format.md, "Entropy coder", has it.
#include <gtest/gtest.h>
#include <skv/entropy/rans.hpp>
#include <skv/lanes/scalar.hpp>
#include <skv/lanes/simd.hpp>
#include <skv/tile/block_image.hpp>

#include <bit>
#include <vector>

#include "support/frequencies.hpp"
#include "support/lane_parts.hpp"
#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::lane_values;
using test::part_of;
using test::set_part;

/// A token for every lane, with raw bits; the escape with a number.
struct step {
  std::uint32_t marked = 0;
  lane_values context{}, token{}, width{}, bits{}, number{};

  std::uint32_t escapes() const {
    std::uint32_t m = 0;
    for (std::uint32_t i = 0; i < kLanes; ++i)
      m |= (token[i] == residual_tokens::kEscape ? marked : 0) & 1u << i;
    return m;
  }
};

struct slow_coder {
  std::uint64_t state[kLanes];
  std::vector<std::uint16_t> words;  ///< last first
  bool in_tail = true;
  std::uint32_t tail_steps = 0;

  slow_coder() { std::fill_n(state, kLanes, kStartState); }

  void leave_tail() {
    for (auto& x : state) x += kStateFloor;
    in_tail = false;
  }
  void push(const step& s, const std::vector<test::frequencies>& f) {
    const auto frequency = [&](std::uint32_t i) { return f[s.context[i]][s.token[i]]; };
    if (in_tail) {
      bool full = tail_steps == kMaxTailSteps;
      for (std::uint32_t i = 0; i < kLanes; ++i)
        full |= (s.marked >> i & 1) != 0 && state[i] >= std::uint64_t{frequency(i)}
                                                            << (22 - s.width[i]);
      if (full)
        leave_tail();
      else
        ++tail_steps;
    }
    for (std::uint32_t i = kLanes; i-- > 0;)
      if (s.escapes() >> i & 1) words.push_back(static_cast<std::uint16_t>(s.number[i]));
    for (std::uint32_t i = kLanes; i-- > 0;) {
      if (!(s.marked >> i & 1)) continue;
      const std::uint64_t x = state[i] << s.width[i];
      if (!in_tail && x >= std::uint64_t{frequency(i)} << 23) spill(i);
      state[i] = state[i] << s.width[i] | s.bits[i];
      std::uint32_t start = 0;
      for (std::uint32_t t = 0; t < s.token[i]; ++t) start += f[s.context[i]][t];
      state[i] = state[i] / frequency(i) * kSlots + start + state[i] % frequency(i);
      EXPECT_LT(state[i], std::uint64_t{1} << 32);
    }
  }

 private:
  void spill(std::uint32_t i) {
    words.push_back(static_cast<std::uint16_t>(state[i]));
    state[i] >>= 16;
  }
};

struct message {
  std::vector<test::frequencies> frequencies;
  test::table_pair tables;
  std::vector<step> steps;
};

message random_message(std::uint64_t seed, std::uint32_t count) {
  test::random_source random(seed);
  message m;
  for (int c = 0; c < 5; ++c)
    m.frequencies.push_back(test::random_frequencies(residual_tokens::kCount, random));
  m.frequencies.push_back(test::equal_frequencies(residual_tokens::kCount));
  m.frequencies.push_back(test::single_token(residual_tokens::kCount, 3));  // 511 and 1
  m.frequencies.push_back(test::single_token(residual_tokens::kCount, residual_tokens::kEscape));
  m.tables = test::make_tables<residual_tokens>(static_cast<std::uint32_t>(m.frequencies.size()),
                                                [&](std::uint32_t c) { return m.frequencies[c]; });
  for (std::uint32_t n = 0; n < count; ++n) {
    step s{};
    s.marked = random.chance(0.8) ? 0xffffffff : random.bits();
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      s.context[i] = random.below(static_cast<std::uint32_t>(m.frequencies.size()));
      const auto& f = m.frequencies[s.context[i]];
      // Half of the time as likely as it should be, half of the time any.
      if (random.chance(0.5)) do
          s.token[i] = random.below(residual_tokens::kCount);
        while (f[s.token[i]] == 0);
      else
        for (std::uint32_t at = random.below(kSlots); at >= f[s.token[i]];) at -= f[s.token[i]++];
      // As many bits as the token can bear from any state.
      s.width[i] = random.below(kBitsWithToken + 1 +
                                static_cast<std::uint32_t>(std::countr_zero(f[s.token[i]])));
      s.bits[i] = random.bits() & ((1u << s.width[i]) - 1);
      s.number[i] = random.bits() & 0xffff;
    }
    m.steps.push_back(s);
  }
  return m;
}

template <class L>
void encode(const message& m, const slow_coder& slow, rans_encoder<L>& encoder, lane_values& states,
            std::uint32_t& tail_steps) {
  using u32 = typename L::u32;
  u32 state[L::kParts];
  for (u32& x : state) x = u32(kStartState);
  const auto at = [](const lane_values& tokens, std::uint32_t part) {
    const u32 token = part_of<L>(tokens, part);
    return L::select(token == u32(residual_tokens::kEscape), u32(encode_entry::kEscapeAt),
                     token + encode_entry::kFirst);
  };
  bool in_tail = true;
  const auto leave_tail = [&] {
    in_tail = false;
    for (u32& x : state) x = x + kStateFloor;
  };
  for (auto s = m.steps.rbegin(); s != m.steps.rend(); ++s) {
    const auto each_part = [&](auto&& f) {
      for (std::uint32_t part = L::kParts; part-- > 0;)
        f(state[part], part,
          encoder.lookup(
              encoder.place(part_of<L>(s->context, part) << kEncodeTableShift, at(s->token, part))),
          part_of<L>(s->marked, part));
    };
    if (in_tail) {
      bool full = tail_steps == kMaxTailSteps;
      each_part([&](u32 x, std::uint32_t part, const auto& entry, auto marked) {
        const u32 bound = encoder.bound(entry, part_of<L>(s->width, part));
        EXPECT_FALSE(L::any(encoder.is_impossible(bound)));
        full |= L::any(encoder.fills(x, bound) & marked);
      });
      full ? leave_tail() : void(++tail_steps);
    }
    for (std::uint32_t part = L::kParts; part-- > 0;)
      encoder.escape(part_of<L>(s->number, part), part_of<L>(s->escapes(), part));
    each_part([&](u32& x, std::uint32_t part, const auto& entry, auto marked) {
      const u32 width = part_of<L>(s->width, part);
      encoder.spill(x, encoder.is_high(x, encoder.bound(entry, width)) & marked);
      x = L::select(marked, encoder.token((x << width) | part_of<L>(s->bits, part), entry), x);
    });
  }
  if (in_tail) leave_tail();
  for (std::uint32_t part = 0; part < L::kParts; ++part) set_part<L>(states, part, state[part]);
  ASSERT_FALSE(encoder.words.overrun);
  ASSERT_EQ(tail_steps, slow.tail_steps);
  for (std::uint32_t i = 0; i < kLanes; ++i) ASSERT_EQ(states[i], slow.state[i]) << "lane " << i;
}

template <class L>
void decode(const message& m, rans_decoder<L> decoder, const lane_values& states,
            std::uint32_t tail_steps) {
  using u32 = typename L::u32;
  u32 state[L::kParts];
  for (std::uint32_t part = 0; part < L::kParts; ++part) state[part] = part_of<L>(states, part);
  const auto subtract_floor = [&] {
    for (u32& x : state) x = x - kStateFloor;
  };
  for (std::size_t n = 0; n < m.steps.size(); ++n) {
    const step& s = m.steps[n];
    if (n == m.steps.size() - tail_steps) {
      decoder.enter_tail();
      subtract_floor();
    }
    lane_values token{}, bits{}, number{};
    for (std::uint32_t part = 0; part < L::kParts; ++part) {
      const auto marked = part_of<L>(s.marked, part);
      u32 x = state[part];
      const u32 entry = decoder.lookup(x, part_of<L>(s.context, part) << kDecodeTableShift);
      decoder.token(x, entry);
      const u32 width = part_of<L>(s.width, part);
      set_part<L>(token, part, decoder.token_of(entry));
      set_part<L>(bits, part, x & ((u32(1) << width) - 1));
      x = x >> width;
      decoder.refill(x, decoder.template is_low<false>(x) & marked);
      state[part] = L::select(marked, x, state[part]);
    }
    for (std::uint32_t part = 0; part < L::kParts; ++part)
      set_part<L>(number, part, decoder.escaped(part_of<L>(s.escapes(), part)));
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      if (!(s.marked >> i & 1)) continue;
      ASSERT_EQ(bits[i], s.bits[i]) << "step " << n << ", lane " << i;
      if (s.token[i] == residual_tokens::kEscape) {
        ASSERT_EQ(number[i], s.number[i]) << "step " << n << ", lane " << i;
      } else {
        ASSERT_EQ(token[i], s.token[i]) << "step " << n << ", lane " << i;
      }
    }
  }
  if (tail_steps == 0) subtract_floor();
  for (const u32& x : state) ASSERT_FALSE(L::any(x != u32(kStartState)));
  ASSERT_FALSE(decoder.words.overrun);
  ASSERT_EQ(decoder.words.next, decoder.words.end);
}

template <class L>
void check(const message& m) {
  slow_coder slow;
  for (auto s = m.steps.rbegin(); s != m.steps.rend(); ++s) slow.push(*s, m.frequencies);
  if (slow.in_tail) slow.leave_tail();

  std::vector<std::byte> room(m.steps.size() * kLanes * 4);
  std::byte* const end = room.data() + room.size();
  rans_encoder<L> encoder{word_writer{room.data(), end}, m.tables.encode.data()};
  lane_values states{};
  std::uint32_t tail_steps = 0;
  ASSERT_NO_FATAL_FAILURE(encode<L>(m, slow, encoder, states, tail_steps));
  ASSERT_EQ(static_cast<std::size_t>(end - encoder.words.next), 2 * slow.words.size());
  for (std::size_t i = 0; i < slow.words.size(); ++i)
    ASSERT_EQ(std::memcmp(end - 2 * (i + 1), &slow.words[i], 2), 0) << "word " << i;

  decode<L>(m, {word_reader{encoder.words.next, end}, m.tables.decode.data()}, states, tail_steps);
}

struct rans_flags;
using vectors = simd_lanes<rans_flags>;

TEST(rans, words_and_states_are_those_of_the_definition) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const message m = random_message(seed, seed < 100 ? static_cast<std::uint32_t>(seed) : 300);
    ASSERT_NO_FATAL_FAILURE(check<scalar_lanes>(m)) << "seed " << seed;
    ASSERT_NO_FATAL_FAILURE(check<vectors>(m)) << "seed " << seed;
    ASSERT_NO_FATAL_FAILURE(check<test::plain_lanes>(m)) << "seed " << seed;
  }
}

// One likely token over and over fills a state so slowly that the count of tail steps ends first.
TEST(rans, tail_ends_when_its_count_is_full) {
  message m = random_message(1, 0);
  step s{};
  s.marked = 0xffffffff;
  s.context.fill(6);  // frequency 511, no bits
  s.token.fill(3);
  for (const std::size_t steps : {1u, 62u, 63u, 64u, 65u, 1000u}) {
    m.steps.assign(steps, s);
    ASSERT_NO_FATAL_FAILURE(check<scalar_lanes>(m)) << steps;
    ASSERT_NO_FATAL_FAILURE(check<vectors>(m)) << steps;
  }
}

}  // namespace
}  // namespace skv
