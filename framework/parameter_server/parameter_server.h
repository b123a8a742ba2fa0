#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include <levin/framework/launch/descriptor.h>
#include <levin/framework/parameter_server/parameter_client.h>
#include <levin/framework/parameter_server/server_address.h>
#include <levin/framework/parameter_server/server_table.h>
#include <levin/framework/parameter_server/server_wire.h>

namespace levin {

/// Holds a part of the parameters of a run, in float32 or float64. Workers pull them, and push
/// gradients, over TCP.
///
///     ParameterServer server({.workers = 2, .rows = 10, .token = token}, values, apply);
///     ParameterClient client({server.address()}, worker, token);    // in another process
///     client.push(gradient);
///     client.pull(values);
///
/// With staleness 0, `apply` gets the gradients of all workers together, in the order of the
/// workers, when the last one has come, so that the result has the same bits in each run. Otherwise
/// it gets each gradient when it has arrived. It is called once for each round or gradient, also if
/// the gradients have no rows here. Gradients are never applied in part, and count on all servers
/// of a table or on none: a worker that dies while it pushes leaves nothing behind.
///
/// If a worker is lost, options.on_lost_worker says what happens; if a server is, the calls of all
/// workers fail and name it. A server that is started anew has the values that it is given: those
/// of the last checkpoint.
///
/// Messages are checked against the number of rows before memory is allocated, and a connection
/// that sends anything else is closed.
class ParameterServer {
 public:
  using Apply = ServerTable::Apply;

  /// `values`, [rows * width], are the first ones, and say the type. `apply` changes the values by
  /// gradients; a thread of the server calls it, always the same one, and it must not throw. Throws
  /// DistributedError if the port can't be opened, and ConfigError for options that are out of
  /// range.
  ParameterServer(ParameterServerOptions options, ConstServerSpan values, Apply apply);
  /// Closes all connections.
  ~ParameterServer();
  ParameterServer(const ParameterServer&) = delete;
  ParameterServer& operator=(const ParameterServer&) = delete;

  const ServerAddress& address() const { return address_; }
  uint16_t port() const { return address_.port; }
  /// A copy of the values as they are now: if there are several servers, without gradients of which
  /// this one hasn't learned yet that they count. It learns that with the next request of a worker,
  /// and when all workers have left. Throws ConfigError if they are of the other type.
  template <class T = double>
  std::vector<T> values() {
    std::vector<T> copy;
    with_values([&](ServerSpan values) {
      const auto numbers = values.as<T>();
      copy.assign(numbers.begin(), numbers.end());
    });
    return copy;
  }
  /// Calls `work` with the values while no gradient is applied; it may change them.
  void with_values(const std::function<void(ServerSpan)>& work) { table_.with_values(work); }
  /// The worker that was lost first, if one was.
  std::optional<int64_t> failed_worker() const;
  /// All workers that were lost, in that order.
  std::vector<int64_t> lost_workers() const { return table_.lost_workers(); }
  /// The bytes that the server has received from workers, and sent to them.
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  struct Connection {
    Descriptor socket;
    std::thread thread;
    bool is_over = false;
  };

  void accept_workers();
  void remove_ended();
  void serve(Connection& connection);
  void heed_last_report(const Descriptor& socket, int64_t worker);
  bool greet(const Descriptor& socket, const ServerRequest& hello);
  bool answer(const Descriptor& socket, const ServerRequest& request);
  bool commit(const Descriptor& socket, int64_t worker);
  bool take_gradient(const Descriptor& socket, const ServerRequest& request);
  bool answer_pull(const Descriptor& socket, const ServerRequest& request);
  bool receive_clocks(const Descriptor& socket, std::vector<int64_t>& clocks);
  bool receive_rows(const Descriptor& socket, const ServerRequest& request,
                    std::vector<int64_t>& rows);
  bool receive(const Descriptor& socket, void* to, size_t bytes);
  bool send(const Descriptor& socket, const void* from, size_t bytes);
  bool send_status(const Descriptor& socket);

  ServerTable table_;
  ServerDescription description_;
  ServerAddress address_;
  Descriptor listener_;
  Pipe stop_;
  std::atomic<uint64_t> bytes_received_{0};
  std::atomic<uint64_t> bytes_sent_{0};
  std::mutex mutex_;
  bool is_stopping_ = false;
  std::list<Connection> connections_;
  std::thread accepting_;  // last: it uses the others
};

}  // namespace levin
