// Encoding and decoding under the executor, and all that must hold afterwards.
#pragma once

#include "simt/device_scene.hpp"

namespace skv::simt {

/// Encodes and decodes a scene; everything must be as it should.
inline void expect_round_trip(device_scene& d, output how, std::size_t room, const grid& g) {
  const report encoded = d.encode(how, room, g);
  ASSERT_EQ(encoded.what, outcome::ok) << encoded.message;
  expect_cpu_bytes(d, how, room);
  if (testing::Test::HasFatalFailure()) return;
  if (how != output::in_place) d.spoil();
  const report decoded = d.decode(how, room, g);
  ASSERT_EQ(decoded.what, outcome::ok) << decoded.message;
  expect_restored(d, how, room);
}

}  // namespace skv::simt
