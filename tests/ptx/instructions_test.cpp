// What instructions give, by examples of what NVIDIA's "PTX ISA" says of them.
#include "ptx/text.hpp"

namespace skv::ptx {
namespace {

/// What `code` leaves in %rd2, or in %r2, in the lanes of a warp.
std::vector<std::uint64_t> results(const std::string& code, bool is_wide = false) {
  std::vector<std::uint64_t> memory(kWarpLanes);
  const auto r = run(code + R"(
	mul.wide.u32 	%rd18, %r1, 8;
	add.s64 	%rd19, %rd1, %rd18;
)" + (is_wide ? "st.global.u64 	[%rd19], %rd2;" : "st.global.u32 	[%rd19], %r2;"),
                     memory);
  EXPECT_TRUE(r) << r.message;
  return memory;
}
std::uint64_t result(const std::string& code) { return results(code)[0]; }
std::uint64_t wide_result(const std::string& code) { return results(code, true)[0]; }

TEST(ptx_instructions, arithmetic_is_modulo_the_width_of_its_type) {
  EXPECT_EQ(result("mov.u32 %r3, 0xffffffff; add.s32 %r2, %r3, 2;"), 1u);
  EXPECT_EQ(result("mov.u32 %r3, 1; sub.s32 %r2, %r3, 2;"), 0xffffffffu);
  EXPECT_EQ(result("mov.u32 %r3, 0x10001; mul.lo.s32 %r2, %r3, %r3;"), 0x20001u);
  EXPECT_EQ(result("mov.u32 %r3, 0x10001; mul.hi.u32 %r2, %r3, %r3;"), 1u);
  EXPECT_EQ(result("mov.u32 %r3, 7; mad.lo.s32 %r2, %r3, -3, 1;"), 0u - 20);
  EXPECT_EQ(result("mov.u32 %r3, -7; abs.s32 %r2, %r3;"), 7u);
  EXPECT_EQ(result("mov.u32 %r3, -7; max.s32 %r2, %r3, 0;"), 0u);
  EXPECT_EQ(result("mov.u32 %r3, -7; min.u32 %r2, %r3, 5;"), 5u);
  EXPECT_EQ(result("mov.u32 %r3, 17; div.u32 %r4, %r3, 5; rem.u32 %r5, %r3, 5;"
                   "mad.lo.s32 %r2, %r4, 10, %r5;"),
            32u);
  EXPECT_EQ(wide_result("mov.u32 %r3, -2; mul.wide.s32 %rd2, %r3, 3;"), 0 - std::uint64_t{6});
  EXPECT_EQ(wide_result("mov.u32 %r3, -2; mul.wide.u32 %rd2, %r3, 3;"), 0x2fffffffau);
  EXPECT_EQ(wide_result("mov.b64 %rd3, 1; shl.b64 %rd4, %rd3, 40; add.s64 %rd2, %rd4, -1;"),
            0xffffffffffu);
}

TEST(ptx_instructions, products_of_narrow_numbers_are_unsigned_where_their_type_is) {
  EXPECT_EQ(result("mov.u16 %rs1, 0xffff; mul.wide.u16 %r2, %rs1, %rs1;"), 0xfffe0001u);
}

TEST(ptx_instructions, conversions_extend_by_the_sign_of_their_source) {
  EXPECT_EQ(wide_result("mov.u32 %r3, -2; cvt.s64.s32 %rd2, %r3;"), 0 - std::uint64_t{2});
  EXPECT_EQ(wide_result("mov.u32 %r3, -2; cvt.u64.u32 %rd2, %r3;"), 0xfffffffeu);
  EXPECT_EQ(result("mov.u32 %r3, 0x180; cvt.s32.s8 %r2, %r3;"), 0xffffff80u);
  EXPECT_EQ(result("mov.u32 %r3, 0x12345; cvt.u16.u32 %rs1, %r3; cvt.u32.u16 %r2, %rs1;"), 0x2345u);
}

TEST(ptx_instructions, shifts_lose_all_bits_from_the_width_on) {
  EXPECT_EQ(result("mov.u32 %r3, 5; shl.b32 %r2, %r3, 32;"), 0u);
  EXPECT_EQ(result("mov.u32 %r3, 5; shl.b32 %r2, %r3, 31;"), 0x80000000u);
  EXPECT_EQ(result("mov.u32 %r3, -5; shr.u32 %r2, %r3, 40;"), 0u);
  EXPECT_EQ(result("mov.u32 %r3, -5; shr.s32 %r2, %r3, 40;"), 0xffffffffu);
  const std::string pair = "mov.u32 %r3, 0x89abcdef; mov.u32 %r4, 0x01234567; ";
  EXPECT_EQ(result(pair + "shf.l.wrap.b32 %r2, %r3, %r4, 8;"), 0x23456789u);
  EXPECT_EQ(result(pair + "shf.r.wrap.b32 %r2, %r3, %r4, 8;"), 0x6789abcdu);
  EXPECT_EQ(result(pair + "shf.l.wrap.b32 %r2, %r3, %r4, 40;"), 0x23456789u);
  EXPECT_EQ(result(pair + "shf.l.clamp.b32 %r2, %r3, %r4, 40;"), 0x89abcdefu);
  EXPECT_EQ(result(pair + "shf.r.clamp.b32 %r2, %r3, %r4, 40;"), 0x01234567u);
  EXPECT_EQ(result(pair + "shf.r.wrap.b32 %r2, %r3, %r4, 32;"), 0x89abcdefu);
}

TEST(ptx_instructions, bits) {
  const std::string pair = "mov.u32 %r3, 0x83828180; mov.u32 %r4, 0x07060504; ";
  EXPECT_EQ(result(pair + "prmt.b32 %r2, %r3, %r4, 0x7632;"), 0x07068382u);
  EXPECT_EQ(result(pair + "prmt.b32 %r2, %r3, %r4, 0x9d80;"), 0xff00ff80u);  // signs of bytes
  EXPECT_EQ(result("mov.u32 %r3, 0xf0; mov.u32 %r4, 0xcc; mov.u32 %r5, 0xaa;"
                   "lop3.b32 %r2, %r3, %r4, %r5, 0xf8;"),
            0xf8u);
  EXPECT_EQ(result("mov.u32 %r3, 0xf0; mov.u32 %r4, 0xcc; mov.u32 %r5, 0xaa;"
                   "lop3.b32 %r2, %r3, %r4, %r5, 0x1d;"),
            0xffffff1du);
  EXPECT_EQ(result("mov.u32 %r3, 0xff; mov.u32 %r4, 0; bfi.b32 %r2, %r3, %r4, 4, 3;"), 0x70u);
  EXPECT_EQ(result("mov.u32 %r3, 0; mov.u32 %r4, -1; bfi.b32 %r2, %r3, %r4, 30, 8;"), 0x3fffffffu);
  EXPECT_EQ(result("mov.u32 %r3, 0x00f00000; bfind.u32 %r2, %r3;"), 23u);
  EXPECT_EQ(result("mov.u32 %r3, 0x00f00000; bfind.shiftamt.u32 %r2, %r3;"), 8u);
  EXPECT_EQ(result("mov.u32 %r3, 0; bfind.shiftamt.u32 %r2, %r3;"), 0xffffffffu);
  EXPECT_EQ(result("mov.u32 %r3, 0x00f00001; brev.b32 %r2, %r3;"), 0x80000f00u);
  EXPECT_EQ(result("mov.u32 %r3, 0x00f00001; popc.b32 %r2, %r3;"), 5u);
  EXPECT_EQ(result("mov.u16 %rs1, 0x1234; mov.u16 %rs2, 0x5678; mov.b32 %r2, {%rs1, %rs2};"),
            0x56781234u);
  EXPECT_EQ(result("mov.u32 %r3, 0x56781234; mov.b32 {%rs1, %rs2}, %r3; cvt.u32.u16 %r2, %rs2;"),
            0x5678u);
}

TEST(ptx_instructions, choices_and_guards) {
  EXPECT_EQ(result("mov.u32 %r3, -1; setp.lt.s32 %p1, %r3, 0; selp.u32 %r2, 3, 4, %p1;"), 3u);
  EXPECT_EQ(result("mov.u32 %r3, -1; setp.lt.u32 %p1, %r3, 0; selp.u32 %r2, 3, 4, %p1;"), 4u);
  EXPECT_EQ(result("mov.u32 %r3, 1; setp.eq.s32 %p1, %r3, 1; mov.u32 %r2, 5; @!%p1 mov.u32 %r2, 6;"
                   "not.pred %p2, %p1; @%p2 mov.u32 %r2, 7;"),
            5u);
  EXPECT_EQ(results(R"(
	setp.lt.u32 	%p1, %r1, 4;
	mov.u32 	%r2, 1;
	@%p1 bra 	$small;
	mov.u32 	%r2, 2;
$small:
	setp.gt.u32 	%p2, %r1, 29;
	@!%p2 bra 	$done;
	add.s32 	%r2, %r2, 10;
$done:
)"),
            (std::vector<std::uint64_t>{1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,  2,
                                        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 12, 12}));
}

TEST(ptx_instructions, comparisons) {
  const auto holds = [](const std::string& how, int a, int b) {
    return result("mov.u32 %r3, " + std::to_string(a) + "; setp." + how + " %p1, %r3, " +
                  std::to_string(b) + "; selp.u32 %r2, 1, 0, %p1;") != 0;
  };
  for (const int a : {-1, 0, 1})
    for (const int b : {-1, 0, 1}) {
      EXPECT_EQ(holds("eq.s32", a, b), a == b);
      EXPECT_EQ(holds("ne.s32", a, b), a != b);
      EXPECT_EQ(holds("lt.s32", a, b), a < b);
      EXPECT_EQ(holds("le.s32", a, b), a <= b);
      EXPECT_EQ(holds("gt.s32", a, b), a > b);
      EXPECT_EQ(holds("ge.s32", a, b), a >= b);
      EXPECT_EQ(holds("le.u32", a, b), unsigned(a) <= unsigned(b));
      EXPECT_EQ(holds("ge.u32", a, b), unsigned(a) >= unsigned(b));
    }
  EXPECT_EQ(result("mov.b64 %rd3, 1; shl.b64 %rd4, %rd3, 32; setp.gt.s64 %p1, %rd4, 5;"
                   "selp.u32 %r2, 1, 0, %p1;"),
            1u);
  EXPECT_EQ(result("mov.u16 %rs1, 0xffff; setp.lt.s16 %p1, %rs1, 0; selp.b16 %rs2, 7, 8, %p1;"
                   "cvt.u32.u16 %r2, %rs2;"),
            7u);
}

TEST(ptx_instructions, loads_and_stores_have_the_width_of_their_type) {
  std::vector<std::uint64_t> memory{0x8182838485868788, 0, 0, 0, 0, 0};
  const auto r = run(R"(
	ld.global.s8 	%r2, [%rd1];
	st.global.u32 	[%rd1+8], %r2;
	ld.global.u8 	%rs1, [%rd1+1];
	st.global.u16 	[%rd1+12], %rs1;
	ld.global.s32 	%rd2, [%rd1+4];
	st.global.u64 	[%rd1+16], %rd2;
	ld.global.v4.u16 	{%rs1, %rs2, %rs3, %rs4}, [%rd1];
	st.global.v2.u16 	[%rd1+24], {%rs4, %rs3};
	st.global.u8 	[%rd1+28], %rs2;
	mov.b64 	%rd3, {%r2, %r1};
	setp.ne.s32 	%p1, %r1, 31;
	@%p1 bra 	$end;
	st.global.u64 	[%rd1+32], %rd3;
$end:
)",
                     memory);
  ASSERT_TRUE(r) << r.message;
  EXPECT_EQ(memory[1], 0x00000087ffffff88u);
  EXPECT_EQ(memory[2], 0xffffffff81828384u);
  EXPECT_EQ(memory[3], 0x0000008683848182u);
  EXPECT_EQ(memory[4], 0x0000001fffffff88u);
}

TEST(ptx_instructions, lanes_have_local_memory_of_their_own) {
  const auto memory = results(
      ".local .align 4 .b8 first[4]; .local .align 8 .b8 second[8];"
      "mov.u64 %rd2, second; mov.u64 %rd3, first; st.local.u32 [%rd2+4], %r1;"
      "mov.u32 %r3, 7; st.local.u32 [%rd3], %r3; ld.local.u32 %r2, [%rd2+4];");
  for (std::uint64_t lane = 0; lane < 32; ++lane) EXPECT_EQ(memory[lane], lane);
}

TEST(ptx_instructions, collectives) {
  EXPECT_EQ(result("setp.gt.u32 %p1, %r1, 28; vote.sync.ballot.b32 %r2, %p1, -1;"), 0xe0000000u);
  EXPECT_EQ(result("setp.gt.u32 %p1, %r1, 31; vote.sync.any.pred %p2, %p1, -1;"
                   "selp.u32 %r2, 1, 0, %p2;"),
            0u);
  EXPECT_EQ(result("setp.gt.u32 %p1, %r1, 31; vote.sync.any.pred %p2, !%p1, -1;"
                   "selp.u32 %r2, 1, 0, %p2;"),
            1u);
  EXPECT_EQ(result("mov.u32 %r3, -1; redux.sync.add.u32 %r2, %r1, %r3;"), 496u);
  EXPECT_EQ(result("mov.u32 %r3, -1; redux.sync.or.b32 %r2, %r1, %r3;"), 31u);
  const auto turned = results("add.s32 %r3, %r1, 1; shfl.sync.idx.b32 %r2|%p1, %r1, %r3, 31, -1;");
  for (std::uint32_t l = 0; l < kWarpLanes; ++l) EXPECT_EQ(turned[l], (l + 1) % 32);
  // Lanes 8 to 15 are a segment; a source beyond it is the lane itself.
  const auto parts = results(
      "shfl.sync.idx.b32 %r3|%p1, %r1, 3, 0x1807, -1; selp.u32 %r4, 100, 0, %p1;"
      "add.s32 %r2, %r3, %r4;");
  EXPECT_EQ(parts[9], 8u + 3 + 100);
  const auto beyond = results(
      "shfl.sync.idx.b32 %r3|%p1, %r1, 3, 2, -1; selp.u32 %r4, 100, 0, %p1;"
      "add.s32 %r2, %r3, %r4;");
  EXPECT_EQ(beyond[9], 9u);
  EXPECT_EQ(results("mov.u32 %r2, %lanemask_lt;")[5], 31u);
}

/// As the documentation's figures have it: ones in one place of A and of B, the product in one of D.
TEST(ptx_instructions, products_of_matrices) {
  for (std::uint32_t row : {0u, 7u, 8u, 13u})
    for (std::uint32_t k : {0u, 5u, 16u, 31u})
      for (std::uint32_t column : {0u, 3u, 7u}) {
        // Where A has [row, k]: lane 4 (row % 8) + k % 16 / 4, register row / 8 + 2 (k / 16), byte k % 4.
        const std::uint32_t a_lane = row % 8 * 4 + k % 16 / 4, a_register = row / 8 + 2 * (k / 16);
        const std::uint32_t b_lane = column * 4 + k % 16 / 4, b_register = k / 16;
        const std::uint32_t d_lane = row % 8 * 4 + column / 2,
                            d_register = row / 8 * 2 + column % 2;
        std::string code;
        const auto set = [&](std::uint32_t r, std::uint32_t lane, int value) {
          code += "mov.u32 %r" + std::to_string(r) + ", 0; setp.eq.s32 %p1, %r1, " +
                  std::to_string(lane) + "; @%p1 mov.u32 %r" + std::to_string(r) + ", " +
                  std::to_string(std::uint64_t(value & 0xff) << (8 * (k % 4))) + ";\n";
        };
        for (std::uint32_t r = 0; r < 4; ++r) set(4 + r, a_lane, r == a_register ? -3 : 0);
        for (std::uint32_t r = 0; r < 2; ++r) set(8 + r, b_lane, r == b_register ? 100 : 0);
        code +=
            "mov.u32 %r10, 1; mov.u32 %r11, 1; mov.u32 %r12, 1; mov.u32 %r13, 1;\n"
            "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r14, %r15, %r16, %r17}, "
            "{%r4, %r5, %r6, %r7}, {%r8, %r9}, {%r10, %r11, %r12, %r13};\n";
        for (std::uint32_t r = 0; r < 4; ++r) {
          const auto found = results(code + "mov.u32 %r2, %r" + std::to_string(14 + r) + ";");
          for (std::uint32_t l = 0; l < kWarpLanes; ++l)
            EXPECT_EQ(static_cast<std::int32_t>(found[l]),
                      r == d_register && l == d_lane ? -299 : 1)
                << row << " " << k << " " << column << ": " << r << " " << l;
        }
      }
}

TEST(ptx_instructions, atomics_return_what_was_there) {
  std::vector<std::uint64_t> memory{5};
  ASSERT_TRUE(run("atom.add.relaxed.gpu.u64 %rd2,[%rd1],1;", memory));
  EXPECT_EQ(memory[0], 37u);
  memory = {7, 0};
  ASSERT_TRUE(run("atom.cas.relaxed.gpu.b32 %r2,[%rd1],7,9; st.global.u32 [%rd1+8], %r2;", memory));
  EXPECT_EQ(memory[0], 9u);
  EXPECT_EQ(memory[1], 9u);  // of the last lane
}

}  // namespace
}  // namespace skv::ptx
