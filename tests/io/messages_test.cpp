#include "io/messages.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace skv::io {
namespace {

TEST(in_quotes, leaves_ordinary_text) {
  EXPECT_EQ(in_quotes(""), "''");
  EXPECT_EQ(in_quotes("layers.0.k"), "'layers.0.k'");
  EXPECT_EQ(in_quotes("\xc3\xa9t\xc3\xa9"), "'\xc3\xa9t\xc3\xa9'");
}

TEST(in_quotes, writes_control_characters_as_hex) {
  EXPECT_EQ(in_quotes(std::string("a\0b\x7f\x1b", 5)), "'a\\x00b\\x7f\\x1b'");
}

TEST(in_quotes, cuts_long_text_between_characters) {
  EXPECT_EQ(in_quotes("abcdef", 6), "'abcdef'");
  EXPECT_EQ(in_quotes("abcdef", 5), "'abcde...'");
  EXPECT_EQ(in_quotes("ab\xe2\x82\xac", 4), "'ab...'");  // a euro sign has three bytes
  EXPECT_EQ(in_quotes("\x80\x80\x80", 2), "'...'");
  EXPECT_EQ(in_quotes("abc", 0), "'...'");
}

TEST(system_failure, names_action_path_and_reason) {
  const error e = system_failure("cannot open", "/no/file", ENOENT);
  EXPECT_EQ(e.code, status::io_error);
  EXPECT_EQ(e.message, "cannot open '/no/file': No such file or directory");
}

}  // namespace
}  // namespace skv::io
