#include <levin/framework/provenance/git_state.h>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/files.h>

extern char** environ;

namespace levin {
namespace {

constexpr size_t kMostAnswer = size_t{1} << 16;  // more lines only say again that files changed

/// The environment of this process, without variables that lead git to another repository, and with
/// one that keeps it from writing.
std::vector<std::string> environment_for_git() {
  std::vector<std::string> variables = {"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0"};
  for (char** each = environ; *each != nullptr; ++each) {
    if (!std::string_view(*each).starts_with("GIT_")) variables.emplace_back(*each);
  }
  return variables;
}

std::vector<char*> string_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Starts git with its output in `output`; -1 if that fails.
pid_t start_git(const std::filesystem::path& folder, int output) {
  std::vector<std::string> arguments = {"git",
                                        "-C",
                                        folder.empty() ? "." : folder.string(),
                                        "-c",
                                        "core.fsmonitor=false",
                                        "status",
                                        "--porcelain=v2",
                                        "--branch",
                                        "--untracked-files=no"};
  std::vector<std::string> variables = environment_for_git();
  const auto argv = string_pointers(arguments);
  const auto envp = string_pointers(variables);
  ::posix_spawn_file_actions_t actions;
  if (::posix_spawn_file_actions_init(&actions) != 0) return -1;
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, "git", &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? child : -1;
}

/// Reads what arrives until the other side closes the pipe; nothing if that takes longer than
/// `seconds`.
std::optional<std::string> read_answer(int pipe, double seconds) {
  const double end = files::monotonic_seconds() + seconds;
  std::string answer;
  std::array<char, 4096> piece{};
  while (true) {
    const double left = end - files::monotonic_seconds();
    if (left <= 0) return std::nullopt;
    struct ::pollfd wait {
      .fd = pipe, .events = POLLIN, .revents = 0
    };
    const int ready = ::poll(&wait, 1, static_cast<int>(std::min(left, 60.0) * 1e3) + 1);
    if (ready < 0 && errno != EINTR) return std::nullopt;
    if (ready <= 0) continue;
    const ssize_t count = ::read(pipe, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;
    if (count == 0) return answer;
    const size_t room = kMostAnswer - answer.size();
    answer.append(piece.data(), std::min(static_cast<size_t>(count), room));
  }
}

std::optional<GitState> parse_answer(std::string_view answer) {
  constexpr std::string_view kCommit = "# branch.oid ";
  GitState state;
  while (!answer.empty()) {
    const size_t end = std::min(answer.find('\n'), answer.size());
    const auto line = answer.substr(0, end);
    if (line.starts_with(kCommit)) state.commit = line.substr(kCommit.size());
    if (!line.empty() && line.front() != '#') state.is_changed = true;
    answer.remove_prefix(std::min(end + 1, answer.size()));
  }
  const bool is_commit = state.commit.size() >= 40 &&
                         state.commit.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_commit) return std::nullopt;
  return state;
}

}  // namespace

std::optional<GitState> git_state(const std::filesystem::path& folder, double seconds) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::nullopt;
  const pid_t child = start_git(folder, pipe[1]);
  ::close(pipe[1]);
  std::optional<std::string> answer;
  if (child > 0) {
    answer = read_answer(pipe[0], seconds);
    if (!answer) ::kill(child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) answer.reset();
  }
  ::close(pipe[0]);
  return answer ? parse_answer(*answer) : std::nullopt;
}

Value to_value(const std::optional<GitState>& state) {
  if (!state) return {};
  return Value::Object{{"commit", state->commit}, {"changed", state->is_changed}};
}

}  // namespace levin
