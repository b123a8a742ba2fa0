#include <levin/cli/run_job.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/checkpoint_settings.h>
#include <levin/cli/config_saver.h>
#include <levin/cli/environment.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/find_checkpoint.h>
#include <levin/cli/output.h>
#include <levin/cli/predictions.h>
#include <levin/cli/predictions_csv.h>
#include <levin/cli/report.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/job.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/row_groups.h>
#include <levin/framework/data/row_keys.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/tensor/random.h>
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

/// Everything a job needs, made from its configuration.
class Session {
 public:
  Session(const Job& job, const Arguments& arguments, const Registry& registry)
      : arguments_(arguments),
        ckpt_path_(find_checkpoint(job.ckpt_path, job.trainer->default_root_dir)),
        trainer_(*job.trainer) {
    if (job.seed) seed_everything(static_cast<uint64_t>(*job.seed));
    data_ = job.data->make();
    model_ = job.model ? job.model->make() : model_of_checkpoint(registry);
    for (const auto* list : {&job.callbacks, &job.default_callbacks}) {
      for (const auto& each : *list) add_callback(each.make(), each.hooks);
    }
    for (const auto& each : job.loggers) trainer_.add_logger(each.make());
    makes_run_folder_ = makes_run_folder_ || !job.loggers.empty();
    if (job.optimizer) {
      trainer_.set_optimizers([job](Module& module) {
        return job.make_optimizers(to_named_tensors(module.named_parameters()));
      });
    }
  }

  /// The seed that a fit uses: that of the checkpoint from which it resumes, if there is one, or
  /// else `configured`.
  std::optional<int64_t> seed(std::optional<int64_t> configured) const {
    if (ckpt_path_.empty()) return configured;
    return naming_checkpoint(ckpt_path_, [&] {
      const Value random = load_checkpoint_outline(ckpt_path_).child("random").values;
      return random.contains("seed") ? std::optional(random.at("seed").as_int()) : configured;
    });
  }

  /// Puts the configuration into the run folder, if anything makes one.
  void save_config(std::string yaml) {
    if (!makes_run_folder_) return;
    auto saver = std::make_unique<ConfigSaver>(std::move(yaml));
    config_saver_ = saver.get();
    trainer_.add_logger(std::move(saver));
  }

  int fit() {
    const History history = trainer_.fit(*model_, *data_, ckpt_path_);
    if (!speaks()) return history.interrupted ? kInterrupted : kDone;
    const MetricMap& metrics = trainer_.run().metrics();
    const int64_t steps = trainer_.run().global_step();
    diagnostics::print(fmt::format(
        "{} after {}, {}\n{}", history.interrupted ? "interrupted" : "done: " + history.stop_reason,
        counted(history.epochs.size(), "epoch"), counted(steps, "step"), metrics_table(metrics)));
    Value more;
    more["epochs"] = static_cast<int64_t>(history.epochs.size());
    more["global_step"] = steps;
    more["stop_reason"] = history.stop_reason;
    mention("run folder", config_saver_ == nullptr ? "" : config_saver_->folder(), "log_dir", more);
    mention("best checkpoint", trainer_.best_checkpoint(), "best_checkpoint", more);
    mention("last checkpoint", trainer_.last_checkpoint(), "last_checkpoint", more);
    if (arguments_.json) print_json(metrics, std::move(more));
    return history.interrupted ? kInterrupted : kDone;
  }

  int evaluate(Stage stage) {
    const MetricMap metrics = stage == Stage::test ? trainer_.test(*model_, *data_, ckpt_path_)
                                                   : trainer_.validate(*model_, *data_, ckpt_path_);
    if (!speaks()) return kDone;
    diagnostics::print(fmt::format("{}\n{}", stage_name(stage), metrics_table(metrics)));
    if (arguments_.json) print_json(metrics);
    return kDone;
  }

  int predict() {
    if (!arguments_.output.empty()) check_output(arguments_.output);
    const std::filesystem::path output = arguments_.output;
    if (output.extension() == ".csv") return predict_to_csv(output);
    const NamedTensors predictions = trainer_.predict(*model_, *data_, ckpt_path_);
    if (!speaks()) return kDone;
    const auto path = output.empty() ? trainer_.run().log_dir() / "predictions.npz" : output;
    write_predictions(path, predictions, class_names_in(model_->data_state()));
    Shapes shapes;
    for (const auto& [name, tensor] : predictions) shapes.emplace_back(name, tensor.sizes().vec());
    return report_predictions(path, shapes);
  }

 private:
  using Shapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

  /// Writes predictions batch by batch, so that any number of rows takes little memory.
  int predict_to_csv(const std::filesystem::path& path) {
    std::optional<PredictionsCsv> csv;
    const auto start = [&] {
      auto* const keyed = dynamic_cast<HasRowKeys*>(data_.get());
      auto* const grouped = dynamic_cast<HasGroups*>(data_.get());
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
    trainer_.predict(*model_, *data_, take, ckpt_path_);
    if (!speaks()) return kDone;
    if (!csv) start();
    csv->finish();
    for (auto& [name, sizes] : shapes) sizes.at(0) = csv->rows();
    return report_predictions(path, shapes);
  }

  /// The names of the classes that the model tells apart. The outputs of ManyRegressions are
  /// regressions instead.
  std::vector<std::string> class_names() const {
    if (dynamic_cast<const ManyRegressions*>(model_.get()) != nullptr) return {};
    return class_names_in(model_->data_state());
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

  /// The model that the checkpoint is of. The Trainer loads the weights.
  std::unique_ptr<Module> model_of_checkpoint(const Registry& registry) const {
    return make_module(registry, load_checkpoint_outline(ckpt_path_), ckpt_path_);
  }

  /// Whether this rank prints the results, which are the same on all ranks.
  bool speaks() { return trainer_.run().is_global_zero(); }

  void add_callback(std::unique_ptr<Callback> callback, HookSet hooks) {
    const bool saves = callback->order() == Callback::Order::checkpoint;
    if (saves && trainer_.options().fast_dev_run.count > 0) return;  // as Lightning does
    makes_run_folder_ = makes_run_folder_ || saves;
    trainer_.add(std::move(callback), hooks);
  }

  static void mention(std::string_view what, const std::filesystem::path& path,
                      std::string_view key, Value& more) {
    if (path.empty()) return;
    more[key] = short_path(path);
    diagnostics::print(fmt::format("{}: {}\n", what, short_path(path)));
  }

  const Arguments& arguments_;
  std::string ckpt_path_;
  Trainer trainer_;
  std::unique_ptr<DataModule> data_;
  std::shared_ptr<Module> model_;
  ConfigSaver* config_saver_ = nullptr;
  bool makes_run_folder_ = false;
};

/// Throws if the configuration lacks a part. Commands other than fit need no model if there is a
/// checkpoint, which names its module. fit needs a model in any case: it goes on with the settings
/// that the configuration gives, such as the learning rate, which may differ from the checkpoint's.
void require_parts(const Job& job, const std::string& command) {
  if (!job.model && command == "fit") {
    throw ConfigError::conflict("no model is named",
                                "give `model:` in a --config file, or --model CLASS");
  }
  if (!job.model && job.ckpt_path.empty()) {
    throw ConfigError::conflict("no model is named",
                                "give --ckpt-path FILE, a checkpoint that says which model it is "
                                "of; or `model:` in a --config file, or --model CLASS");
  }
  if (!job.data) {
    throw ConfigError::conflict("no data is named",
                                "give `data:` in a --config file, or --data CLASS");
  }
}

/// Prints the warnings of a configuration once for all ranks, which all read it. If Levin's own
/// launcher started the ranks, the process that became the launcher has printed them already.
void print_warnings(const Job& job) {
  if (job.warnings.empty()) return;
  const auto cluster = find_cluster();
  if (cluster && (cluster->rank > 0 || cluster->kind == Cluster::Kind::launcher)) return;
  for (const auto& warning : job.warnings) diagnostics::print("warning: " + warning + "\n");
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

}  // namespace

int run_job(const Arguments& arguments, const Registry& registry) {
  if (!arguments.words.empty()) refuse_word(arguments.words.front(), registry);
  const auto environment = read_environment(arguments.command, environment_of_process(), registry);
  ConfigNode root =
      read_configuration(arguments.configs, arguments.overrides,
                         read_configuration(environment.configs, environment.overrides));
  if (arguments.command != "fit") take_checkpoint_settings(root, registry);
  const Job job = read_job(registry, root);
  print_warnings(job);
  if (arguments.print_config) {
    write_output(to_yaml(job, registry, /*comments=*/true));
    return kDone;
  }
  require_parts(job, arguments.command);
  if (arguments.json) require_output();
  Session session(job, arguments, registry);
  if (arguments.command == "validate") return session.evaluate(Stage::validate);
  if (arguments.command == "test") return session.evaluate(Stage::test);
  if (arguments.command == "predict") return session.predict();
  Job recorded = job;  // config.yaml records the seed that is really used
  recorded.seed = session.seed(job.seed);
  if (recorded.seed != job.seed) detach_links(recorded.links, "seed_everything");
  session.save_config(to_yaml(recorded, registry, /*comments=*/false));
  return session.fit();
}

}  // namespace levin
