#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <levin/framework/parameter_server/server_clock.h>
#include <levin/framework/parameter_server/server_gradient.h>
#include <levin/framework/parameter_server/server_memory.h>
#include <levin/framework/parameter_server/server_options.h>
#include <levin/framework/parameter_server/server_values.h>
#include <levin/framework/parameter_server/server_wire.h>

namespace levin {

/// The values of a server, the gradients that wait to be applied, and a thread that applies them.
/// Its functions are called by the threads of connections, each of which serves one worker.
///
/// Values are changed in place if no worker reads them, otherwise in a copy, so that readers hold
/// no lock and hold up nobody, and see only whole gradients.
class ServerTable {
 public:
  using Apply = std::function<void(ServerSpan values, std::span<const ServerGradient>)>;
  /// Whether the worker that a call works for has gone.
  using IsGone = std::function<bool()>;

  /// What a worker reads; releases it when destroyed.
  class Reading {
   public:
    Reading(ServerTable& table, std::shared_ptr<ServerMemory> memory)
        : table_(table), memory_(std::move(memory)) {}
    ~Reading();
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    /// [rows, width]; none if the answer's status isn't 0.
    ConstServerSpan values{};
    ServerAnswer answer{};
    /// How many gradients of each worker the values have.
    std::vector<int64_t> clocks{};

   private:
    ServerTable& table_;
    std::shared_ptr<ServerMemory> memory_;
  };

  /// Copies `values`, [rows, width]. Throws ConfigError for options that are out of range.
  ServerTable(ParameterServerOptions options, ConstServerSpan values, Apply apply);
  ~ServerTable();
  ServerTable(const ServerTable&) = delete;
  ServerTable& operator=(const ServerTable&) = delete;

  const ParameterServerOptions& options() const { return options_; }
  ServerDescription description() const;

  /// Takes note of gradients that count on the first server. Returns false if the worker can't have
  /// learned that.
  bool learn(std::span<const int64_t> clocks);
  /// Gives a gradient memory for `count` rows of values. Waits while too many gradients of its
  /// worker wait to be applied; false if the worker has gone or the server ends.
  bool prepare(ServerGradient& gradient, const IsGone& is_gone);
  /// Keeps a gradient whose values have arrived, until it counts.
  void stage(ServerGradient gradient, const ServerFlags& flags);
  /// Makes all staged gradients of a worker count.
  void commit(int64_t worker);
  /// Waits until the worker may read, and the values have its own gradients and those that `clocks`
  /// tells, which are empty on the first server. Null if the worker has gone or the server ends.
  std::unique_ptr<Reading> read(int64_t worker, std::span<const int64_t> clocks,
                                const IsGone& is_gone);
  /// An answer that only has a status.
  ServerAnswer status() const;
  /// How many gradients of each worker the values have.
  std::vector<int64_t> clocks() const;

  /// Lets a worker in, once. False if it has been there.
  bool join(int64_t worker);
  void leave(int64_t worker);
  /// Does as the options say with a worker whose connection has ended.
  void lose(int64_t worker);
  /// Makes the calls of all workers fail with a status, unless they do already.
  void fail(int64_t status);
  /// Wakes up whoever waits; all calls return.
  void stop();

  /// Calls `work` with the values while no gradient is applied; it may change them.
  void with_values(const std::function<void(ServerSpan)>& work);
  /// The workers that were lost, in that order.
  std::vector<int64_t> lost_workers() const;

 private:
  struct Staged {
    ServerGradient gradient;
    ServerFlags flags;
    std::shared_ptr<ServerMemory> memory;
  };
  /// What one worker has done.
  struct Worker {
    bool has_joined = false;
    int64_t staged = 0;   // how many gradients have arrived
    int64_t counted = 0;  // of these, how many count
    int64_t applied = 0;
    std::deque<Staged> waiting{};
    std::shared_ptr<ServerMemory> prepared{};  // for the gradient that arrives
    std::shared_ptr<ServerMemory> pulled{};    // with delay compensation
  };

  Worker& of(int64_t worker) { return workers_[static_cast<size_t>(worker)]; }
  bool is_in_step() const { return options_.staleness == 0; }
  bool is_first() const { return options_.server == 0; }
  /// How many gradients of one worker may wait. The other servers learn one request later than the
  /// first which of them count, and the one that the first is applying doesn't count yet, nor waits
  /// there any more. So they take two more, and never wait for what they can't learn.
  size_t most_waiting() const { return is_first() ? 2 : 4; }
  std::vector<int64_t> locked_clocks() const;
  size_t table_bytes() const { return count_ * static_cast<size_t>(type_); }
  ServerSpan view(const ServerMemory& memory) const { return {type_, memory.data(), count_}; }
  bool wait_for(std::unique_lock<std::mutex>& lock, const IsGone& is_gone,
                const std::function<bool()>& holds);
  bool may_read(int64_t worker, std::span<const int64_t> clocks) const;
  void wait_no_longer_for(int64_t worker);
  std::vector<Staged> take_ready();
  void apply_gradients();
  std::shared_ptr<ServerMemory> begin_change(std::shared_ptr<ServerMemory>& source);
  void apply(ServerSpan values, std::vector<Staged>& ready,
             std::span<const std::shared_ptr<ServerMemory>> pulled);
  void account(const std::vector<Staged>& ready);

  ParameterServerOptions options_;
  Apply apply_;
  ServerType type_;
  size_t count_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  ServerMemoryPool tables_;
  ServerMemoryPool gradients_;
  std::shared_ptr<ServerMemory> published_;  // null while it is changed in place
  bool is_changing_ = false;
  bool is_stopping_ = false;
  ServerClock clock_;
  std::vector<Worker> workers_;
  size_t next_worker_ = 0;  // whose gradient comes next, if workers aren't in step
  ServerAnswer answer_;
  std::vector<int64_t> lost_;
  std::thread applying_;  // last: it uses the others
};

}  // namespace levin
