#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <framework/eventually.h>
#include <framework/free_port.h>
#include <framework/temporary_folder.h>
#include <levin/serving/redis/redis_connection.h>

namespace levin::test {

/// A real redis-server on a free port of 127.0.0.1, without persistence. It ends with the test.
class RedisServer {
 public:
  /// Whether this machine has redis-server.
  static bool is_installed() {
    return std::system("command -v redis-server > /dev/null 2>&1") == 0;  // NOLINT
  }

  RedisServer() : port_(free_port()) { start(); }
  ~RedisServer() { kill(); }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  void start() {
    const std::string port = std::to_string(port_);
    const std::string log = (folder_ / "log").string();
    const std::string folder = folder_.string();
    process_ = ::fork();
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::execlp("redis-server", "redis-server", "--port", port.c_str(), "--bind", "127.0.0.1",
               "--save", "", "--appendonly", "no", "--dir", folder.c_str(), "--logfile",
               log.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    if (!eventually([this] { return answers(); })) {
      throw std::runtime_error("redis-server doesn't start: " + read_file(folder_ / "log"));
    }
  }
  /// Ends it at once; what it held is gone.
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

  int port() const { return port_; }
  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_) + "/0"; }
  RedisReply ask(const RedisConnection::Arguments& arguments) const {
    RedisConnection redis(parse_redis_url(url()));
    redis.open();
    return redis.ask(arguments);
  }
  /// What redis-cli prints.
  std::string cli(const std::string& arguments) const {
    const std::string command = "redis-cli -p " + std::to_string(port_) + " " + arguments + " 2>&1";
    std::FILE* const pipe = ::popen(command.c_str(), "re");
    std::string text;
    char buffer[4096];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
      text.append(buffer, got);
    }
    ::pclose(pipe);
    return text;
  }

 private:
  bool answers() const {
    try {
      return ask({"PING"}).text == "PONG";
    } catch (const RedisLost&) {
      return false;
    }
  }

  TemporaryFolder folder_;
  int port_;
  pid_t process_ = 0;
};

}  // namespace levin::test
