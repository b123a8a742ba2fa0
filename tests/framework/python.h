#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace levin::test {

/// The Python that runs the scripts of tests/baselines; empty if there is none.
inline std::string python() {
  if (const char* given = std::getenv("LEVIN_PYTHON")) return given;
  const std::string own = std::string(LEVIN_SOURCE_DIR) + "/.deps/python/bin/python";
  return std::filesystem::exists(own) ? own : std::string();
}

struct PythonResult {
  int status = 77;  // skipped, because there is no Python or it lacks a package
  std::string output{};
};

/// Runs a script of tests/baselines with these arguments.
inline PythonResult run_python(const std::string& script,
                               const std::vector<std::string>& arguments) {
  PythonResult result;
  if (python().empty()) return result;
  std::string command = "\"" + python() + "\" -B \"" LEVIN_SOURCE_DIR "/tests/baselines/" + script;
  for (const auto& argument : arguments) command += "\" \"" + argument;
  std::FILE* pipe = ::popen((command + "\"").c_str(), "r");
  if (pipe == nullptr) return {1, "popen failed"};
  char buffer[4096];
  for (size_t got = 0; (got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    result.output.append(buffer, got);
  }
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  return result;
}

}  // namespace levin::test
