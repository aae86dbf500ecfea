#include "io/output_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/mapped_file.hpp"
#include "scratch_folder.hpp"

namespace skv::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<output_file>);
static_assert(std::is_nothrow_move_constructible_v<output_file>);
static_assert(std::is_nothrow_move_assignable_v<output_file>);

output_file create(const std::filesystem::path& path) {
  auto file = output_file::create(path);
  EXPECT_TRUE(file) << file.failure().message;
  return *std::move(file);
}

template <class T>
void expect_io_error(const result<T>& outcome, const std::string& name, const std::string& why) {
  ASSERT_FALSE(outcome) << name;
  EXPECT_EQ(outcome.code(), status::io_error);
  EXPECT_THAT(outcome.failure().message, AllOf(HasSubstr(name), HasSubstr(why)));
}

void expect_refused(const std::filesystem::path& path, const std::string& why) {
  expect_io_error(output_file::create(path), path.string(), why);
}

TEST(output_file, appears_on_commit_and_not_before) {
  const scratch_folder folder;
  output_file file = create(folder / "out");
  EXPECT_EQ(file.size(), 0U);
  ASSERT_TRUE(file.append(as_bytes("some ")));
  ASSERT_TRUE(file.append({}));
  ASSERT_TRUE(file.append(as_bytes("text")));
  EXPECT_EQ(file.size(), 9U);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_EQ(folder.entries(), 1U);  // the temporary is in the same folder
  ASSERT_TRUE(file.commit());
  EXPECT_EQ(text_of(folder / "out"), "some text");
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(output_file, leaves_the_final_file_alone_until_commit) {
  const scratch_folder folder;
  fill_file(folder / "out", "old");
  {
    output_file abandoned = create(folder / "out");
    ASSERT_TRUE(abandoned.append(as_bytes("never seen")));
    EXPECT_EQ(text_of(folder / "out"), "old");
  }
  EXPECT_EQ(text_of(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1U);

  const auto reader = mapped_file::open(folder / "out");
  ASSERT_TRUE(reader);
  output_file file = create(folder / "out");
  ASSERT_TRUE(file.append(as_bytes("new")));
  EXPECT_EQ(text_of(folder / "out"), "old");
  ASSERT_TRUE(file.commit());
  EXPECT_EQ(text_of(folder / "out"), "new");
  EXPECT_EQ(as_text(reader->bytes()), "old");  // input and output may be the same file
}

TEST(output_file, may_be_empty) {
  const scratch_folder folder;
  ASSERT_TRUE(create(folder / "out").commit());
  EXPECT_EQ(text_of(folder / "out"), "");
}

TEST(output_file, leaves_nothing_when_not_committed) {
  const scratch_folder folder;
  ASSERT_TRUE(create(folder / "out").append(as_bytes("text")));
  EXPECT_EQ(folder.entries(), 0U);
}

TEST(output_file, writes_anywhere) {
  const scratch_folder folder;
  output_file file = create(folder / "out");
  ASSERT_TRUE(file.append(as_bytes("0123456789")));
  ASSERT_TRUE(file.write_at(2, as_bytes("abc")));
  EXPECT_EQ(file.size(), 10U);
  ASSERT_TRUE(file.write_at(8, as_bytes("wxyz")));
  EXPECT_EQ(file.size(), 12U);
  ASSERT_TRUE(file.write_at(14, as_bytes("!")));
  ASSERT_TRUE(file.write_at(100, {}));
  EXPECT_EQ(file.size(), 15U);
  ASSERT_TRUE(file.append(as_bytes("?")));
  ASSERT_TRUE(file.commit());
  EXPECT_EQ(text_of(folder / "out"), std::string("01abc567wxyz\0\0!?", 16));
}

TEST(output_file, writes_many_bytes_at_once) {
  const scratch_folder folder;
  std::string text(5'000'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i ^ i >> 8);
  output_file file = create(folder / "out");
  ASSERT_TRUE(file.append(as_bytes(text)));
  ASSERT_TRUE(file.append(as_bytes(text)));
  ASSERT_TRUE(file.commit());
  EXPECT_EQ(text_of(folder / "out"), text + text);
}

TEST(output_file, mode_honours_the_umask) {
  const scratch_folder folder;
  for (const mode_t mask : {0022U, 0077U, 0U}) {
    const mode_t old = ::umask(mask);
    const bool committed{create(folder / "out").commit()};
    ::umask(old);
    ASSERT_TRUE(committed);
    struct stat info = {};
    ASSERT_EQ(::stat((folder / "out").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0666 & ~mask);
  }
}

TEST(output_file, takes_the_longest_name) {
  const scratch_folder folder;
  const std::string name(255, 'n');
  ASSERT_TRUE(create(folder / name).commit());
  EXPECT_TRUE(std::filesystem::exists(folder / name));
  expect_refused(folder / (name + "n"), "name too long");
  expect_io_error(output_file::create(std::string(5000, 'p')), "ppp...'", "name too long");
}

TEST(output_file, keeps_its_folder_when_the_program_changes_its_own) {
  const scratch_folder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::optional<output_file> abandoned(create("abandoned"));
  output_file file = create("out");
  std::filesystem::current_path(before);
  abandoned.reset();
  ASSERT_TRUE(file.commit());
  EXPECT_EQ(folder.entries(), 1U);
  EXPECT_TRUE(std::filesystem::exists(folder / "out"));
}

TEST(output_file, several_at_once_for_one_name) {
  const scratch_folder folder;
  std::vector<output_file> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(create(folder / "out"));
    ASSERT_TRUE(files.back().append(as_bytes(std::to_string(i))));
  }
  EXPECT_EQ(folder.entries(), 20U);
  ASSERT_TRUE(files[7].commit());
  ASSERT_TRUE(files[3].commit());
  files.clear();
  EXPECT_EQ(folder.entries(), 1U);
  EXPECT_EQ(text_of(folder / "out"), "3");
}

TEST(output_file, moves) {
  const scratch_folder folder;
  output_file a = create(folder / "a");
  ASSERT_TRUE(a.append(as_bytes("a")));
  output_file b = create(folder / "b");
  b = std::move(a);
  ASSERT_TRUE(b.append(as_bytes("+")));
  ASSERT_TRUE(b.commit());
  EXPECT_EQ(text_of(folder / "a"), "a+");
  EXPECT_FALSE(std::filesystem::exists(folder / "b"));
}

TEST(output_file, refuses_names_that_are_taken_otherwise) {
  const scratch_folder folder;
  fill_file(folder / "file", "text");
  std::filesystem::create_symlink("file", folder / "link");
  std::filesystem::create_symlink("nothing", folder / "dangling");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_refused(folder.path(), "it is a directory");
  expect_refused(folder / ".", "it is a directory");
  expect_refused(folder / "new/", "it names no file");
  expect_refused("", "it names no file");
  expect_refused("/", "it names no file");
  expect_refused(folder / "link", "it is a symbolic link");
  expect_refused(folder / "dangling", "it is a symbolic link");
  expect_refused(folder / "pipe", "it is not a regular file");
  expect_refused("/dev/null", "it is not a regular file");
  expect_refused("/dev/stdout", "it is a symbolic link");
  expect_refused(folder / "missing/out", "No such file or directory");
  expect_refused(folder / "file/out", "Not a directory");
  EXPECT_EQ(folder.entries(), 4U);
  EXPECT_EQ(text_of(folder / "file"), "text");
}

TEST(output_file, refuses_a_folder_without_permission) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const scratch_folder folder;
  std::filesystem::permissions(
      folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  expect_refused(folder / "out", "Permission denied");
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

TEST(output_file, says_that_the_name_cannot_be_given) {
  const scratch_folder folder;
  output_file file = create(folder / "out");
  std::filesystem::create_directory(folder / "out");
  expect_io_error(file.commit(), (folder / "out").string(), "Is a directory");
}

TEST(output_file, commits_once) {
  const scratch_folder folder;
  output_file file = create(folder / "out");
  ASSERT_TRUE(file.commit());
  expect_io_error(file.commit(), "out", "already closed");
  expect_io_error(file.append(as_bytes("late")), "out", "cannot write");
  EXPECT_EQ(text_of(folder / "out"), "");
}

TEST(output_file, refuses_offsets_that_no_file_has) {
  const scratch_folder folder;
  for (const std::uint64_t offset :
       {~std::uint64_t{0}, std::uint64_t{1} << 63, (~std::uint64_t{0} >> 1)}) {
    output_file file = create(folder / "out");
    expect_io_error(file.write_at(offset, as_bytes("x")), "out", "too large");
    EXPECT_EQ(file.size(), 0U);
    expect_io_error(file.commit(), "out", "an earlier write failed");
  }
  EXPECT_EQ(folder.entries(), 0U);
}

}  // namespace
}  // namespace skv::io
