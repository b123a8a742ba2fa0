#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <levin/framework/launch/descriptor.h>
#include <levin/framework/parameter_server/server_clock.h>
#include <levin/framework/parameter_server/server_wire.h>

namespace levin {

/// What a worker has pushed: the gradient of all rows, or of some.
struct ServerGradient {
  int64_t worker = 0;
  /// The numbers of the rows, ascending; empty if `values` has all rows.
  std::vector<int64_t> rows{};
  /// [rows, width].
  std::vector<double> values{};
};

/// Options of ParameterServer.
struct ParameterServerOptions {
  int64_t workers = 1;
  /// How many pushes a worker may be ahead of the slowest one: see ServerClock.
  int64_t staleness = 0;
  /// The parameters of this server: `rows` rows of `width` numbers each.
  int64_t rows = 0;
  int64_t width = 1;
  /// A text of 1 to 64 bytes that only the ranks of the run know.
  std::string token{};
};

/// Holds a part of the parameters of a run in float64. Workers pull them, and push gradients, over
/// TCP.
///
///     ParameterServer server({.workers = 2, .rows = 10, .token = token}, values, apply);
///     ParameterClient client(server.port(), worker, token);    // in another process
///     client.push(gradient);
///     client.pull(values);
///
/// With staleness 0, `apply` gets the gradients of all workers together, in the order of the
/// workers, when the last one has come, so that the result has the same bits in each run.
/// Otherwise it gets each gradient when it has arrived. Gradients are never applied in part: a
/// worker that dies while it pushes leaves none. If a worker's connection ends and it hasn't said
/// that it leaves, the calls of all workers fail and name it.
///
/// The port listens on the loopback interface. Messages are checked against the number of rows
/// before memory is allocated, and a connection that sends anything else is closed.
class ParameterServer {
 public:
  using Apply = std::function<void(std::span<double> values, std::span<const ServerGradient>)>;

  /// `values`, [rows * width], are the first ones. `apply` changes the values by gradients; one
  /// thread at a time calls it, and it must not throw. Throws DistributedError if the port can't be
  /// opened, and ConfigError for options that are out of range.
  ParameterServer(ParameterServerOptions options, std::vector<double> values, Apply apply);
  /// Closes all connections.
  ~ParameterServer();
  ParameterServer(const ParameterServer&) = delete;
  ParameterServer& operator=(const ParameterServer&) = delete;

  uint16_t port() const { return port_; }
  /// A copy of the values as they are now.
  std::vector<double> values() const;
  /// The worker that has failed, if one has.
  std::optional<int64_t> failed_worker() const;

 private:
  struct Connection {
    Descriptor socket;
    std::thread thread;
    bool is_over = false;
  };

  void accept_workers();
  void serve(Connection& connection);
  bool greet(const Descriptor& socket, const ServerRequest& hello);
  bool take_push(const Descriptor& socket, const ServerRequest& request);
  bool answer_pull(const Descriptor& socket, const ServerRequest& request);
  bool receive_rows(const Descriptor& socket, int64_t count, std::vector<int64_t>& rows) const;
  void apply_round();

  ParameterServerOptions options_;
  Apply apply_;
  Descriptor listener_;
  Pipe stop_;
  uint16_t port_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<double> values_;
  ServerClock clock_;
  std::vector<std::optional<ServerGradient>> round_;  // with staleness 0, by worker
  std::vector<bool> has_joined_;
  std::optional<int64_t> failed_;
  bool is_stopping_ = false;
  std::list<Connection> connections_;
  std::thread accepting_;  // last: it uses the others
};

/// A worker's connection to a ParameterServer. For one thread.
class ParameterClient {
 public:
  /// Connects to a server of this host. Throws DistributedError if it can't be reached or doesn't
  /// accept the worker.
  ParameterClient(uint16_t port, int64_t worker, const std::string& token);
  /// Tells the server that this worker leaves.
  ~ParameterClient();
  ParameterClient(const ParameterClient&) = delete;
  ParameterClient& operator=(const ParameterClient&) = delete;

  /// Sends a gradient, [rows, width], of all rows or of those of `rows`, which ascend; values and
  /// rows must fit the server's. With staleness 0, a worker must pull between two pushes. Throws
  /// DistributedError if the server is gone, or names the worker that has failed.
  void push(std::span<const double> values, std::optional<std::span<const int64_t>> rows = {});
  /// Receives the values of all rows, or of some. Waits for slower workers, as the server's
  /// staleness says. Throws as `push` does.
  void pull(std::span<double> values, std::optional<std::span<const int64_t>> rows = {});

 private:
  void send(ServerRequest::Kind kind, std::optional<std::span<const int64_t>> rows);
  void receive_status();

  int64_t worker_;
  Descriptor socket_;
};

}  // namespace levin
