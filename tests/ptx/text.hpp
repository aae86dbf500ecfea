// Kernels as text, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "ptx/machine.hpp"

namespace skv::ptx {

/// A module with one kernel, of one parameter: a pointer, in %rd1. Its lane's number is in %r1.
inline std::string program_of(const std::string& body) {
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

/// `written`: of each byte of the memory whether it was, or null.
inline simt::report run(const std::string& body, std::vector<std::uint64_t>& memory,
                        const simt::launch_shape& shape = {}, std::uint8_t* written = nullptr) {
  program p(program_of(body));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  std::byte parameters[sizeof begin];
  std::memcpy(parameters, &begin, sizeof begin);
  return launch(p, p.find("test"), shape, parameters,
                {{begin, {begin, begin + memory.size() * 8, written}}});
}

}  // namespace skv::ptx
