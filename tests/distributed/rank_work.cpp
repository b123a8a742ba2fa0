#include "distributed/rank_work.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/callbacks/stochastic_weight_averaging.h>
#include <levin/datamodules/array.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/nn/sync_batch_norm.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/step.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>

namespace levin::test {
namespace {

using levin::Batch;
using levin::Step;
using levin::Value;

class Settings {
 public:
  explicit Settings(Value value) : value_(std::move(value)) {}
  bool has(const char* name) const { return value_.contains(name); }
  int64_t number(const char* name, int64_t otherwise) const {
    return has(name) ? value_.at(name).as_int() : otherwise;
  }
  double real(const char* name, double otherwise) const {
    return has(name) ? value_.at(name).as_double() : otherwise;
  }
  std::string text(const char* name, const char* otherwise = "") const {
    return has(name) ? value_.at(name).as_string() : otherwise;
  }
  bool flag(const char* name) const { return has(name) && value_.at(name).as_bool(); }
  const Value& value() const { return value_; }

 private:
  Value value_;
};

/// Adds a line to a file in the folder of the results.
void count(const Settings& settings, const char* file_name) {
  std::FILE* file = std::fopen((settings.text("out") + "/" + file_name).c_str(), "a");
  std::fputs("once\n", file);
  std::fclose(file);
}

/// A net of two layers in float64 (or "dtype"), which does what the tests ask of it.
class Net : public levin::Module {
 public:
  explicit Net(const Settings& settings)
      : settings_(settings),
        first_(register_module("first", torch::nn::Linear(4, 16))),
        second_(register_module("second", torch::nn::Linear(16, 3))) {
    if (settings.real("dropout", 0.0) > 0) dropout_ = settings.real("dropout", 0.0);
    if (settings.text("dtype", "float64") == "float64") to(torch::kDouble);
    if (settings.flag("unused")) {
      register_parameter("unused", torch::ones({3}, second_->weight.options()));
    }
    if (settings.flag("norm")) {
      norm_ = register_module("norm", levin::SyncBatchNorm(16));
      if (settings.text("dtype", "float64") == "float64") norm_->to(torch::kDouble);
    }
    if (settings.flag("torch_norm")) {
      torch_norm_ = register_module("torch_norm", torch::nn::BatchNorm1d(16));
      if (settings.text("dtype", "float64") == "float64") torch_norm_->to(torch::kDouble);
    }
    if (settings.flag("linear") || settings.has("learner")) {
      const int64_t outputs = settings.has("learner") || settings.flag("squared") ? 1 : 3;
      direct_ = register_module("direct", torch::nn::Linear(4, outputs));
      direct_->to(torch::kDouble);
    }
    if (settings.flag("counts")) seen_ = register_buffer("seen", torch::zeros({}, torch::kDouble));
  }

  torch::Tensor forward(const torch::Tensor& x) {
    if (direct_) return direct_(x);
    auto hidden = first_(x);
    if (norm_) hidden = norm_(hidden);
    if (torch_norm_) hidden = torch_norm_(hidden);
    return second_(torch::dropout(torch::tanh(hidden), dropout_, is_training()));
  }

  torch::Tensor training_step(const Batch& batch, Step& step) override {
    misbehave(step);
    if (seen_.defined()) seen_ += static_cast<double>(batch.rows());
    const bool skips = step.global_step() % 3 == 1;
    if (skips && step.run().ranks().rank() == settings_.number("skip_rank", -1)) return {};
    auto input = batch.input();
    auto target = batch.target();
    if (skips && settings_.flag("skips_odd_rows")) {  // those that rank 1 of 2 would have
      const auto even = torch::arange(0, batch.rows(), 2);
      input = input.index({even});
      target = target.index({even});
    }
    const auto loss = torch::cross_entropy_loss(forward(input), target);
    step.log("train_loss", loss, {.on_step = true, .on_epoch = true});
    return loss;
  }
  void validation_step(const Batch& batch, Step& step) override {
    const auto logits = forward(batch.input());
    step.log("val_loss", torch::cross_entropy_loss(logits, batch.target()));
    step.log("rows", torch::tensor(static_cast<double>(batch.rows())),
             {.reduce = levin::Reduce::sum});
    const auto top = logits.amax();
    step.log("top", top, {.reduce = levin::Reduce::max});
    const auto twos = batch.target().eq(2).sum();  // a rank may have none, and not log the name
    if (twos.item<int64_t>() > 0) step.log("twos", twos, {.reduce = levin::Reduce::sum});
  }
  // {"confusion": true}: metrics of the user's own, from each rank's rows.
  void on_validation_epoch_start(levin::Run&) override {
    confusion_ = torch::zeros({3, 3}, torch::kLong);
  }
  void on_validation_batch_end(const Batch& batch, Step&) override {
    if (!settings_.flag("confusion")) return;
    const auto cells = batch.target() * 3 + forward(batch.input()).argmax(1);
    confusion_ += torch::bincount(cells, {}, 9).view({3, 3});
  }
  void on_validation_epoch_end(levin::Run& run) override {
    if (!settings_.flag("confusion")) return;
    const auto right = confusion_.diag().sum().to(torch::kDouble);
    run.log("own_acc", right / confusion_.sum());  // of the rank's own rows
    const auto all = run.reduce(confusion_).to(torch::kDouble);
    run.log("balanced_acc", (all.diag() / all.sum(1)).mean());
  }
  void test_step(const Batch& batch, Step& step) override {
    step.log("test_acc",
             forward(batch.input()).argmax(1).eq(batch.target()).to(torch::kDouble).mean());
  }
  levin::NamedTensors predict_step(const Batch& batch, Step&) override {
    return {{"logits", forward(batch.input())}};
  }
  levin::Optimizers configure_optimizers() override {
    const auto name = settings_.text("optimizer", "Adam");
    if (name == "SGD") return levin::SGD(parameters(), {.learning_rate = 0.1, .momentum = 0.9});
    if (name == "LBFGS") {
      return levin::LBFGS(parameters(), {.max_iter = 5, .line_search_fn = "strong_wolfe"});
    }
    if (settings_.flag("linear")) {
      return solver(name, direct_->parameters(), settings_.real("tol", 1e-10));
    }
    if (settings_.has("learner")) {
      return levin::shipped_optimizers().make(settings_.text("learner"),
                                              settings_.value().at("learner_settings"),
                                              direct_->parameters());
    }
    if (name == "lbfgs") return solver(name, parameters());
    return levin::Adam(parameters(), {.learning_rate = 1e-2});
  }
  // {"linear": true}: a linear classifier, whose loss solvers know, or {"squared": true}: least
  // squares. {"learner": "OnlineSGD"}: least squares, by an online learner.
  std::optional<levin::LinearLoss> linear_loss() const override {
    if (settings_.has("learner")) {
      return levin::LinearLoss{.kind = levin::LinearLoss::Kind::squared,
                               .weight = direct_->weight,
                               .bias = direct_->bias};
    }
    if (!settings_.flag("linear")) return {};
    return levin::LinearLoss{.kind = settings_.flag("squared") ? levin::LinearLoss::Kind::squared
                                                               : levin::LinearLoss::Kind::softmax,
                             .weight = direct_->weight,
                             .bias = direct_->bias,
                             .l1_strength = settings_.real("l1_strength", 0.0),
                             .l2_strength = settings_.real("l2_strength", 1e-3)};
  }

  void on_exception(const std::exception& error, levin::Run& run) override {
    if (!settings_.flag("keep_exception")) return;
    std::ofstream(settings_.text("out") + "/exception-" + std::to_string(run.ranks().rank()))
        << error.what();
  }

 private:
  /// {"shard": "features"}: what ranks divide.
  levin::Optimizers solver(const std::string& name, std::vector<torch::Tensor> parameters,
                           double tol = 1e-10) const {
    Value options = Value::Object{{"tol", tol}};
    if (settings_.has("shard")) options["shard"] = settings_.text("shard");
    return levin::shipped_optimizers().make(name, options, std::move(parameters));
  }

  /// What a test of failures asks for: {"fail": "throw", "fail_rank": 1, "fail_step": 3}.
  void misbehave(Step& step) {
    const auto pause = settings_.real("step_seconds", 0.0);
    if (pause > 0) std::this_thread::sleep_for(std::chrono::duration<double>(pause));
    if (settings_.has("mark_steps")) {
      std::FILE* file = std::fopen(settings_.text("mark_steps").c_str(), "a");
      std::fprintf(file, "%d %d %d\n", static_cast<int>(step.run().ranks().rank()), ::getpid(),
                   static_cast<int>(step.global_step()));
      std::fclose(file);
    }
    const char* restarts = std::getenv("LEVIN_RESTART_COUNT");
    if (settings_.flag("fail_once") && restarts != nullptr && *restarts != '0') return;
    if (step.run().ranks().rank() != settings_.number("fail_rank", -1)) return;
    if (step.global_step() != settings_.number("fail_step", 0)) return;
    if (const auto once = settings_.text("fail_once_file"); !once.empty()) {
      std::FILE* file = std::fopen(once.c_str(), "wx");
      if (file == nullptr) return;  // it has failed before
      std::fclose(file);
    }
    const auto how = settings_.text("fail");
    if (how == "throw") throw std::runtime_error("the model broke");
    if (how == "kill") ::kill(::getpid(), SIGKILL);
    if (how == "segv") ::raise(SIGSEGV);
    if (how == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
    if (how == "stop") ::raise(SIGSTOP);
    if (how == "interrupt") ::raise(SIGINT);
    if (how == "exit") std::exit(3);
    if (how == "ask") step.run().stop("asked by one");
  }

  Settings settings_;
  double dropout_ = 0.0;
  torch::nn::Linear first_;
  torch::nn::Linear second_;
  torch::nn::Linear direct_{nullptr};
  levin::SyncBatchNorm norm_{nullptr};
  torch::nn::BatchNorm1d torch_norm_{nullptr};
  torch::Tensor seen_;
  torch::Tensor confusion_;  // [classes, predicted classes]
};

struct Points {
  torch::Tensor input;
  torch::Tensor target;
};

Points points(int64_t rows, uint64_t seed) {
  const auto generator = at::detail::createCPUGenerator(seed);
  const auto target = torch::randint(3, {rows}, generator, torch::kLong);
  const auto noise = torch::randn({rows, 4}, generator, torch::kDouble);
  return {noise + 2.0 * torch::one_hot(target, 4).to(torch::kDouble), target};
}

class Data : public levin::DataModule {
 public:
  explicit Data(const Settings& settings) : settings_(settings) {}

  void prepare_data() override {
    if (settings_.flag("count_prepares")) count(settings_, "prepared");
  }
  levin::DataLoaders train_dataloader() override {
    return loader(settings_.number("rows", 103), 1, settings_.number("batch_size", 8), true);
  }
  levin::DataLoaders val_dataloader() override {
    if (settings_.number("val_rows", 31) == 0) return {};
    return loader(settings_.number("val_rows", 31), 2, 4, false);
  }
  levin::DataLoaders test_dataloader() override { return val_dataloader(); }
  levin::DataLoaders predict_dataloader() override { return val_dataloader(); }

 private:
  levin::DataLoader loader(int64_t rows, uint64_t seed, int64_t batch_size, bool shuffle) const {
    auto data = points(rows, seed);
    if (settings_.text("dtype", "float64") != "float64") data.input = data.input.to(torch::kFloat);
    return levin::DataLoader(
        std::make_shared<levin::TensorDataset>(data.input, data.target),
        {.batch_size = batch_size,
         .global_batch_size =
             settings_.number(shuffle ? "global_batch_size" : "evaluation_global_batch_size", 0),
         .shuffle = shuffle,
         .num_workers = settings_.number("num_workers", 0)});
  }

  Settings settings_;
};

/// After every step asks about "keys" keys, more keys than there are numbers for
/// (StepFlags::kNumbers). Rank r of w raises the keys k with k mod w = r, key k after step 1 + k
/// mod 3, and each rank writes down after which steps it was told of which.
class ManyKeys : public levin::Callback {
 public:
  explicit ManyKeys(int64_t keys) : keys_(keys) {}
  std::string state_key() const override { return "ManyKeys"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    levin::Ranks& ranks = step.run().ranks();
    const int64_t done = step.run().global_step();
    for (int64_t i = 0; i < keys_; ++i) {
      const int64_t key = (i + ranks.rank()) % keys_;  // in another order on each rank
      const bool raised = key % ranks.size() == ranks.rank() && done == 1 + key % 3;
      const auto name = "key " + std::to_string(key);
      if (ranks.any_after_step(name, raised)) told_[name].push_back(done);
    }
  }
  Value told() const {
    Value value = Value::Object{};
    for (const auto& [name, steps] : told_) value[name] = Value::Array(steps.begin(), steps.end());
    return value;
  }

 private:
  int64_t keys_;
  std::map<std::string, std::vector<int64_t>> told_;
};

Value to_value(const levin::MetricMap& metrics) {
  Value value = Value::Object{};
  for (const auto& [name, number] : metrics) value[name] = number;
  return value;
}

int work(const Settings& settings) {
  if (settings.flag("count_starts")) count(settings, "started");
  levin::seed_everything(static_cast<uint64_t>(settings.number("seed", 7)));
  torch::set_num_threads(1);
  levin::TrainerOptions options;
  options.max_epochs = 3;
  options.accelerator = "cpu";
  options.default_root_dir = settings.text("out");
  if (settings.has("trainer")) {
    levin::from_value(describe(options), settings.value().at("trainer"), "trainer");
  }
  // A first Trainer, which stays: it validates and fits twice. Both fits end at the request of
  // EarlyStopping, because the loss doesn't rise.
  std::optional<levin::Trainer> before;
  if (settings.flag("twice")) {
    Net model(settings);
    Data data(settings);
    before.emplace(options);
    before->add_logger<levin::CsvLogger>();
    before->add<levin::EarlyStopping>({.monitor = "train_loss", .patience = 1, .mode = "max"});
    before->validate(model, data);
    before->fit(model, data);
    before->add<levin::ModelCheckpoint>({});
    before->fit(model, data);
  }
  levin::Trainer trainer(options);
  if (settings.has("checkpoint")) {
    levin::ModelCheckpointOptions checkpoint;
    levin::from_value(describe(checkpoint), settings.value().at("checkpoint"), "checkpoint");
    trainer.add<levin::ModelCheckpoint>(checkpoint);
  }
  ManyKeys* asking = nullptr;
  if (settings.has("keys")) {
    auto made = std::make_unique<ManyKeys>(settings.number("keys", 0));
    asking = made.get();
    trainer.add(std::move(made));
  }
  if (settings.has("swa_lrs")) {
    trainer.add<levin::StochasticWeightAveraging>(
        {.swa_lrs = {settings.real("swa_lrs", 0.0)}, .swa_epoch_start = 1});
  }
  if (settings.flag("restore_worst")) {  // the weights of the epoch with the largest loss
    trainer.add<levin::EarlyStopping>(
        {.monitor = "val_loss", .patience = 9, .mode = "max", .restore_best_weights = true});
  }
  if (settings.flag("csv")) trainer.add_logger<levin::CsvLogger>();
  Net model(settings);
  Data data(settings);

  levin::StateDict result;
  const auto history = trainer.fit(model, data, settings.text("ckpt_path"));
  result.values["stop_reason"] = history.stop_reason;
  if (asking != nullptr) result.values["told"] = asking->told();
  result.values["interrupted"] = history.interrupted;
  result.values["epochs"] = static_cast<int64_t>(history.epochs.size());
  if (!history.epochs.empty()) {
    result.values["global_step"] = history.epochs.back().global_step;
    result.values["fit"] = to_value(history.epochs.back().metrics);
  }
  if (settings.has("save")) trainer.save_checkpoint(settings.text("save"));
  if (settings.flag("evaluate")) {
    result.values["validate"] = to_value(trainer.validate(model, data));
    result.values["test"] = to_value(trainer.test(model, data));
    const auto predicted = trainer.predict(model, data);
    for (const auto& [name, rows] : predicted) result.tensors["predicted." + name] = rows;
    std::vector<torch::Tensor> parts;  // on rank 0
    trainer.predict(model, data, [&parts](const levin::NamedTensors& rows) {
      parts.push_back(rows.front().second);
    });
    result.values["predicted_parts"] = static_cast<int64_t>(parts.size());
    result.values["same_in_parts"] =
        parts.empty() || torch::equal(torch::cat(parts), predicted.front().second);
  }
  result.add("model", model.state_dict());
  const char* rank = std::getenv("RANK");
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "SLURM_PROCID"}) {
    if (rank == nullptr) rank = std::getenv(name);
  }
  const char* world = std::getenv("WORLD_SIZE");
  const auto& place = trainer.run().place();
  result.values["place"] =
      Value::Array{place.node_rank, place.num_nodes, place.local_rank, place.num_devices};
  result.values["world_size"] = world == nullptr ? 1 : std::atoi(world);
  levin::save_checkpoint(settings.text("out") + "/rank-" + (rank == nullptr ? "0" : rank) + ".ckpt",
                         result);
  return history.interrupted ? 130 : 0;
}

}  // namespace

int work_as_rank(const Value& settings) {
  try {
    return work(Settings(settings));
  } catch (const ConfigError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace levin::test
