// Runs the program skv and says how it ended.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace skv::test {

struct outcome {
  int status = -1;  ///< exit status; -1 if a signal ended it
  int signal = 0;
  std::string out, err;
};

/// A running program, with its outputs in files without a name.
class process {
 public:
  explicit process(const std::vector<std::string>& arguments)
      : out_(std::tmpfile()), err_(std::tmpfile()) {
    std::vector<const char*> argv{SKV_PROGRAM};
    for (const auto& a : arguments) argv.push_back(a.c_str());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ == 0) {
      ::dup2(::fileno(out_), STDOUT_FILENO);
      ::dup2(::fileno(err_), STDERR_FILENO);
      ::execv(SKV_PROGRAM, const_cast<char**>(argv.data()));
      ::_exit(127);
    }
  }
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  ~process() {
    std::fclose(out_);
    std::fclose(err_);
  }

  void send(int signal) const { ::kill(pid_, signal); }
  outcome wait() {
    int how = 0;
    ::waitpid(pid_, &how, 0);
    outcome o;
    if (WIFEXITED(how)) o.status = WEXITSTATUS(how);
    if (WIFSIGNALED(how)) o.signal = WTERMSIG(how);
    o.out = text_of(out_);
    o.err = text_of(err_);
    return o;
  }

 private:
  static std::string text_of(std::FILE* file) {
    std::rewind(file);
    std::string text;
    for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
    return text;
  }

  std::FILE *out_, *err_;
  ::pid_t pid_ = -1;
};

inline outcome run_program(const std::vector<std::string>& arguments) {
  return process(arguments).wait();
}

}  // namespace skv::test
