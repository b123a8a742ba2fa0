#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/framework/loggers/http_connection.h>
#include <levin/framework/loggers/mlflow_items.h>

namespace levin {

/// A run as its server names it.
struct MlflowRun {
  std::string id = {};
  /// Where the server takes files; empty if it doesn't take them itself.
  std::string artifact_path = {};
};

/// The calls of MLflow's REST API that a run needs. Each returns the first answer that isn't the
/// one hoped for, or else the last one. Only one thread may use it, except for `abort`.
///
/// Source: https://mlflow.org/docs/latest/rest-api.html.
class MlflowApi {
 public:
  /// `uri` is the server's, such as "http://localhost:5000"; the rest is that of HttpConnection.
  MlflowApi(std::string uri, double timeout, std::string authorization);

  /// Makes the run, and the experiment if it is missing. The run gets `token` as a tag. If
  /// `may_exist`, a run that has that tag is used instead.
  HttpAnswer make_run(const std::string& experiment, const std::string& name,
                      const std::string& token, bool may_exist, MlflowRun& run);
  /// Marks a run that there is as running again.
  HttpAnswer reopen_run(const std::string& id, MlflowRun& run);
  /// Adds to `points` what the server has of a metric.
  HttpAnswer history(const std::string& run_id, const std::string& name,
                     std::vector<MlflowItem>& points);
  /// Sends metrics or settings, all of one kind and at most as many as MLflow allows.
  HttpAnswer log_batch(const std::string& run_id, const std::vector<MlflowItem>& items);
  HttpAnswer end_run(const std::string& run_id, const MlflowItem& status);
  /// Stores a file under `name`, which may have folders.
  HttpAnswer put_file(const std::string& artifact_path, const std::string& name,
                      const std::string& content);
  /// Ends the request in progress and all later ones. Any thread may call it.
  void abort() { server_.abort(); }

  /// What the server says about an error, for people.
  static std::string reason_of(const HttpAnswer& answer);

 private:
  HttpAnswer get(const std::string& call);
  HttpAnswer post(const std::string& call, const Value& body);
  HttpAnswer find_experiment(const std::string& name, std::string& id);

  const std::string uri_;
  HttpConnection server_;
};

}  // namespace levin
