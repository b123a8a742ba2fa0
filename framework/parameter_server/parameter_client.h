#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <levin/framework/launch/descriptor.h>
#include <levin/framework/parameter_server/server_address.h>
#include <levin/framework/parameter_server/server_values.h>
#include <levin/framework/parameter_server/server_wire.h>

namespace levin {

/// A worker's connections to the ParameterServers that hold a table together. For one thread.
///
///     ParameterClient client(addresses, worker, token);
///     client.pull(weights);
///     client.push(gradient, rows_of_the_gradient, {.weight = 32});
///
/// Rows are numbered through the whole table; those of the first server come first. Requests go to
/// all servers at the same time. Views must have the type of the servers.
///
/// Each call throws DistributedError if a server can't be reached any more, which the message
/// names, or with the name of a worker that has failed. So do all calls after that. A client that
/// is destroyed by an exception doesn't say that it leaves, so its worker counts as lost.
class ParameterClient {
 public:
  /// What is pushed beside a gradient: see ServerAnswer for what comes of it.
  struct Beside {
    double weight = 1.0;
    ServerFlags flags{};
  };

  /// Connects to the servers, in their order. Throws DistributedError if one can't be reached
  /// within a minute, doesn't accept the worker, or isn't the server of that place.
  ParameterClient(const std::vector<ServerAddress>& servers, int64_t worker,
                  const std::string& token);
  /// Connects to a single server of this host.
  ParameterClient(uint16_t port, int64_t worker, const std::string& token)
      : ParameterClient({{.port = port}}, worker, token) {}
  /// Leaves.
  ~ParameterClient();
  ParameterClient(const ParameterClient&) = delete;
  ParameterClient& operator=(const ParameterClient&) = delete;

  /// The table that the servers hold together: [rows, width].
  int64_t rows() const { return first_rows_.back(); }
  int64_t width() const { return servers_.front().description.width; }
  ServerType type() const { return static_cast<ServerType>(servers_.front().description.type); }
  int64_t workers() const { return servers_.front().description.workers; }
  /// The first row of each server, and behind them `rows`.
  std::span<const int64_t> first_rows() const { return first_rows_; }

  /// Sends a gradient, [rows, width], of all rows or of some, and returns when the servers have
  /// received it. With staleness 0, it counts for the next round. Throws ConfigError if rows or
  /// values don't fit the table; nothing is sent then.
  void push(ConstServerSpan values, const ServerRows& rows = {}, const Beside& beside = {1.0, {}});
  /// Receives values, [rows, width]. Waits for slower workers, as the servers' staleness says. The
  /// values have all gradients that this worker has pushed. Throws as `push` does.
  ServerAnswer pull(ServerSpan values, const ServerRows& rows = {});
  /// Tells the servers that this worker takes part no more. No other call may follow.
  void leave();

  /// The bytes that this client has sent to the servers, and received from them.
  uint64_t bytes_sent() const { return bytes_sent_; }
  uint64_t bytes_received() const { return bytes_received_; }

 private:
  struct Server {
    ServerAddress address;
    Descriptor socket;
    ServerDescription description;
    ServerRequest request;
    ServerAnswer answer;
    /// The part of a request that is this server's: which rows, and where their values are.
    std::vector<int64_t> rows{};
    size_t first_value = 0;
    /// What is still to be sent and received.
    std::vector<iovec> to_send{};
    std::vector<iovec> to_receive{};
  };

  void join(Server& server, size_t number, const std::string& token);
  void divide(const ServerRows& rows, ServerRequest::Kind kind, size_t values, ServerType type);
  void divide_list(std::span<const int64_t> rows);
  void divide_slice(int64_t first, int64_t count);
  size_t values_of(const Server& server) const;
  void add_head(Server& server);
  void exchange(std::span<Server> servers);
  void exchange_with_one(Server& server);
  void check_answers(std::span<const Server> servers);
  void report(int64_t status);
  [[noreturn]] void fail_of(size_t server);
  [[noreturn]] void fail(std::string message);

  int64_t worker_;
  int exceptions_;  // on the way when the client was made
  bool has_left_ = false;
  std::string failure_;  // what a call has thrown
  std::vector<Server> servers_;
  std::vector<int64_t> first_rows_{0};
  std::vector<int64_t> clocks_;  // how many gradients of each worker count, as far as it is known
  uint64_t bytes_sent_ = 0;
  uint64_t bytes_received_ = 0;
};

/// The first row of each of `servers` servers that divide `rows` rows evenly, and behind them
/// `rows`: the first rows % servers ones have one more.
std::vector<int64_t> divided_rows(int64_t rows, int64_t servers);

}  // namespace levin
