#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include <levin/framework/parameter_server/server_address.h>
#include <levin/framework/parameter_server/server_table.h>
#include <levin/framework/parameter_server/server_values.h>
#include <levin/framework/parameter_server/server_wire.h>

namespace levin::test {

using Numbers = std::vector<double>;

/// Adds what is pushed to the values of a table whose rows have `width` numbers.
inline ServerTable::Apply adding(int64_t width = 1) {
  return [width](ServerSpan values, std::span<const ServerGradient> gradients) {
    for (const auto& gradient : gradients) add_gradient(values, width, gradient);
  };
}

/// A connection to a parameter server that sends any bytes.
class Stranger {
 public:
  explicit Stranger(uint16_t port) : socket_(connect_to({.port = port}, 60.0)) {}
  void send(std::string_view bytes) { send_all(socket_, bytes.data(), bytes.size()); }
  void send(const ServerRequest& request) { send_all(socket_, &request, sizeof(request)); }
  /// Waits until the server has closed the connection; whether it sent nothing before.
  bool is_refused() {
    ::shutdown(socket_.get(), SHUT_WR);
    char byte = 0;
    return !receive_all(socket_, &byte, 1);
  }
  ServerAnswer answer() {
    ServerAnswer answer;
    EXPECT_TRUE(receive_all(socket_, &answer, sizeof(answer)));
    return answer;
  }
  /// Joins as a worker.
  void join(int64_t worker, std::string_view token) {
    send({.worker = worker, .count = static_cast<int64_t>(token.size())});
    send(token);
    ServerDescription description;
    EXPECT_TRUE(receive_all(socket_, &description, sizeof(description)));
    EXPECT_TRUE(is_valid(description));
  }

 private:
  Descriptor socket_;
};

}  // namespace levin::test
