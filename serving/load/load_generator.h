#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <levin/serving/load/latency_histogram.h>
#include <levin/serving/load/load_socket.h>

namespace levin {

/// How a server is loaded.
struct LoadPlan {
  /// Whole HTTP requests, head and body, which are sent in turn. At least one.
  std::vector<std::string> requests{};
  /// Connections that stay open, each of which has at most one request under way.
  int64_t connections = 8;
  /// Requests a second. 0 is a closed loop: each connection sends a request when its last one is
  /// answered, so a slow server gets fewer requests.
  double rate = 0.0;
  /// Whether requests come at random as from many independent clients, or at equal intervals.
  bool is_poisson = true;
  /// Seconds before the measurement begins, and those that it lasts.
  double warmup = 1.0;
  double seconds = 10.0;
  /// Seconds after which a request counts as unanswered and its connection is closed.
  double timeout = 10.0;
  uint64_t seed = 0;
};

/// What became of the requests that were due during the measurement. Each of them is in exactly one
/// of answered, refused, failed, broken, expired and unfinished.
struct LoadResult {
  int64_t requests = 0;
  /// Status 200 to 299; 429 (the server has too much to do); any other status.
  int64_t answered = 0;
  int64_t refused = 0;
  int64_t failed = 0;
  /// The connection ended before the response; no response within the timeout.
  int64_t broken = 0;
  int64_t expired = 0;
  /// Requests under way when the load was stopped before its time.
  int64_t unfinished = 0;
  /// Responses by status.
  std::map<int, int64_t> statuses{};
  /// Of answered requests, in an open loop from the time at which a request was due: if the server
  /// stalls, those that couldn't be sent meanwhile have waited, too (no coordinated omission).
  LatencyHistogram latency{};
  /// The same from the time at which a request was really sent, as a naive client measures it.
  LatencyHistogram service{};
  /// Seconds of the measurement, and answers a second that came during it.
  double seconds = 0.0;
  double throughput = 0.0;
  /// Connections that were made again, and why a connection failed last.
  int64_t reconnects = 0;
  std::string problem{};
  /// The share of one core that the generator used, without what it waited awake. Near 1, the
  /// figures are those of the generator, not of the server.
  double generator_load = 0.0;
  bool is_interrupted = false;

  /// Requests that got no answer they could use.
  int64_t errors() const { return failed + broken + expired; }
};

/// Loads a server from one thread. `is_stopped` is asked about every 50 ms, and ends the load with
/// the result so far. Throws DataError if the server can't be reached at the start or doesn't speak
/// HTTP.
LoadResult run_load(const LoadTarget& target, const LoadPlan& plan,
                    const std::function<bool()>& is_stopped = {});

}  // namespace levin
