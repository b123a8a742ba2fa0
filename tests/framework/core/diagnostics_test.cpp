#include <levin/framework/core/diagnostics.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/write_signals.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::diagnostics_test {

using test::message_of;
using test::read_file;
using test::says;
using test::TemporaryFolder;

TEST(Diagnostics, are_written_at_once) {
  const TemporaryFolder folder;
  std::FILE* file = std::fopen((folder.path() / "log").c_str(), "w");
  ASSERT_NE(file, nullptr);
  diagnostics::print(file, "epoch 1\n");
  EXPECT_EQ(read_file(folder.path() / "log"), "epoch 1\n");
  std::fclose(file);
  ::testing::internal::CaptureStderr();
  diagnostics::print("to stderr\n");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "to stderr\n");
}

TEST(Diagnostics, that_cannot_be_written_are_lost_without_an_error) {
  diagnostics::print(nullptr, "nowhere");
  if (std::FILE* full = std::fopen("/dev/full", "w")) {
    for (int i = 0; i < 3; ++i) diagnostics::print(full, "no space");
    EXPECT_EQ(std::ferror(full), 0);  // so that later prints are tried
    std::fclose(full);
  }
  std::FILE* closed = std::fopen("/dev/null", "w");
  ASSERT_NE(closed, nullptr);
  ::close(::fileno(closed));
  errno = ERANGE;
  diagnostics::print(closed, "closed");
  EXPECT_EQ(errno, ERANGE);
  std::fclose(closed);
}

TEST(Diagnostics, a_pipe_that_nobody_reads_does_not_end_the_process) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  std::FILE* pipe = ::fdopen(ends[1], "w");
  ASSERT_NE(pipe, nullptr);
  diagnostics::print(pipe, "into a broken pipe\n");  // SIGPIPE would end this test
  std::fclose(pipe);
}

TEST(WriteSignals, are_errors_of_the_write_while_an_object_exists) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  {
    const NoWriteSignals outer;
    { const NoWriteSignals inner; }
    EXPECT_EQ(::write(ends[1], "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
  }
  ::close(ends[1]);
  for (const int number : {SIGPIPE, SIGXFSZ}) {
    struct sigaction action {};
    ASSERT_EQ(::sigaction(number, nullptr, &action), 0);
    EXPECT_EQ(action.sa_handler, SIG_DFL) << number;
  }
}

TEST(WriteSignals, leave_an_action_of_the_programs_own_alone) {
  struct sigaction ignore {};
  struct sigaction before {};
  struct sigaction now {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  {
    const NoWriteSignals signals;
    ::sigaction(SIGPIPE, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_IGN);
  }
  ::sigaction(SIGPIPE, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
  ::sigaction(SIGPIPE, &before, nullptr);
}

TEST(WriteSignals, a_file_beyond_the_limit_is_an_error_that_says_so) {
  const TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto message = message_of<CheckpointError>(
      [&] { files::write_atomically(folder.path() / "file", std::string(10'000, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(says(message, {"can't write", "file", std::strerror(EFBIG)}));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

/// Runs in a process of its own, because it closes the standard descriptors. Returns 0 if all is
/// well.
int files_opened_after_closing_all() {
  for (const int descriptor : {0, 1, 2}) ::close(descriptor);
  occupy_standard_descriptors();
  const int file = ::open("/dev/null", O_WRONLY);
  if (file <= 2) return 1;
  if (::write(1, "x", 1) != -1 || errno != EBADF) return 2;
  if (::write(2, "x", 1) != -1 || errno != EBADF) return 3;
  char byte = 0;
  if (::read(0, &byte, 1) != -1 || errno != EBADF) return 4;
  diagnostics::print("lost");
  occupy_standard_descriptors();  // there is nothing left to do
  return ::open("/dev/null", O_WRONLY) == file + 1 ? 0 : 5;
}

TEST(StandardDescriptors, that_were_closed_never_become_a_file) {
  const pid_t child = ::fork();
  ASSERT_NE(child, -1);
  if (child == 0) ::_exit(files_opened_after_closing_all());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace levin::diagnostics_test
