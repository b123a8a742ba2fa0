#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include <levin/serving/redis/redis_connection.h>

#include "framework/temporary_folder.h"

// What Levin says to servers that are too old.

namespace levin::redis_version_test {

/// A server that answers one connection to PING, and with a text of its own to INFO.
class OldServer {
 public:
  explicit OldServer(std::string info)
      : info_(std::move(info)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, any, size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, any, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { answer(); });
  }
  ~OldServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  OldServer(const OldServer&) = delete;
  OldServer& operator=(const OldServer&) = delete;

  int port() const { return port_; }

 private:
  // A client waits for each answer before it asks again.
  void answer() const {
    const int connection = ::accept(listener_, nullptr, nullptr);
    char buffer[1024];
    for (ssize_t got = 0; (got = ::recv(connection, buffer, sizeof buffer, 0)) > 0;) {
      const bool is_ping =
          std::string(buffer, static_cast<size_t>(got)).find("PING") != std::string::npos;
      const std::string reply = is_ping ? "+PONG\r\n" : info_;
      if (::send(connection, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) break;
    }
    ::close(connection);
  }

  std::string info_;
  int listener_;
  int port_ = 0;
  std::thread thread_;
};

std::string version_reply(const std::string& version) {
  const std::string text = "# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n";
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

/// What is said when a server with this answer to INFO is connected to; empty if nothing is.
std::string said_to(const std::string& info) {
  const OldServer server(info);
  RedisConnection redis({.port = server.port()});
  try {
    redis.open();
    return {};
  } catch (const RedisLost& error) {
    return error.what();
  }
}

TEST(RedisVersion, a_server_without_streams_is_named_with_what_is_needed) {
  EXPECT_EQ(said_to(version_reply("4.0.14")), "it is version 4.0.14, but Levin needs 5.0 or newer");
  EXPECT_EQ(said_to(version_reply("2.8.24")), "it is version 2.8.24, but Levin needs 5.0 or newer");
}

TEST(RedisVersion, newer_servers_and_those_that_hide_it_are_taken) {
  EXPECT_EQ(said_to(version_reply("5.0.0")), "");
  EXPECT_EQ(said_to(version_reply("10.2.1")), "");
  EXPECT_EQ(said_to("-NOPERM this user has no permissions to run the 'info' command\r\n"), "");
  EXPECT_EQ(said_to("$9\r\n# Server\n\r\n"), "");
}

// What newer versions have, such as XAUTOCLAIM (6.2), LMOVE (6.2) and GETDEL (6.2), isn't used.
TEST(RedisVersion, the_commands_that_are_used_are_those_of_the_version_that_is_asked_for) {
  const std::set<std::string> known = {
      "AUTH",    "BLPOP",  "DEL",   "EVALSHA",   "EXISTS",   "GET",       "HDEL",    "HGETALL",
      "HINCRBY", "HKEYS",  "HSET",  "INFO",      "PEXPIRE",  "PING",      "PUBLISH", "RPUSH",
      "SCRIPT",  "SELECT", "SET",   "SUBSCRIBE", "TIME",     "XACK",      "XADD",    "XCLAIM",
      "XDEL",    "XGROUP", "XINFO", "XLEN",      "XPENDING", "XREADGROUP"};
  const std::regex command(R"((?:\{"|redis\.call\(')([A-Z]{3,})["'])");
  std::set<std::string> used;
  for (const auto& entry : std::filesystem::directory_iterator(LEVIN_SOURCE_DIR "/serving/redis")) {
    const std::string text = test::read_file(entry.path());
    for (std::sregex_iterator it(text.begin(), text.end(), command), end; it != end; ++it) {
      used.insert((*it)[1]);
    }
  }
  EXPECT_GT(used.size(), 20U) << "the sources have lost their form";
  for (const auto& each : used)
    EXPECT_EQ(known.count(each), 1U) << each << ": since which version?";
}

}  // namespace levin::redis_version_test
