#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/loggers/mlflow_client.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace levin {

/// Options of MlflowLogger.
struct MlflowLoggerOptions {
  /// The server's address, such as "http://localhost:5000"; nothing: the environment variable
  /// MLFLOW_TRACKING_URI.
  std::optional<std::string> tracking_uri{};
  /// The experiment that the run belongs to, which is made if it is missing.
  std::string experiment_name = "levin";
  /// The run's name; nothing: the name of its folder, such as "version_3".
  std::optional<std::string> run_name{};
  /// The most values that wait to be sent. If the server doesn't answer for so long that there are
  /// more, those that come then are left out.
  int64_t queue_size = 100000;
  /// The longest time in seconds that the end of the run waits for what hasn't been sent.
  double finish_timeout = 30.0;
};

/// Describes the options for YAML files and `--help`.
Fields describe(MlflowLoggerOptions& options);

/// Sends metrics, settings, texts, images and files to an MLflow server. Lightning: MLFlowLogger.
///
///     trainer.add_logger<levin::MlflowLogger>({.tracking_uri = "http://localhost:5000"});
///
/// Settings become parameters ("model/learning_rate"), and each metric has the number of its
/// optimizer step. Training never waits for the server and doesn't end because of it: a thread
/// sends what is in a queue, and tries again until the server takes it (MlflowClient). Only the end
/// of the run waits, for at most `finish_timeout` seconds. If the server asks for a login, set
/// MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.
///
/// A run that resumes from a checkpoint goes on with its MLflow run, and ends there with the values
/// of an undisturbed run, also after a process was killed (MlflowClient): steps that are computed
/// again aren't sent again. Only if a step comes to another value, such as with other settings, has
/// it two values there, because MLflow can't take values back. Texts are stored as
/// `texts/TAG_STEP.txt` and images as `images/TAG_STEP.png`.
class MlflowLogger : public Logger {
 public:
  using Options = MlflowLoggerOptions;
  /// Throws ConfigError if there is no address, or it isn't one of HTTP or HTTPS.
  explicit MlflowLogger(MlflowLoggerOptions options = {});

  void start(Run& run) override;
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_hyper_parameters(const Value& settings) override;
  void log_text(std::string_view tag, std::string_view text, int64_t step) override;
  void log_image(std::string_view tag, const torch::Tensor& image, int64_t step) override;
  void log_artifact(const std::filesystem::path& file, std::string_view folder = {}) override;
  void finish(bool failed) override;

  /// The run's identifier at the server, if it is known, and what hasn't been sent.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

 private:
  MlflowLoggerOptions options_;
  std::string uri_;
  StateDict state_;                                 // of a run to go on with; empty: there is none
  bool is_resumed_ = false;                         // the state is that of a checkpoint
  std::filesystem::path folder_;                    // of the last run; empty: that of a checkpoint
  bool has_settings_ = false;                       // the run has them already
  std::pair<int64_t, int64_t> last_epoch_{-1, -1};  // logged last, and its step
  std::unique_ptr<MlflowClient> client_;
};

}  // namespace levin
