#include <levin/framework/loggers/mlflow_logger.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/loggers/image_file.h>

namespace levin {
namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

/// The text in base64, for the header Authorization.
std::string base64(const std::string& text) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (size_t at = 0; at < text.size(); at += 3) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : 0U);
    }
    for (size_t i = 0; i < 4; ++i) {
      const bool is_padding = at + i > text.size();
      result += is_padding ? '=' : kLetters[bits >> (18 - 6 * i) & 63];
    }
  }
  return result;
}

std::string mlflow_authorization() {
  const std::string token = environment("MLFLOW_TRACKING_TOKEN");
  if (!token.empty()) return "Bearer " + token;
  const std::string user = environment("MLFLOW_TRACKING_USERNAME");
  if (user.empty()) return {};
  return "Basic " + base64(user + ":" + environment("MLFLOW_TRACKING_PASSWORD"));
}

/// A file's name for what was logged as `tag` in a step: no folder of its own.
std::string artifact_name(std::string_view tag, int64_t step, std::string_view ending) {
  std::string name(tag);
  for (char& c : name) {
    if (c == '/' || static_cast<unsigned char>(c) < 0x20) c = '_';
  }
  return fmt::format("{}_{}{}", name, step, ending);
}

const std::string& run_id_of(const StateDict& state) {
  return state.values.at("run_id").as_string();
}

/// The state of a run that has got everything.
StateDict run_of(const StateDict& state) {
  StateDict run;
  for (const char* name : {"run_id", "token"}) {
    if (state.values.contains(name)) run.values[name] = state.values.at(name);
  }
  return run;
}

}  // namespace

Fields describe(MlflowLoggerOptions& o) {
  return fields_of<MlflowLoggerOptions>({
      {"tracking_uri", &o.tracking_uri,
       "the server, such as http://localhost:5000; null: the environment's MLFLOW_TRACKING_URI"},
      {"experiment_name", &o.experiment_name, "the experiment that the run belongs to"},
      {"run_name", &o.run_name, "the run's name; null: the name of its folder"},
      {"queue_size", &o.queue_size, "the most values that wait to be sent"},
      {"finish_timeout", &o.finish_timeout,
       "longest time in seconds that the end of the run waits for what hasn't been sent"},
  });
}

MlflowLogger::MlflowLogger(MlflowLoggerOptions options) : options_(std::move(options)) {
  uri_ = options_.tracking_uri.value_or(environment("MLFLOW_TRACKING_URI"));
  while (uri_.ends_with('/')) uri_.pop_back();
  if (!uri_.starts_with("http://") && !uri_.starts_with("https://")) {
    throw ConfigError::invalid_value(
        "tracking_uri", uri_,
        "must be the address of an MLflow server, such as http://localhost:5000; give it as "
        "tracking_uri or in the environment variable MLFLOW_TRACKING_URI");
  }
  if (options_.queue_size < 1) {
    throw ConfigError::invalid_value("queue_size", std::to_string(options_.queue_size),
                                     "must be at least 1");
  }
}

void MlflowLogger::start(Run& run) {
  // A test after a fit belongs to the same run, but a fit with a folder of its own doesn't.
  if (!folder_.empty() && folder_ != run.log_dir()) state_ = {};
  folder_ = run.log_dir();
  MlflowTarget target;
  target.uri = uri_;
  target.experiment = options_.experiment_name;
  target.run_name = options_.run_name.value_or(run.log_dir().filename().string());
  target.authorization = mlflow_authorization();
  has_settings_ = is_resumed_ || (!state_.empty() && !run_id_of(state_).empty());
  if (!state_.empty()) target.state = std::exchange(is_resumed_, false) ? state_ : run_of(state_);
  target.queue_size = static_cast<size_t>(options_.queue_size);
  client_ = std::make_unique<MlflowClient>(std::move(target));
}

void MlflowLogger::log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
  std::vector<std::pair<std::string, double>> values(metrics.begin(), metrics.end());
  const std::pair<int64_t, int64_t> now(epoch, step);
  // The rows of a step and of its epoch have the same one, which is sent once.
  if (!metrics.contains("epoch") && now != last_epoch_) {
    values.emplace_back("epoch", static_cast<double>(epoch));
  }
  last_epoch_ = now;
  client_->add_metrics(values, step);
}

void MlflowLogger::log_hyper_parameters(const Value& settings) {
  if (!std::exchange(has_settings_, true)) client_->add_settings(settings);
}

void MlflowLogger::log_text(std::string_view tag, std::string_view text, int64_t step) {
  client_->add_text(std::string(text), "texts/" + artifact_name(tag, step, ".txt"));
}

void MlflowLogger::log_image(std::string_view tag, const torch::Tensor& image, int64_t step) {
  client_->add_text(image_file(tag, image).png, "images/" + artifact_name(tag, step, ".png"));
}

void MlflowLogger::log_artifact(const std::filesystem::path& file, std::string_view folder) {
  client_->add_file(file.string(), (std::filesystem::path(folder) / file.filename()).string());
}

void MlflowLogger::finish(bool failed) {
  if (!client_) return;
  client_->finish(failed, options_.finish_timeout);
  state_ = state_dict();
  client_.reset();
}

StateDict MlflowLogger::state_dict() const {
  if (!client_) return state_;
  StateDict state = client_->state_dict();
  state.values["last_epoch"] = last_epoch_.first;
  state.values["step_of_last_epoch"] = last_epoch_.second;
  return state;
}

void MlflowLogger::load_state_dict(const StateDict& state) {
  state_ = state.clone();
  is_resumed_ = true;
  folder_.clear();
  if (!state_.values.contains("last_epoch")) return;
  last_epoch_ = {state_.values.at("last_epoch").as_int(),
                 state_.values.at("step_of_last_epoch").as_int()};
}

}  // namespace levin
