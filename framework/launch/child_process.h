#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace levin {

class SupervisorSignals;

/// A program to start. Descriptors that are -1 are this process's own.
struct ChildCommand {
  std::string path;
  std::vector<std::string> arguments;    // the program's name first
  std::vector<std::string> environment;  // NAME=VALUE
  int input = -1;
  int output = -1;
  int error = -1;
};

/// How a process ended.
struct ChildEnd {
  bool by_signal = false;
  int code = 0;  // the exit status, or the signal

  /// As a shell has it: 128 + the signal.
  int exit_status() const { return by_signal ? 128 + code : code; }
};

/// Starts the program in a process group of its own; it is killed where this process (the thread
/// that called) ends before it. Only async-signal-safe calls are made in the new process, so other
/// threads may be at anything. Throws DistributedError where the program can't be started.
pid_t start_child(const ChildCommand& command, const SupervisorSignals& signals);

/// How the process ended, or nothing while it runs. What it left behind in its process group is
/// killed first.
std::optional<ChildEnd> end_of_child(pid_t child);

/// Sends the signal to the process and what it started in its group.
void signal_group(pid_t child, int signal);

/// The file that `program` names: as it stands where it has a slash, else looked for in PATH.
/// Throws DistributedError where there is none.
std::string find_program(const std::string& program);

/// This process's own program and arguments.
ChildCommand own_command();

}  // namespace levin
