// Which mistakes of a kernel the executor of PTX finds, and in what order it runs what is right.
#include "ptx/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ptx/text.hpp"

namespace skv::ptx {
namespace {

using testing::HasSubstr;

/// Threads 0 to 63 put their number in shared memory, and take that of thread 63 - i. They put it there twice, with a
/// barrier between, so that what they take was written in any case.
std::string exchange(const std::string& between) {
  return R"(
	mov.u32 	%r2, memory;
	shl.b32 	%r3, %r1, 2;
	add.s32 	%r4, %r2, %r3;
	st.shared.u32 	[%r4], %r1;
	bar.sync 	0;
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

TEST(ptx_machine, finds_writes_of_what_others_have_read_or_written) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<std::uint64_t> memory(64);
    // The last thread writes the first word, all read it, then that thread writes it again.
    const std::string write =
        "setp.ne.s32 %p1, %r1, 95; @%p1 bra $end1; st.shared.u32 [memory], %r1; $end1: bar.sync 0;";
    const auto read = run(write +
                              "ld.shared.u32 %r2, [memory]; @%p1 bra $end2;"
                              "st.shared.u32 [memory], %r1; $end2: bar.sync 0;",
                          memory, {1, 96, 4, seed});
    EXPECT_EQ(read.what, outcome::race);
    const auto written = run("st.shared.u32 [memory], %r1;", memory, {1, 64, 4, seed});
    EXPECT_EQ(written.what, outcome::race);
  }
}

TEST(ptx_machine, blocks_have_numbers_and_shared_memory_of_their_own) {
  std::vector<std::uint64_t> memory(3);
  const auto r = run(R"(
	mov.u32 	%r2, %ctaid.x;
	mov.u32 	%r3, %nctaid.x;
	mov.u32 	%r4, %ntid.x;
	mad.lo.s32 	%r5, %r3, 100, %r2;
	add.s32 	%r5, %r5, %r4;
	setp.ne.s32 	%p1, %r1, 0;
	@%p1 bra 	$end;
	st.shared.u32 	[memory], %r5;
	ld.shared.u32 	%r6, [memory];
	mul.wide.u32 	%rd2, %r2, 8;
	add.s64 	%rd3, %rd1, %rd2;
	st.global.u32 	[%rd3], %r6;
$end:
)",
                     memory, {3, 64, 4, 1});
  ASSERT_TRUE(r) << r.message;
  EXPECT_EQ(memory, (std::vector<std::uint64_t>{364, 365, 366}));
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
        "ld.param.u32 %r2, [test_param_0+-4];", "mov.u32 %r2, 0; st.shared.u32 [%r2+-4], %r1;",
        "mov.b64 %rd2, 0; ld.global.u64 %rd3, [%rd2+-8];",
        "mov.u32 %r2, 0; cp.async.cg.shared.global [%r2], [%rd1], 16, 16;",
        "atom.add.relaxed.gpu.u32 %r2,[%rd1+32],1;",
        ".local .align 8 .b8 mine[8]; mov.u64 %rd2, mine; st.local.u32 [%rd2+8], %r1;",
        "mov.u64 %rd2, 0; ld.local.u32 %r2, [%rd2];"}) {
    const auto r = run(code, memory);
    EXPECT_EQ(r.what, outcome::overrun) << code;
  }
}

TEST(ptx_machine, finds_misaligned_accesses) {
  std::vector<std::uint64_t> memory(4);
  for (const char* code :
       {"ld.global.u32 %r2, [%rd1+2];", "ld.global.v2.u32 {%r2, %r3}, [%rd1+4];",
        "st.global.u16 [%rd1+1], %r1;",
        ".local .align 8 .b8 a[8]; mov.u64 %rd2, a; st.local.u32 [%rd2+1], %r1;"}) {
    const auto r = run(code, memory);
    EXPECT_EQ(r.what, outcome::overrun) << code;
    EXPECT_THAT(r.message, HasSubstr("misaligned"));
  }
}

TEST(ptx_machine, finds_reads_of_what_nothing_was_written_to) {
  std::vector<std::uint64_t> memory(4);
  std::vector<std::uint8_t> written(32);
  const auto run_on = [&](const char* code) {
    std::fill(written.begin(), written.end(), 0);
    std::fill_n(written.begin() + 4, 8, 1);
    return run(code, memory, {1, 32, 16}, written.data());
  };
  for (const char* code :
       {"ld.global.u32 %r2, [%rd1];", "ld.u8 %r2, [%rd1+3];", "ld.global.u16 %rs1, [%rd1+12];",
        "ld.global.v2.u32 {%r2, %r3}, [%rd1+8];", "atom.add.relaxed.gpu.u32 %r2,[%rd1],1;",
        "mov.u32 %r2, 0; add.s64 %rd2, %rd1, 16; cp.async.cg.shared.global [%r2], [%rd2], 16, 16;",
        "ld.shared.u32 %r2, [memory];",
        ".local .align 8 .b8 mine[8]; mov.u64 %rd2, mine; ld.local.u32 %r2, [%rd2];",
        "st.shared.u8 [memory], %r1; ld.shared.u16 %rs1, [memory];"}) {
    const auto r = run_on(code);
    EXPECT_EQ(r.what, outcome::unwritten) << code;
    EXPECT_THAT(r.message, HasSubstr("to which nothing was written"));
  }
  for (const char* code : {"ld.global.u32 %r2, [%rd1+8]; ld.u8 %r2, [%rd1+4];",
                           "st.global.u16 [%rd1+2], %r1; ld.global.u16 %rs1, [%rd1+2];",
                           "atom.add.relaxed.gpu.u32 %r2,[%rd1+4],1;",
                           "st.shared.u32 [memory], %r1; ld.shared.u32 %r2, [memory];"}) {
    const auto r = run_on(code);
    EXPECT_TRUE(r) << r.message;
  }
}

/// Lane 0 of the last warp copies 16 bytes in each of two groups, and then reads what the first one or the second one
/// has made.
std::string copies(const std::string& wait, int read) {
  return R"(
	mov.u32 	%r2, %ntid.x;
	sub.s32 	%r2, %r2, 32;
	setp.ne.s32 	%p1, %r1, %r2;
	@%p1 bra 	$end;
	mov.u32 	%r2, 0;
	cp.async.cg.shared.global [%r2], [%rd1], 16, 16;
	cp.async.commit_group;
	cp.async.cg.shared.global [%r2+16], [%rd1], 16, 16;
	cp.async.commit_group;
)" + wait +
         "ld.shared.u64 %rd4, [memory+" + std::to_string(16 * read) + R"(];
	st.global.u64 	[%rd1+16], %rd4;
$end:
)";
}

TEST(ptx_machine, copies_are_made_when_they_are_waited_for_at_the_latest) {
  constexpr std::uint64_t kBytes = 0x0123456789abcdef;
  // Which of the two copies of a block are late is drawn for each of its warps.
  int first_late = 0, second_late = 0, second_late_after_one = 0;
  for (std::uint32_t threads = 32; threads <= 1024; threads += 32) {
    const auto is_late = [&](const std::string& wait, int read) {
      std::vector<std::uint64_t> memory{kBytes, kBytes, 0};
      const auto r = run(copies(wait, read), memory, {1, threads, 32, 0});
      if (r.what == outcome::unwritten) return true;
      EXPECT_TRUE(r) << r.message;
      EXPECT_EQ(memory[2], kBytes);
      return false;
    };
    first_late += is_late("", 0);
    second_late += is_late("", 1);
    EXPECT_FALSE(is_late("cp.async.wait_group 1;", 0));
    second_late_after_one += is_late("cp.async.wait_group 1;", 1);
    EXPECT_FALSE(is_late("cp.async.wait_group 0;", 0));
    EXPECT_FALSE(is_late("cp.async.wait_group 0;", 1));
  }
  for (const int late : {first_late, second_late, second_late_after_one}) {
    EXPECT_GT(late, 0);
    EXPECT_LT(late, 32);
  }
}

TEST(ptx_machine, finds_a_copy_into_what_another_warp_still_reads) {
  std::vector<std::uint64_t> memory(4);
  const auto r = run(
      "setp.eq.u32 %p2, %r1, 0; @%p2 st.shared.u32 [memory], %r1; bar.sync 0;"
      "setp.gt.u32 %p1, %r1, 31; @%p1 bra $read; mov.u32 %r2, 0;"
      "cp.async.cg.shared.global [%r2], [%rd1], 16, 16; cp.async.commit_group; bar.sync 0;"
      "cp.async.wait_group 0; bra $end; $read: ld.shared.u32 %r3, [memory]; bar.sync 0; $end:\n",
      memory, {1, 64, 16, 0});
  EXPECT_EQ(r.what, outcome::race);
}

TEST(ptx_machine, refuses_more_threads_than_a_kernel_was_compiled_for) {
  std::string text = program_of("");
  text.insert(text.find("{\n\t.reg"), ".maxntid 64, 1, 1\n");
  program p(text);
  std::byte parameters[8]{};
  EXPECT_TRUE(launch(p, p.find("test"), {1, 64}, parameters, {}));
  EXPECT_EQ(launch(p, p.find("test"), {1, 96}, parameters, {}).what, outcome::bad_launch);
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
  for (const char* code :
       {"bar.sync 1;", "bar.sync 0, 32;", "cp.async.cg.shared.global [%r1], [%rd1], 16;",
        "cp.async.cg.shared.global [%r1], [%rd1+16], 16, 16;", ".shared .b8 mine[16];",
        "ld.global.v2.u32 {_, %r2}, [%rd1];"})
    EXPECT_THROW(program(program_of(code)).find("test"), std::runtime_error) << code;
  EXPECT_THROW(p.find("other"), std::runtime_error);
  EXPECT_THROW(program(program_of("bra $nowhere;")).find("test"), std::runtime_error);
  EXPECT_THROW(program(program_of("mov.u32 %x1, 0;")).find("test"), std::runtime_error);
}

}  // namespace
}  // namespace skv::ptx
