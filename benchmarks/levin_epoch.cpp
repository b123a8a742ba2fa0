// Measures Levin for ./run bench. Trains one of the problems of baselines/program.h and prints a
// line of JSON, as the programs in benchmarks/baselines do.
//
//   levin_epoch [--problem logistic_regression] [--storage float32] [--mnist DIR]
//               [--batch-size 128] [--epochs 3] [--threads 1|auto|all]

#include <ATen/Version.h>
#include <levin/levin.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "baselines/program.h"

namespace {

using bench::Arguments;
using bench::Problem;
using bench::Recorder;

struct RecorderOptions {
  Recorder* recorder = nullptr;
};

class Epochs : public levin::Callback {
 public:
  using Options = RecorderOptions;
  explicit Epochs(Options options) : recorder_(options.recorder) {}
  std::string state_key() const override { return "Epochs"; }
  void on_train_epoch_end(levin::Run&) override { recorder_->epoch(); }

 private:
  Recorder* recorder_;
};

// Used only to measure the start, because a hook inside the step takes time in every step.
class FirstStep : public levin::Callback {
 public:
  using Options = RecorderOptions;
  explicit FirstStep(Options options) : recorder_(options.recorder) {}
  std::string state_key() const override { return "FirstStep"; }
  void on_train_batch_end(const torch::Tensor&, const levin::Batch&, levin::Step&) override {
    recorder_->step();
  }

 private:
  Recorder* recorder_;
};

void set_threads(levin::TrainerOptions& options, const std::string& threads) {
  if (threads == "auto") {
    options.threads = "auto";
  } else {
    options.threads = threads == "all" ? at::get_num_threads() : std::stoi(threads);
  }
}

std::unique_ptr<levin::DataModule> make_data(const Arguments& arguments) {
  if (arguments.problem == "iris") {
    return std::make_unique<levin::IrisDataModule>(levin::IrisDataModuleOptions{
        .batch_size = arguments.batch_size, .val_split = 0, .test_split = 0});
  }
  if (arguments.problem == "digits") {
    return std::make_unique<levin::DigitsDataModule>(levin::DigitsDataModuleOptions{
        .batch_size = arguments.batch_size, .val_split = 0, .test_split = 0});
  }
  return std::make_unique<levin::MNISTDataModule>(
      levin::MNISTDataModuleOptions{.data_dir = arguments.mnist,
                                    .val_split = 0,
                                    .batch_size = arguments.batch_size,
                                    .flatten = true,
                                    .storage = arguments.storage});
}

std::unique_ptr<levin::Classifier> make_model(const Problem& problem) {
  if (problem.hidden_sizes.empty()) {
    return std::make_unique<levin::LogisticRegression>(levin::LogisticRegressionOptions{
        .in_features = problem.features, .num_classes = problem.classes});
  }
  return std::make_unique<levin::MLP>(levin::MLPOptions{.in_features = problem.features,
                                                        .num_classes = problem.classes,
                                                        .hidden_sizes = problem.hidden_sizes});
}

// Returns the accuracy on the test images of MNIST, or for other problems on the training rows.
double accuracy(levin::Trainer& trainer, levin::Classifier& model, levin::DataModule& data,
                bool is_mnist) {
  if (is_mnist) return trainer.test(model, data).at("test_acc");
  torch::NoGradGuard no_grad;
  levin::Reader reader = data.train_dataloader().front().open();
  levin::Batch batch;
  int64_t right = 0, rows = 0;
  while (reader.next(batch)) {
    right += model.forward(batch.input()).argmax(1).eq(batch.target()).sum().item<int64_t>();
    rows += batch.rows();
  }
  return static_cast<double>(right) / static_cast<double>(rows);
}

void run(const Arguments& arguments) {
  Recorder recorder;
  const Problem problem = bench::find_problem(arguments.problem);
  levin::TrainerOptions options{.accelerator = "cpu", .max_epochs = arguments.epochs};
  set_threads(options, arguments.threads);
  if (arguments.only_first_step != 0) options.max_steps = 1;
  levin::seed_everything(0);
  const auto data = make_data(arguments);
  data->prepare_data();
  data->setup(levin::Stage::fit);
  const auto model = make_model(problem);
  levin::Trainer trainer(options);
  if (arguments.only_first_step != 0) {
    trainer.add<FirstStep>({.recorder = &recorder});
  } else {
    trainer.add<Epochs>({.recorder = &recorder});
  }
  recorder.start();
  trainer.fit(*model, *data);
  recorder.finish();

  const int64_t rows = data->train_dataloader().front().dataset().size().value();
  const bool is_finished = arguments.only_first_step == 0;
  recorder.print(arguments, rows,
                 is_finished ? accuracy(trainer, *model, *data, problem.is_mnist()) : 0.0,
                 std::string("LibTorch ") + TORCH_VERSION + ", " + at::get_cpu_capability());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(bench::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "levin_epoch: %s\n", error.what());
    return 1;
  }
}
