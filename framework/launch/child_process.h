#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace levin {

class SupervisorSignals;

/// A program to start as a child process.
struct ChildCommand {
  /// The program's file. PATH is not searched; see find_program.
  std::string path;
  /// The program's arguments, beginning with its own name (`argv[0]`).
  std::vector<std::string> arguments;
  /// The child's whole environment, each entry as NAME=VALUE. Nothing is inherited.
  std::vector<std::string> environment;
  /// The file descriptors that become the child's stdin, stdout and stderr. With -1 the child
  /// shares that stream with this process. The caller keeps ownership and may close them
  /// afterwards.
  int input = -1;
  int output = -1;
  int error = -1;
};

/// How a child process ended.
struct ChildEnd {
  /// True if a signal ended the process, false if it returned an exit status.
  bool by_signal = false;
  /// The number of the signal or the exit status, depending on `by_signal`.
  int code = 0;

  /// The status that a shell would report: the exit status, or 128 plus the number of the signal.
  int exit_status() const { return by_signal ? 128 + code : code; }
};

/// Starts the program and returns its process id without waiting for the program to end.
///
/// The child leads a process group of its own, so that signal_group also reaches the processes that
/// it starts. The kernel kills the child if the calling thread ends first, so call this on a thread
/// that outlives the child. The child's signal actions are those that `signals` replaced. Other
/// threads may be doing anything meanwhile: between fork and exec the child only makes
/// async-signal-safe calls.
///
/// Throws DistributedError if the program can't be started.
pid_t start_child(const ChildCommand& command, const SupervisorSignals& signals);

/// Returns how the child ended, or nothing if it is still running. Doesn't wait.
///
/// Once the child has ended, the processes left in its group are killed and the child's process id
/// is released, so don't call this again for the same child.
std::optional<ChildEnd> end_of_child(pid_t child);

/// Sends `signal` to the child and to the processes in its group.
void signal_group(pid_t child, int signal);

/// Returns the file of `program`: a name with a slash as it is, any other name as found in PATH.
/// Throws DistributedError if no folder of PATH has an executable file of that name.
std::string find_program(const std::string& program);

/// Returns the program and the arguments of this process, without environment. If the program's
/// file was replaced or deleted before this call, the path is /proc/self/exe, which still leads to
/// the running program.
ChildCommand own_command();

}  // namespace levin
