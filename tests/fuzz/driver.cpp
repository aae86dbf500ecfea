// Runs a libFuzzer target without libFuzzer: every file below a corpus folder as it is, then a
// fixed series of mutations of them. The same arguments give the same inputs on every machine.
//
//     <target>_fuzz CORPUS ITERATIONS SEED
//
// If the target dies, its input is left in <target>_fuzz.crash in the working folder, and
// `<target>_fuzz <target>_fuzz.crash 0 0` runs it again.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using bytes = std::vector<std::uint8_t>;

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;

// What the signal handler saves, and where.
std::string crash_file;
const std::uint8_t* current_data = nullptr;
std::size_t current_size = 0;

extern "C" void save_input(int signal) {
  const int file = open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && write(file, current_data, current_size) >= 0) {
    const char text[] = "input saved to *_fuzz.crash\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const bytes& input) {
  // A copy of the exact size, so that the address sanitizer sees the first byte past the end.
  const bytes copy(input.begin(), input.end());
  current_data = copy.data();
  current_size = copy.size();
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

// splitmix64: the standard's distributions differ between libraries.
class generator {
 public:
  explicit generator(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(next() % n); }

 private:
  std::uint64_t state_;
};

// Overwrites up to width bytes, little endian.
void overwrite(bytes& data, std::size_t at, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width && at + i < data.size(); ++i) {
    data[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

void mutate(bytes& data, const bytes& other, generator& r) {
  static constexpr std::array<std::uint64_t, 12> kEdges = {
      0,      1,      0x7f,       0x80,       0xff,       0x7fff,
      0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, ~std::uint64_t{0}};
  const auto offset = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
  const std::size_t at = r.below(data.size() + 1);
  const std::size_t length = std::min(1 + r.below(64), data.size() - at);
  switch (r.below(8)) {
    case 0:  // flip a bit
      if (at < data.size()) data[at] ^= static_cast<std::uint8_t>(1u << r.below(8));
      break;
    case 1:  // random bytes
      for (std::size_t i = 0; i < length; ++i) data[at + i] = static_cast<std::uint8_t>(r.next());
      break;
    case 2:  // a value at the edge of a width
      overwrite(data, at, kEdges[r.below(kEdges.size())], std::size_t{1} << r.below(4));
      break;
    case 3:  // a small change of a 32-bit field
      if (data.size() - at >= 4) {
        std::uint64_t value = 0;
        for (std::size_t i = 4; i-- > 0;) value = value << 8 | data[at + i];
        overwrite(data, at, value + r.below(33) - 16, 4);
      }
      break;
    case 4:  // cut the end
      data.resize(at);
      break;
    case 5:  // remove a piece
      data.erase(data.begin() + offset(at), data.begin() + offset(at + length));
      break;
    case 6: {  // double a piece
      const bytes piece(data.begin() + offset(at), data.begin() + offset(at + length));
      data.insert(data.begin() + offset(r.below(data.size() + 1)), piece.begin(), piece.end());
      break;
    }
    default: {  // end as another file of the corpus does
      const std::size_t from = std::min(at, other.size());
      data.resize(at);
      data.insert(data.end(), other.begin() + offset(from), other.end());
      break;
    }
  }
  if (data.size() > kMaxBytes) data.resize(kMaxBytes);
}

bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<bytes> read_corpus(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  if (fs::is_regular_file(path)) paths.push_back(path);
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());  // folders are listed in any order
  std::vector<bytes> corpus;
  corpus.reserve(paths.size());
  for (const auto& p : paths) corpus.push_back(read_file(p));
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s CORPUS ITERATIONS SEED\n", argv[0]);
    return 2;
  }
  crash_file = std::filesystem::path(argv[0]).filename().string() + ".crash";
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    std::signal(signal, save_input);

  std::vector<bytes> corpus = read_corpus(argv[1]);
  const std::size_t files = corpus.size();
  corpus.emplace_back();  // the empty input is always one
  for (const auto& input : corpus) run(input);

  const std::uint64_t iterations = std::strtoull(argv[2], nullptr, 10);
  generator r(std::strtoull(argv[3], nullptr, 10));
  for (std::uint64_t i = 0; i < iterations; ++i) {
    bytes input = corpus[r.below(corpus.size())];
    const bytes& other = corpus[r.below(corpus.size())];
    for (std::size_t n = 1 + r.below(4); n > 0; --n) mutate(input, other, r);
    run(input);
  }
  std::printf("%zu files and %llu mutations\n", files, static_cast<unsigned long long>(iterations));
  return 0;
}
