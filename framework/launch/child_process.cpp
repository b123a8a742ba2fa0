#include <levin/framework/launch/child_process.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/launch/descriptor.h>
#include <levin/framework/launch/supervisor_signals.h>

namespace levin {
namespace {

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const auto& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// Everything the new process needs. It is prepared before the fork, because the new process may
/// not allocate memory.
struct Prepared {
  const ChildCommand& command;
  const SupervisorSignals& signals;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  sigset_t mask;
  pid_t parent;
  int report;  // the pipe that receives errno if the program can't be started
};

bool redirect(int from, int to) { return from < 0 || ::dup2(from, to) == to; }

/// Runs in the new process, so it may only make async-signal-safe calls.
[[noreturn]] void become(const Prepared& child) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != child.parent) ::_exit(127);  // the parent ended before the call of prctl
  child.signals.restore_actions();
  // The terminal belongs to another process group. Without these, using it would stop this process.
  ::signal(SIGTTIN, SIG_IGN);
  ::signal(SIGTTOU, SIG_IGN);
  ::sigprocmask(SIG_SETMASK, &child.mask, nullptr);
  const ChildCommand& command = child.command;
  if (redirect(command.input, 0) && redirect(command.output, 1) && redirect(command.error, 2)) {
    ::execve(command.path.c_str(), child.arguments.data(), child.environment.data());
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(child.report, &error, sizeof(error));
  ::_exit(127);
}

/// Returns the errno value with which starting the program failed, or 0 if it was started.
int wait_for_start(const Descriptor& report) {
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(report.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(error) ? error : 0;
}

[[noreturn]] void fail(const std::string& path, int error) {
  throw DistributedError(fmt::format("the launcher can't start the ranks' program '{}': {}", path,
                                     std::strerror(error)));
}

}  // namespace

pid_t start_child(const ChildCommand& command, const SupervisorSignals& signals) {
  Pipe report = Pipe::open();
  if (!report.write.is_open()) fail(command.path, errno);
  Prepared prepared{command,
                    signals,
                    pointers_to(command.arguments),
                    pointers_to(command.environment),
                    {},
                    ::getpid(),
                    report.write.get()};
  sigset_t all;
  sigfillset(&all);
  // The new process still has the supervisor's signal handlers; no signal may run them there.
  ::pthread_sigmask(SIG_SETMASK, &all, &prepared.mask);
  const pid_t child = ::fork();
  if (child == 0) become(prepared);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &prepared.mask, nullptr);
  if (child < 0) fail(command.path, error);
  report.write.close();
  if (const int reason = wait_for_start(report.read)) {
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    fail(command.path, reason);
  }
  return child;
}

std::optional<ChildEnd> end_of_child(pid_t child) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  signal_group(child, SIGKILL);  // before waitpid frees the group's number for reuse
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ChildEnd{.by_signal = info.si_code != CLD_EXITED, .code = info.si_status};
}

void signal_group(pid_t child, int signal) { ::kill(-child, signal); }

std::string find_program(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const auto file = std::filesystem::path(end == 0 ? "." : rest.substr(0, end)) / program;
    if (::access(file.c_str(), X_OK) == 0) return file.string();
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  throw DistributedError(
      fmt::format("the launcher can't find the ranks' program '{}' in any folder of PATH; give its "
                  "path, as in ./{}",
                  program, program));
}

ChildCommand own_command() {
  ChildCommand command;
  std::error_code code;
  command.path = std::filesystem::read_symlink("/proc/self/exe", code).string();
  // If the file was replaced or deleted (a rebuild), this name still leads to the running program.
  if (code || !std::filesystem::exists(command.path, code)) command.path = "/proc/self/exe";
  std::string_view rest;
  const std::string line = files::read_text("/proc/self/cmdline");
  for (rest = line; !rest.empty();) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    command.arguments.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return command;
}

}  // namespace levin
