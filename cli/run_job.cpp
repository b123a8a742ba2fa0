#include <levin/cli/run_job.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/checkpoint_settings.h>
#include <levin/cli/environment.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/output.h>
#include <levin/cli/predictions.h>
#include <levin/cli/predictions_csv.h>
#include <levin/cli/report.h>
#include <levin/cli/report_command.h>
#include <levin/cli/run_recorder.h>
#include <levin/cli/session.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/job.h>
#include <levin/framework/config/setting_place.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/row_groups.h>
#include <levin/framework/data/row_keys.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/many_regressions.h>

namespace levin {
namespace {

void print_json(const MetricMap& metrics, Value more = Value::Object{}) {
  write_output(metrics_json(metrics, std::move(more)) + "\n");
}

/// The path relative to the current folder, if it lies in that folder.
std::string short_path(const std::filesystem::path& path) {
  const auto seen =
      std::filesystem::absolute(path).lexically_proximate(std::filesystem::current_path());
  return seen.string().starts_with("..") ? path.string() : seen.string();
}

/// What the commands do with a session, and what they print of it.
class SessionCommands {
 public:
  SessionCommands(Session& session, const Arguments& arguments)
      : session_(session), arguments_(arguments) {}

  int fit() {
    const History history = fit_with_report();
    if (!speaks()) return history.interrupted ? kInterrupted : kDone;
    const MetricMap& metrics = session_.trainer().run().metrics();
    const int64_t steps = session_.trainer().run().global_step();
    diagnostics::print(fmt::format(
        "{} after {}, {}\n{}", history.interrupted ? "interrupted" : "done: " + history.stop_reason,
        counted(history.epochs.size(), "epoch"), counted(steps, "step"), metrics_table(metrics)));
    Value more;
    more["epochs"] = static_cast<int64_t>(history.epochs.size());
    more["global_step"] = steps;
    more["stop_reason"] = history.stop_reason;
    mention("run folder", session_.config_folder(), "log_dir", more);
    mention("best checkpoint", session_.trainer().best_checkpoint(), "best_checkpoint", more);
    mention("last checkpoint", session_.trainer().last_checkpoint(), "last_checkpoint", more);
    mention("report", report_, "report", more);
    if (arguments_.json) print_json(metrics, std::move(more));
    return history.interrupted ? kInterrupted : kDone;
  }

  int evaluate(Stage stage) {
    const MetricMap metrics =
        stage == Stage::test
            ? session_.trainer().test(session_.module(), session_.data(), session_.ckpt_path())
            : session_.trainer().validate(session_.module(), session_.data(), session_.ckpt_path());
    if (!speaks()) return kDone;
    diagnostics::print(fmt::format("{}\n{}", stage_name(stage), metrics_table(metrics)));
    if (arguments_.json) print_json(metrics);
    return kDone;
  }

  int predict() {
    if (!arguments_.output.empty()) check_output(arguments_.output);
    const std::filesystem::path output = arguments_.output;
    if (output.extension() == ".csv") return predict_to_csv(output);
    const NamedTensors predictions =
        session_.trainer().predict(session_.module(), session_.data(), session_.ckpt_path());
    if (!speaks()) return kDone;
    const auto path =
        output.empty() ? session_.trainer().run().log_dir() / "predictions.npz" : output;
    write_predictions(path, predictions, class_names_in(session_.module().data_state()));
    Shapes shapes;
    for (const auto& [name, tensor] : predictions) shapes.emplace_back(name, tensor.sizes().vec());
    return report_predictions(path, shapes);
  }

 private:
  /// Trains, and writes the report of the run also if the fit fails.
  History fit_with_report() {
    try {
      const History history = session_.fit();
      complete_record();
      return history;
    } catch (...) {
      complete_record();
      throw;
    }
  }

  /// Adds to the record what is known after the fit, and writes the report. The fit is over, so
  /// whatever is wrong with these files is only a warning.
  void complete_record() noexcept {
    RunRecorder* const recorder = session_.run_recorder();
    if (recorder == nullptr || recorder->folder().empty()) return;
    try {
      recorder->complete(session_.trainer());
      if (session_.wants_report()) report_ = write_run_report(recorder->folder());
    } catch (const std::exception& error) {
      diagnostics::print(
          fmt::format("warning: there is no report of the run: {}\n", plain_message(error)));
    }
  }

  using Shapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

  /// Writes predictions batch by batch, so that any number of rows takes little memory.
  int predict_to_csv(const std::filesystem::path& path) {
    std::optional<PredictionsCsv> csv;
    const auto start = [&] {
      auto* const keyed = dynamic_cast<HasRowKeys*>(&session_.data());
      auto* const grouped = dynamic_cast<HasGroups*>(&session_.data());
      csv.emplace(path, class_names(), keyed != nullptr ? keyed->prediction_keys() : RowKeys(),
                  grouped != nullptr ? grouped->group_names() : std::vector<std::string>());
    };
    Shapes shapes;
    const auto take = [&](const NamedTensors& predictions) {
      if (!csv) start();
      csv->add(predictions);
      if (!shapes.empty()) return;
      for (const auto& [name, tensor] : predictions) {
        shapes.emplace_back(name, tensor.sizes().vec());
      }
    };
    session_.trainer().predict(session_.module(), session_.data(), take, session_.ckpt_path());
    if (!speaks()) return kDone;
    if (!csv) start();
    csv->finish();
    for (auto& [name, sizes] : shapes) sizes.at(0) = csv->rows();
    return report_predictions(path, shapes);
  }

  /// The names of the classes that the model tells apart. The outputs of ManyRegressions are
  /// regressions instead.
  std::vector<std::string> class_names() const {
    if (dynamic_cast<const ManyRegressions*>(&session_.module()) != nullptr) return {};
    return class_names_in(session_.module().data_state());
  }

  int report_predictions(const std::filesystem::path& path, const Shapes& shapes) {
    Value values;
    std::string table;
    for (const auto& [name, sizes] : shapes) {
      const Value::Array plain(sizes.begin(), sizes.end());
      table += fmt::format("  {}  {}\n", name, Value(plain).to_json());
      values[name] = plain;
    }
    diagnostics::print(fmt::format("predictions in {}\n{}", path.string(), table));
    if (!arguments_.json) return kDone;
    Value more;
    more["output"] = path.string();
    more["shapes"] = std::move(values);
    print_json({}, std::move(more));
    return kDone;
  }

  /// Whether this rank prints the results, which are the same on all ranks.
  bool speaks() { return session_.trainer().run().is_global_zero(); }

  static void mention(std::string_view what, const std::filesystem::path& path,
                      std::string_view key, Value& more) {
    if (path.empty()) return;
    more[key] = short_path(path);
    diagnostics::print(fmt::format("{}: {}\n", what, short_path(path)));
  }

  Session& session_;
  const Arguments& arguments_;
  std::filesystem::path report_;  // empty if there is none
};

/// Throws if a fit has no model. Other commands need none if there is a checkpoint, which names its
/// module; a fit has taken it from there before (take_settings_to_resume).
void require_model_of_fit(const Job& job, const std::string& command) {
  if (job.model || command != "fit") return;
  throw ConfigError::conflict("no model is named",
                              "give `model:` in a --config file, or --model CLASS");
}

/// Prints the warnings of a configuration, and what was taken from a checkpoint, once for all
/// ranks, which all read it. If Levin's own launcher started the ranks, the process that became the
/// launcher has printed them already.
void print_notes(const Job& job, const std::string& taken) {
  if (job.warnings.empty() && taken.empty()) return;
  const auto cluster = find_cluster();
  if (cluster && (cluster->rank > 0 || cluster->kind == Cluster::Kind::launcher)) return;
  for (const auto& warning : job.warnings) diagnostics::print("warning: " + warning + "\n");
  if (!taken.empty()) diagnostics::print(taken + "\n");
}

/// Throws ConfigError for a word that belongs behind an option, and says which one.
[[noreturn]] void refuse_word(const std::string& word, const Registry& registry) {
  const bool is_model = registry.models.find(word) != nullptr;
  const bool is_data = registry.datamodules.find(word) != nullptr;
  const bool is_checkpoint = word == "best" || word == "last" || word.ends_with(".ckpt");
  const char* option = is_model        ? "model"
                       : is_data       ? "data"
                       : is_checkpoint ? "ckpt-path"
                                       : "config";
  const char* what = is_model        ? "a model"
                     : is_data       ? "a data module"
                     : is_checkpoint ? "a checkpoint"
                                     : "a configuration";
  throw ConfigError(fmt::format("unexpected word '{}'; {} is given as --{} {}", shortened(word),
                                what, option, shortened(word)));
}

int run_session(const Job& job, const Arguments& arguments, const Registry& registry) {
  Session session(job, registry);
  SessionCommands commands(session, arguments);
  if (arguments.command == "validate") return commands.evaluate(Stage::validate);
  if (arguments.command == "test") return commands.evaluate(Stage::test);
  if (arguments.command == "predict") return commands.predict();
  session.record_config(registry);
  session.record_run(registry);
  return commands.fit();
}

}  // namespace

int run_job(const Arguments& arguments, const Registry& registry) {
  if (!arguments.words.empty()) refuse_word(arguments.words.front(), registry);
  const auto environment = read_environment(arguments.command, environment_of_process(), registry);
  ConfigNode root =
      read_configuration(arguments.configs, arguments.overrides,
                         read_configuration(environment.configs, environment.overrides));
  std::string taken;
  if (arguments.command == "fit") {
    taken = take_settings_to_resume(root, registry);
  } else {
    take_checkpoint_settings(root, registry);
  }
  const Job job = read_job(registry, root);
  print_notes(job, taken);
  if (arguments.print_config) {
    write_output(to_yaml(job, registry, /*comments=*/true));
    return kDone;
  }
  require_model_of_fit(job, arguments.command);
  if (arguments.json) require_output();
  try {
    return run_session(job, arguments, registry);
  } catch (const ConfigError& error) {
    throw_with_place(error, job);
  }
}

}  // namespace levin
