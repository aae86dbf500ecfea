#include "io/mapped_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <type_traits>
#include <utility>

#include "scratch_folder.hpp"

namespace skv::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<mapped_file>);
static_assert(std::is_nothrow_move_constructible_v<mapped_file>);
static_assert(std::is_nothrow_move_assignable_v<mapped_file>);

void expect_unopened(const std::filesystem::path& path, const std::string& reason) {
  const auto file = mapped_file::open(path);
  ASSERT_FALSE(file) << path;
  EXPECT_EQ(file.code(), status::io_error);
  EXPECT_THAT(file.failure().message, AllOf(HasSubstr(path.string()), HasSubstr(reason)));
}

TEST(mapped_file, gives_the_bytes_of_the_file) {
  const scratch_folder folder;
  for (const std::size_t size : {1, 4095, 4096, 4097, 1'000'000}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 256);
    fill_file(folder / "file", text);
    const auto file = mapped_file::open(folder / "file");
    ASSERT_TRUE(file);
    file->advise_sequential();
    EXPECT_EQ(as_text(file->bytes()), text);
  }
}

TEST(mapped_file, takes_an_empty_file) {
  const scratch_folder folder;
  fill_file(folder / "empty", "");
  const auto file = mapped_file::open(folder / "empty");
  ASSERT_TRUE(file);
  file->advise_sequential();
  EXPECT_TRUE(file->bytes().empty());
}

TEST(mapped_file, outlives_the_name_and_moves) {
  const scratch_folder folder;
  fill_file(folder / "a", "first");
  fill_file(folder / "b", "second");
  auto a = mapped_file::open(folder / "a");
  auto b = mapped_file::open(folder / "b");
  ASSERT_TRUE(a);
  ASSERT_TRUE(b);
  std::filesystem::remove(folder / "a");

  const auto bytes = a->bytes();
  mapped_file moved = *std::move(a);
  EXPECT_EQ(moved.bytes().data(), bytes.data());
  EXPECT_EQ(as_text(moved.bytes()), "first");
  EXPECT_TRUE(a->bytes().empty());  // NOLINT(bugprone-use-after-move): unmapped once
  moved = *std::move(b);
  EXPECT_EQ(as_text(moved.bytes()), "second");
}

TEST(mapped_file, follows_links) {
  const scratch_folder folder;
  fill_file(folder / "file", "text");
  std::filesystem::create_symlink("file", folder / "link");
  const auto file = mapped_file::open(folder / "link");
  ASSERT_TRUE(file);
  EXPECT_EQ(as_text(file->bytes()), "text");
}

TEST(mapped_file, says_why_a_file_cannot_be_opened) {
  const scratch_folder folder;
  fill_file(folder / "file", "text");
  std::filesystem::create_symlink("nothing", folder / "dangling");
  std::filesystem::create_symlink("loop", folder / "loop");
  expect_unopened(folder / "missing", "No such file or directory");
  expect_unopened(folder / "missing/too", "No such file or directory");
  expect_unopened(folder / "file/below", "Not a directory");
  expect_unopened(folder / "dangling", "No such file or directory");
  expect_unopened(folder / "loop", "symbolic links");
  expect_unopened(folder.path(), "Is a directory");
  expect_unopened(folder / std::string(300, 'x'), "name too long");
  expect_unopened("", "No such file or directory");
}

TEST(mapped_file, refuses_what_is_not_a_regular_file_at_once) {
  const scratch_folder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_unopened(folder / "pipe", "not a regular file");  // nobody writes to it: must not wait
  expect_unopened("/dev/zero", "not a regular file");
}

TEST(mapped_file, says_that_a_file_is_unreadable) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const scratch_folder folder;
  fill_file(folder / "secret", "text");
  std::filesystem::permissions(folder / "secret", std::filesystem::perms::none);
  expect_unopened(folder / "secret", "Permission denied");
}

TEST(mapped_file, error_is_fit_for_a_terminal) {
  const auto file = mapped_file::open("no\x1b[31mfile\n");
  ASSERT_FALSE(file);
  EXPECT_THAT(file.failure().message, HasSubstr("'no\\x1b[31mfile\\x0a'"));
}

}  // namespace
}  // namespace skv::io
