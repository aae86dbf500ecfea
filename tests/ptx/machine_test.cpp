// The executor of PTX: what instructions give, by examples of what NVIDIA's "PTX ISA" says of them, and which
// mistakes of a kernel it finds.
#include "ptx/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace skv::ptx {
namespace {

using testing::HasSubstr;

/// A module with one kernel, of one parameter: a pointer, in %rd1. Its lane's number is in %r1.
std::string program_of(const std::string& body) {
  return R"(.version 9.0
.target sm_90
.address_size 64
.extern .shared .align 16 .b8 memory[];
.visible .entry test(
	.param .u64 test_param_0
)
{
	.reg .pred 	%p<10>;
	.reg .b16 	%rs<10>;
	.reg .b32 	%r<20>;
	.reg .b64 	%rd<20>;

	ld.param.u64 	%rd1, [test_param_0];
	mov.u32 	%r1, %tid.x;
)" + body +
         R"(
	ret;
}
)";
}

simt::report run(const std::string& body, std::vector<std::uint64_t>& memory,
                 const simt::launch_shape& shape = {}) {
  program p(program_of(body));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  std::byte parameters[sizeof begin];
  std::memcpy(parameters, &begin, sizeof begin);
  return launch(p, p.find("test"), shape, parameters, {{begin, begin + memory.size() * 8}});
}

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
  EXPECT_EQ(result("mov.u32 %r3, -5; mul.hi.s32 %r2, %r3, 2;"), 0xffffffffu);
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

/// Threads 0 to 63 put their number in shared memory, and take that of thread 63 - i.
std::string exchange(const std::string& between) {
  return R"(
	mov.u32 	%r2, memory;
	shl.b32 	%r3, %r1, 2;
	add.s32 	%r4, %r2, %r3;
	st.shared.u32 	[%r4], %r1;
	)" +
         between + R"(
	sub.s32 	%r5, 252, %r3;
	add.s32 	%r6, %r2, %r5;
	ld.shared.u32 	%r7, [%r6];
	mul.wide.u32 	%rd2, %r1, 8;
	add.s64 	%rd3, %rd1, %rd2;
	st.global.u32 	[%rd3], %r7;
)";
}

TEST(ptx_machine, a_barrier_keeps_shared_memory_in_order) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<std::uint64_t> memory(64);
    const auto r = run(exchange("bar.sync 0;"), memory, {1, 64, 256, seed});
    ASSERT_TRUE(r) << r.message;
    for (std::uint64_t i = 0; i < 64; ++i) EXPECT_EQ(memory[i], 63 - i);
  }
}

TEST(ptx_machine, finds_a_missing_barrier_whatever_the_order) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<std::uint64_t> memory(64);
    const auto r = run(exchange(""), memory, {1, 64, 256, seed});
    EXPECT_EQ(r.what, outcome::race);
    EXPECT_THAT(r.message, HasSubstr("with no barrier between"));
  }
}

TEST(ptx_machine, finds_a_barrier_that_some_do_not_reach) {
  std::vector<std::uint64_t> memory(64);
  const auto parted = run("setp.eq.s32 %p1, %r1, 3; @%p1 bra $end; bar.sync 0; $end:\n", memory);
  EXPECT_EQ(parted.what, outcome::divergence);
  const auto warps = run("setp.gt.u32 %p1, %r1, 31; @%p1 bra $end; bar.sync 0; bar.sync 0; $end:\n",
                         memory, {1, 64, 0, 0});
  EXPECT_TRUE(warps);  // a warp that has ended keeps none waiting, as on a device
}

TEST(ptx_machine, finds_lanes_that_part_at_a_collective) {
  std::vector<std::uint64_t> memory(64);
  const auto r = run("setp.eq.s32 %p1, %r1, 3; @%p1 bra $end; bar.warp.sync -1; $end:\n", memory);
  EXPECT_EQ(r.what, outcome::divergence);
  EXPECT_THAT(r.message, HasSubstr("bar.warp.sync"));
}

TEST(ptx_machine, finds_accesses_outside_of_memory) {
  std::vector<std::uint64_t> memory(4);
  EXPECT_TRUE(run("ld.global.u32 %r2, [%rd1+28];", memory));
  for (const char* code :
       {"ld.global.u32 %r2, [%rd1+32];", "ld.u8 %r2, [%rd1+-1];", "st.global.u32 [%rd1+32], %r2;",
        "st.shared.u32 [%r1], %r1;", "ld.param.u32 %r2, [test_param_0+8];",
        "atom.add.relaxed.gpu.u32 %r2,[%rd1+32],1;"}) {
    const auto r = run(code, memory);
    EXPECT_EQ(r.what, outcome::overrun) << code;
  }
}

TEST(ptx_machine, finds_misaligned_accesses) {
  std::vector<std::uint64_t> memory(4);
  for (const char* code : {"ld.global.u32 %r2, [%rd1+2];", "ld.global.v2.u32 {%r2, %r3}, [%rd1+4];",
                           "st.global.u16 [%rd1+1], %r1;"}) {
    const auto r = run(code, memory);
    EXPECT_EQ(r.what, outcome::overrun) << code;
    EXPECT_THAT(r.message, HasSubstr("misaligned"));
  }
}

TEST(ptx_machine, copies_nothing_before_it_must) {
  std::vector<std::uint64_t> memory(32, 0x0123456789abcdef);
  const std::string copy = R"(
	shl.b32 	%r2, %r1, 4;
	cvt.u64.u32 	%rd3, %r2;
	setp.gt.u32 	%p1, %r1, 0;
	@%p1 bra 	$read;
	cp.async.cg.shared.global [%r2], [%rd1], 16, 16;
	cp.async.commit_group;
$read:
)";
  const std::string read =
      "bar.warp.sync -1; ld.shared.u64 %rd4, [memory]; st.global.u64 [%rd1+128], %rd4;";
  ASSERT_TRUE(run(copy + read, memory, {1, 32, 512, 0}));
  EXPECT_NE(memory[16], memory[0]);
  ASSERT_TRUE(run(copy + "cp.async.wait_group 0;" + read, memory, {1, 32, 512, 0}));
  EXPECT_EQ(memory[16], memory[0]);
}

TEST(ptx_machine, gives_up_on_what_does_not_end) {
  std::vector<std::uint64_t> memory(4);
  EXPECT_EQ(run("$again: bra $again;", memory, {1, 32, 0, 0, 1000}).what, outcome::livelock);
}

TEST(ptx_program, says_what_it_does_not_understand) {
  program p(program_of("sqrt.rn.f32 %r1, %r2;"));
  try {
    p.find("test");
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("unknown instruction sqrt.rn.f32"));
  }
  EXPECT_THROW(p.find("other"), std::runtime_error);
  EXPECT_THROW(program(program_of("bra $nowhere;")).find("test"), std::runtime_error);
  EXPECT_THROW(program(program_of("mov.u32 %x1, 0;")).find("test"), std::runtime_error);
}

}  // namespace
}  // namespace skv::ptx
