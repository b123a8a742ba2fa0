#include <levin/callbacks/lambda_callback.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/metrics/metric_list.h>

#include <fstream>
#include <map>
#include <sstream>

#include "framework/support.h"

namespace levin::test::resume_everything_test {

using Object = Value::Object;
namespace fs = std::filesystem;

/// What is known of a class: the settings with which a fit with it is resumed here, or the test
/// elsewhere that shows that its state goes on with the same bits.
struct Answer {
  Value settings = Object{};
  std::string test{};
};

/// What a resumed fit has to have in common with one that was never interrupted.
struct Outcome {
  StateDict weights;
  std::vector<std::pair<int64_t, double>> losses;  // of each epoch's validation, and its steps
};

/// What one of the fits below is made with.
struct Chosen {
  std::string name{}, callback{}, optimizer = "SGD", scheduler{};
  Value settings = Object{};
};

/// Saves step.ckpt after step 4, and epoch.ckpt at the end of the second epoch.
void save_on_the_way(Trainer& trainer, const fs::path& folder) {
  trainer.add<LambdaCallback>({.on_train_batch_end =
                                   [folder](const torch::Tensor&, const Batch&, Step& step) {
                                     if (step.global_step() == 4)
                                       step.run().save(folder / "step.ckpt");
                                   },
                               .on_train_epoch_end =
                                   [folder](levin::Run& run) {
                                     if (run.epoch() == 1) run.save(folder / "epoch.ckpt");
                                   }});
}

/// Fits with the class, from a checkpoint if one is given; saves one after step 4, in the middle of
/// an epoch, and one at the end of the epoch in which step 6 is the last.
Outcome fit(const Registry& registry, const Chosen& chosen, const fs::path& folder,
            const std::string& checkpoint) {
  seed_everything(checkpoint.empty() ? 1 : 9);
  Classifier model(0.2);
  PointsModule data(24, {.batch_size = 8, .shuffle = true, .seed = 4}, 8);
  TrainerOptions options;
  options.accelerator = "cpu";
  options.max_epochs = 4;
  options.num_sanity_val_steps = 0;
  options.log_every_n_steps = 1;
  options.default_root_dir = folder.string();
  Trainer trainer(options);
  if (!chosen.callback.empty()) {
    const auto& entry = registry.callbacks.at(chosen.callback);
    trainer.add(entry.make(chosen.settings), registry.callbacks.hooks(entry));
  }
  trainer.set_optimizers([&](Module& module) {
    const bool has_settings = chosen.callback.empty() && chosen.scheduler.empty();
    Optimizers optimizers(registry.optimizers.make(
        chosen.optimizer, has_settings ? chosen.settings : Object{{"learning_rate", 0.1}},
        module.parameters()));
    if (!chosen.scheduler.empty()) {
      optimizers.add_scheduler(registry.schedulers.make(chosen.scheduler, chosen.settings),
                               {.monitor = "val_loss"});
    }
    return optimizers;
  });
  if (checkpoint.empty()) save_on_the_way(trainer, folder);
  const History history = trainer.fit(model, data, checkpoint);
  Outcome outcome{.weights = model.state_dict().clone(), .losses = {}};
  for (const auto& epoch : history.epochs) {
    outcome.losses.emplace_back(epoch.global_step, epoch.metrics.at("val_loss"));
  }
  return outcome;
}

/// Keeps what goes to stderr away: progress bars, summaries and warnings.
class Silence {
 public:
  Silence() { testing::internal::CaptureStderr(); }
  ~Silence() { testing::internal::GetCapturedStderr(); }
};

void expect_same_bits_after_a_resume(const Chosen& chosen) {
  const Registry registry = shipped_classes();
  const TemporaryFolder folder;
  const Silence silence;
  const Outcome whole = fit(registry, chosen, folder.path(), "");
  for (const char* from : {"step.ckpt", "epoch.ckpt"}) {
    const Outcome resumed = fit(registry, chosen, folder.path(), (folder / from).string());
    EXPECT_EQ(resumed.losses, whole.losses) << from;
    for (const auto& [name, tensor] : whole.weights.tensors) {
      EXPECT_TRUE(same_bits(tensor, resumed.weights.tensor(name))) << name << " from " << from;
    }
  }
}

/// The text of all test files.
const std::string& all_tests() {
  static const std::string text = [] {
    std::ostringstream all;
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(LEVIN_SOURCE_DIR) / "tests")) {
      if (entry.path().extension() == ".cpp") all << std::ifstream(entry.path()).rdbuf();
    }
    return all.str();
  }();
  return text;
}

/// Calls `resume(name, settings)` for each class of `list` that is tested here, and checks that
/// those tested elsewhere are.
template <class List, class Resume>
void check_all(const List& list, const std::map<std::string, Answer>& answers,
               const Resume& resume) {
  for (const auto& name : list.names()) {
    SCOPED_TRACE(name);
    const auto found = answers.find(name);
    if (found == answers.end()) {
      ADD_FAILURE() << "it isn't known whether the state of " << name
                    << " goes on after a resume; add it to the table in this file";
      continue;
    }
    const auto& test = found->second.test;
    if (test.empty()) {
      resume(name, found->second.settings);
      continue;
    }
    const size_t dot = test.find('.');
    const std::string arguments = test.substr(0, dot) + ", " + test.substr(dot + 1) + ")";
    EXPECT_NE(all_tests().find(arguments), std::string::npos) << "there is no test " << test;
  }
}

TEST(ResumeEverything, CallbacksGoOnWithTheSameBits) {
  const std::map<std::string, Answer> answers{
      {"BackboneFinetuning", {Object{{"backbone", "hidden"}, {"unfreeze_backbone_at_epoch", 1}}}},
      {"BatchSizeFinder", {Object{{"steps_per_trial", 1}, {"max_val", 4}}}},
      {"DeviceStatsMonitor", {}},
      {"EMAWeightAveraging", {Object{{"decay", 0.8}, {"update_every_n_steps", 2}}}},
      {"EarlyStopping",
       {Object{{"monitor", "val_loss"}, {"patience", 2}, {"restore_best_weights", true}}}},
      {"GradientAccumulationScheduler", {Object{{"scheduling", "1:2, 3:1"}}}},
      {"LearningRateFinder", {Object{{"min_lr", 1e-3}, {"num_training_steps", 20}}}},
      {"LearningRateMonitor", {Object{{"log_momentum", true}, {"log_weight_decay", true}}}},
      {"ModelCheckpoint", {Object{{"monitor", "val_loss"}}}},
      {"ModelPruning", {Object{{"amount", 0.3}}}},
      {"ModelSummary", {}},
      {"OnExceptionCheckpoint", {}},
      {"ParameterHistograms", {}},
      {"PredictionWriter", {}},
      {"ProgressBar", {}},
      {"ProgressiveValidation", {}},
      {"SlowStepDetector", {}},
      {"SpikeDetection", {Object{{"rtol", 0.05}, {"action", "warn"}}}},
      {"StochasticWeightAveraging",
       {Object{{"swa_lrs", Value::Array{0.05}}, {"swa_epoch_start", 2}, {"annealing_epochs", 2}}}},
      {"TerminateOnNaN", {}},
      {"ThroughputMonitor", {}},
      {"Timer", {}},
      {"WeightAveraging", {}},
  };
  check_all(shipped_classes().callbacks, answers,
            [](const std::string& name, const Value& settings) {
              expect_same_bits_after_a_resume({.callback = name, .settings = settings});
            });
}

TEST(ResumeEverything, OptimizersGoOnWithTheSameBits) {
  const Answer online{.test = "OnlineTraining.resumes_bit_exact_and_counts_on"};
  const Answer solver{.test = "SolverFit.resumes_with_the_same_bits_after_any_iteration"};
  std::map<std::string, Answer> answers{
      {"SGD", {Object{{"learning_rate", 0.1}, {"momentum", 0.9}}}},
      {"Adam", {Object{{"learning_rate", 0.01}, {"amsgrad", true}}}},
      {"AdamW", {}},
      {"Adagrad", {}},
      {"RMSprop", {Object{{"learning_rate", 0.01}, {"momentum", 0.9}, {"centered", true}}}},
      {"LBFGS", {Object{{"learning_rate", 0.1}}}},
      {"OnlineSGD", online},
      {"OnlineAdagrad", online},
      {"FTRL", online},
  };
  const Registry registry = shipped_classes();
  for (const auto& entry : registry.optimizers.entries()) {
    if (is_solver(entry)) answers.emplace(entry.name, solver);
  }
  check_all(registry.optimizers, answers, [](const std::string& name, const Value& settings) {
    expect_same_bits_after_a_resume({.optimizer = name, .settings = settings});
  });
}

TEST(ResumeEverything, SchedulersGoOnWithTheSameBits) {
  const std::map<std::string, Answer> answers{
      {"StepLR", {Object{{"step_size", 1}, {"gamma", 0.5}}}},
      {"MultiStepLR", {Object{{"milestones", Value::Array{1, 3}}, {"gamma", 0.5}}}},
      {"ExponentialLR", {Object{{"gamma", 0.5}}}},
      {"CosineAnnealingLR", {Object{{"T_max", 4}}}},
      {"CosineAnnealingWarmRestarts", {Object{{"T_0", 2}}}},
      {"PolynomialLR", {Object{{"total_iters", 4}, {"power", 2.0}}}},
      {"ConstantLR", {Object{{"factor", 0.5}, {"total_iters", 2}}}},
      {"LinearLR", {}},
      {"WarmupLR", {}},
      {"CyclicLR", {Object{{"max_lr", 0.2}, {"step_size_up", 2}}}},
      {"SequentialLR",
       {Object{
           {"schedulers", Value::Array{"ConstantLR", Object{{"name", "StepLR"}, {"step_size", 1}}}},
           {"milestones", Value::Array{2}}}}},
      {"OneCycleLR", {Object{{"max_lr", 0.2}, {"total_steps", 4}}}},
      {"ReduceLROnPlateau", {Object{{"patience", 0}, {"threshold", 10.0}}}},
  };
  check_all(shipped_classes().schedulers, answers,
            [](const std::string& name, const Value& settings) {
              expect_same_bits_after_a_resume({.scheduler = name, .settings = settings});
            });
}

/// Fits a model to data, from a checkpoint if one is given; otherwise saves some on the way.
StateDict fit_model(const Chosen& model, const Chosen& data, const fs::path& folder,
                    const std::string& checkpoint) {
  seed_everything(3);
  const Registry registry = shipped_classes();
  const auto module = registry.models.make(model.name, model.settings, registry.optimizers);
  seed_everything(checkpoint.empty() ? 3 : 9);
  const auto rows = registry.datamodules.make(data.name, data.settings);
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 4,
                   .num_sanity_val_steps = 0,
                   .threads = 1,
                   .default_root_dir = folder.string()});
  if (checkpoint.empty()) save_on_the_way(trainer, folder);
  trainer.fit(*module, *rows, checkpoint);
  return module->state_dict().clone();
}

void expect_same_bits_of_models(const Chosen& model, const Chosen& data) {
  const TemporaryFolder folder;
  const Silence silence;
  const StateDict whole = fit_model(model, data, folder.path(), "");
  EXPECT_TRUE(fs::exists(folder / "epoch.ckpt"));
  for (const char* from : {"step.ckpt", "epoch.ckpt"}) {
    if (!fs::exists(folder / from)) continue;  // a solver has no batches
    const StateDict resumed = fit_model(model, data, folder.path(), (folder / from).string());
    for (const auto& [name, tensor] : whole.tensors) {
      EXPECT_TRUE(same_bits(tensor, resumed.tensor(name))) << name << " from " << from;
    }
  }
}

TEST(ResumeEverything, DataModulesGoOnWithTheSameBits) {
  const Answer image_set{
      .test = "CifarImages.a_fit_with_random_transforms_resumes_and_ends_with_the_same_bits"};
  const Value iris = Object{{"name", "IrisDataModule"}, {"batch_size", 50}};
  const std::map<std::string, Answer> answers{
      {"ArrayDataModule",
       {Object{{"x", LEVIN_SOURCE_DIR "/tests/baselines/solvers_wine.csv"},
               {"standardize", true},
               {"batch_size", 50}}}},
      {"SklearnDataModule",
       {Object{{"x", LEVIN_SOURCE_DIR "/tests/baselines/solvers_wine.csv"},
               {"sampling", "stratified"},
               {"batch_size", 50}}}},
      {"TableDataModule",
       {.test = "TableTraining.a_resumed_fit_has_the_same_features_and_ends_with_the_same_bits"}},
      {"IrisDataModule", {Object{{"batch_size", 50}}}},
      {"DigitsDataModule", {Object{{"batch_size", 512}}}},
      {"MNISTDataModule", image_set},
      {"FashionMNISTDataModule", image_set},
      {"CIFAR10DataModule", image_set},
      {"CIFAR100DataModule", image_set},
      {"ImageFolderDataModule", {.test = "ImageFolder.a_fit_resumes_and_ends_with_the_same_bits"}},
      {"StreamDataModule", {.test = "StreamResume.ends_with_the_bits_of_a_run_that_went_through"}},
      {"SparseDataModule", {.test = "SparseTraining.resumes_bit_exact"}},
      {"SyntheticClicksDataModule",
       {Object{{"rows", 96}, {"eval_rows", 32}, {"bits", 10}, {"batch_size", 32}}}},
      {"KFoldDataModule", {Object{{"data", Value::Array{iris}}, {"folds", 3}, {"fold", 1}}}},
  };
  // Not a template: in one, clang 14 makes four nulls of Array{4}.
  check_all(
      shipped_classes().datamodules, answers, [](const std::string& name, const Value& settings) {
        const bool is_sparse = name == "SyntheticClicksDataModule";
        const Chosen model =
            is_sparse
                ? Chosen{.name = "LogisticRegression"}
                : Chosen{.name = "MLP", .settings = Object{{"hidden_sizes", Value::Array{4}}}};
        expect_same_bits_of_models(model, {.name = name, .settings = settings});
      });
}

TEST(ResumeEverything, ModelsGoOnWithTheSameBits) {
  const Value few = Object{{"cv", 3}};
  const std::map<std::string, Answer> answers{
      {"LogisticRegression", {Object{{"solver", "lbfgs"}}}},
      {"LinearRegression", {Object{{"learning_rate", 0.1}}}},
      {"LinearRegressionCV", {few}},
      {"LogisticRegressionCV", {few}},
      {"LogisticRegressionPath", {Object{{"num_Cs", 3}}}},
      {"ManyRegressions", {.test = "ManyRegressions.resume_with_the_same_bits"}},
      {"MLP", {Object{{"hidden_sizes", Value::Array{4}}}}},
  };
  check_all(shipped_classes().models, answers, [](const std::string& name, const Value& settings) {
    const bool is_linear = name.starts_with("Linear");
    const char* file = is_linear ? LEVIN_SOURCE_DIR "/tests/baselines/diabetes.csv"
                                 : LEVIN_SOURCE_DIR "/tests/baselines/solvers_wine.csv";
    expect_same_bits_of_models(
        {.name = name, .settings = settings},
        {.name = "ArrayDataModule",
         .settings = Object{{"x", file}, {"standardize", true}, {"batch_size", 50}}});
  });
}

TEST(ResumeEverything, LoggersAndMetricsHaveTests) {
  const std::map<std::string, Answer> loggers{
      {"CsvLogger", {.test = "CsvLoggerTest.AResumedRunEndsWithTheSameBytesWhereverItWasCut"}},
      {"JsonLinesLogger",
       {.test = "JsonLinesLoggerTest.AResumedRunEndsWithTheSameBytesWhereverItWasCut"}},
      {"TensorBoardLogger",
       {.test = "TensorBoardLoggerTest.AResumedRunEndsWithTheSameBytesWhereverItWasCut"}},
      {"MlflowLogger",
       {.test = "KilledMlflowRun.resumed_from_its_last_checkpoint_leaves_the_values_of_an_"
                "undisturbed_one"}},
      {"ConsoleLogger", {.test = "ConsoleLogger.WritesAPlainLineAnEpoch"}},
  };
  check_all(shipped_classes().loggers, loggers, [](const std::string&, const Value&) {});
  std::map<std::string, Answer> metrics;  // the test goes through the same list
  for (const auto& name : shipped_metrics().names()) {
    metrics.emplace(name, Answer{.test = "Metric.goes_on_from_its_state_with_the_same_bits"});
  }
  check_all(shipped_metrics(), metrics, [](const std::string&, const Value&) {});
}

TEST(ResumeEverything, GradientCompressionsHaveATest) {
  std::map<std::string, Answer> ways;  // the test goes through the same list
  for (const auto& name : shipped_gradient_compressions().names()) {
    ways.emplace(
        name, Answer{.test = "CompressedRuns.resume_with_the_same_bits_in_the_middle_of_an_epoch"});
  }
  check_all(shipped_gradient_compressions(), ways, [](const std::string&, const Value&) {});
}

TEST(ResumeEverything, ModelAveragingsHaveATest) {
  std::map<std::string, Answer> rules;  // the test goes through the same list
  for (const auto& name : shipped_model_averagings().names()) {
    rules.emplace(name,
                  Answer{.test = "AveragedRuns.resume_with_the_same_bits_between_two_meetings"});
  }
  check_all(shipped_model_averagings(), rules, [](const std::string&, const Value&) {});
}

}  // namespace levin::test::resume_everything_test
