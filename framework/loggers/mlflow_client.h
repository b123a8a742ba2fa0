#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/framework/loggers/mlflow_api.h>
#include <levin/framework/loggers/mlflow_items.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Where a run is logged.
struct MlflowTarget {
  /// The server, such as "http://localhost:5000".
  std::string uri = {};
  std::string experiment = {};
  std::string run_name = {};
  /// The header Authorization, or empty.
  std::string authorization = {};
  /// The `state_dict` of an earlier client, whose run goes on; nothing: a new run.
  std::optional<StateDict> state = {};
  /// Seconds that a request may take.
  double timeout = 10.0;
  /// Seconds after which a request that failed is sent again for the first time. Each further wait
  /// is twice as long, up to 30 seconds.
  double retry_delay = 0.5;
  /// The most things that wait to be sent.
  size_t queue_size = 100000;
};

/// Sends what a run logs to an MLflow server, from a thread of its own. Whoever logs only puts
/// things into a queue, and never waits for the server.
///
///     MlflowClient client({.uri = "http://localhost:5000", .experiment = "e", .run_name = "r"});
///     client.add_metrics({{"loss", 0.5}}, /*step=*/3);
///     client.finish(/*failed=*/false, /*timeout=*/30.0);
///
/// A request that gets no answer, or an answer that says that the server is in trouble, is sent
/// again until it succeeds; a warning says so the first time. What the server refuses is left out
/// with a warning. If the queue is full, what comes then is left out and counted.
///
/// If a process was killed and its run resumes from a checkpoint, the server ends with the values
/// of an undisturbed run. The checkpoint has what hadn't been sent, which is sent then. What the
/// killed process sent after the checkpoint is computed again; the thread asks the server for it,
/// and doesn't send it twice. Values that turn out different are sent, because MLflow can't take
/// the first ones back.
class MlflowClient {
 public:
  /// Starts the thread, which makes the experiment if it is missing, and the run.
  explicit MlflowClient(MlflowTarget target);
  /// Gives up what hasn't been sent.
  ~MlflowClient();
  MlflowClient(const MlflowClient&) = delete;
  MlflowClient& operator=(const MlflowClient&) = delete;

  /// Adds values of metrics. MLflow allows letters, digits and "_-. /:" in their names; anything
  /// else becomes "_".
  void add_metrics(const std::vector<std::pair<std::string, double>>& metrics, int64_t step);
  /// Adds settings, which MLflow calls parameters, named as `flat_settings` names them.
  void add_settings(const Value& settings);
  /// Adds a file, stored as `path` among the run's artifacts. It is read when it is sent.
  void add_file(const std::string& file, const std::string& path);
  /// Adds a text that is stored as a file.
  void add_text(const std::string& text, const std::string& path);
  /// Marks the run as ended, waits until all is sent, but at most `timeout` seconds, and ends the
  /// thread. A message says how much was left out, if anything was.
  void finish(bool failed, double timeout);

  /// The run's identifier at the server; empty as long as the run hasn't been made.
  std::string run_id() const;
  /// What a process needs that resumes the run from here: "run_id" and "token", which tell the run,
  /// "time", and "unsent". What is added later gets a later time. A state without "time" and
  /// "unsent" goes on with a run that has got everything.
  StateDict state_dict();

 private:
  using Kind = MlflowItem::Kind;
  using Item = MlflowItem;

  void add(std::vector<Item> items);
  /// The time for what is added now, which never runs back. `mutex_` must be held.
  int64_t next_time();
  void work();
  /// Sends the batch. Returns whether it is done with: it was sent, or refused.
  bool send(const std::vector<Item>& batch);
  bool send_metrics(std::vector<Item> batch);
  bool send_artifact(const Item& item);
  /// Makes the run, or goes on with the one that there is. Returns whether it is there.
  bool make_run();
  /// Whether an answer settles a request; warns if it isn't what was hoped for.
  bool settles(const HttpAnswer& answer, const std::string& what, size_t items);
  void warn(const std::string& text);

  const MlflowTarget target_;
  MlflowApi server_;
  /// What tells the run from all others before the server has named it. The server keeps it as the
  /// tag "levin.run".
  std::string token_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;  // guarded by mutex_, like the next
  std::string run_id_;
  int64_t time_ = 0;           // of what is added next, at least
  bool stops_ = false;         // give up
  bool is_ending_ = false;     // `finish` waits
  bool is_idle_ = false;       // nothing is being sent
  size_t left_out_ = 0;        // things that didn't fit or were refused
  bool is_refused_ = false;    // the server doesn't let the run be made
  std::string artifact_path_;  // of the thread, like the next: empty: artifacts can't be sent
  bool is_ready_ = false;      // the run is there
  bool may_exist_ = false;     // the run may be there though its identifier isn't known
  std::optional<MlflowHistory> history_;  // of a resumed run
  bool has_warned_ = false;
  std::thread thread_;  // last: the others are there when it starts
};

}  // namespace levin
