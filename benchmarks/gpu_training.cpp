// Measures trainings on a GPU: MNIST logistic regression, with images kept as float32 and as bytes,
// and an MLP of 784-512-512-10, with Adam and batches of 128. Prints a line of JSON for each, as
// levin_epoch does, and a table. gpu-check runs it in turns with PyTorch and Lightning. Without a
// GPU it says so and measures nothing.
//
//   gpu_training [--mnist DIR] [--epochs 12] [--cuda-graph auto|on|off]
//                [--data-on-device auto|on|off]
//
// MNIST is read from --mnist, $MNIST_DIR or share/levin/mnist of the installed tree; if it is in
// none of them, a data set of its size is made. Without --cuda-graph, "auto" and "off" are
// measured.

#include <ATen/Version.h>
#include <levin/levin.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "baselines/program.h"
#include "measured_fit.h"

namespace {

namespace fs = std::filesystem;

constexpr int64_t kBatchSize = 128;
constexpr int64_t kRows = 60000;           // of a data set that is made, as many as MNIST has
constexpr int64_t kTestRows = 10000;       // to measure the accuracy on
constexpr int64_t kEpochsToAccuracy = 30;  // to reach kAccuracy in
constexpr double kAccuracy = 0.92;
constexpr size_t kWarmUp = 2;  // epochs that aren't measured

struct Settings {
  std::string mnist;  // a folder, or empty for data that are made
  int64_t epochs = 12;
  std::vector<std::string> cuda_graph = {"auto", "off"};
  std::string data_on_device = "auto";
};

bool has_mnist(const fs::path& folder) {
  const auto file = folder / "train-images-idx3-ubyte";
  return fs::exists(file) || fs::exists(file.string() + ".gz");
}

/// Returns the first folder that has MNIST: $MNIST_DIR or that of the installed tree; or "".
std::string find_mnist() {
  const char* named = std::getenv("MNIST_DIR");
  if (named != nullptr && has_mnist(named)) return named;
  const auto program = fs::read_symlink("/proc/self/exe");  // libexec/levin/benchmarks/<name>
  const auto installed = program.parent_path() / "../../../share/levin/mnist";
  return has_mnist(installed) ? installed.lexically_normal().string() : "";
}

std::string one_of_modes(const std::string& name, const std::string& value) {
  if (value == "auto" || value == "on" || value == "off") return value;
  throw std::invalid_argument(name + " must be auto, on or off, not " + value);
}

Settings parse(int argc, char** argv) {
  Settings settings{.mnist = find_mnist()};
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--mnist") {
      if (!has_mnist(value)) throw std::invalid_argument("MNIST's files aren't in " + value);
      settings.mnist = value;
    } else if (name == "--epochs") {
      settings.epochs = std::stoll(value);
    } else if (name == "--cuda-graph") {
      settings.cuda_graph = {one_of_modes(name, value)};
    } else if (name == "--data-on-device") {
      settings.data_on_device = one_of_modes(name, value);
    } else {
      throw std::invalid_argument("there is no option called " + name);
    }
  }
  if (settings.epochs < 1) throw std::invalid_argument("--epochs must be at least 1");
  return settings;
}

/// Notes the seconds of each epoch, which ends when the GPU has done its work.
class Epochs : public levin::Callback {
 public:
  explicit Epochs(bench::Recorder& recorder) : recorder_(&recorder) {}
  void on_train_start(levin::Run&) override {
    torch::cuda::synchronize();
    recorder_->start();
  }
  void on_train_epoch_end(levin::Run&) override {
    torch::cuda::synchronize();
    recorder_->epoch();
  }

 private:
  bench::Recorder* recorder_;
};

/// Rows that were read in advance, on the GPU.
struct Rows {
  torch::Tensor input, target;

  double accuracy(levin::Classifier& model) const {
    const torch::NoGradGuard no_grad;
    return model.forward(input).argmax(1).eq(target).to(torch::kDouble).mean().item<double>();
  }
};

/// Ends the training as soon as the model has kAccuracy. Measures the seconds of the training
/// alone, not those in which it looks.
class UntilAccurate : public levin::Callback {
 public:
  UntilAccurate(levin::Classifier& model, const Rows& rows) : model_(&model), rows_(&rows) {}
  void on_train_start(levin::Run&) override { go_on(); }
  void on_train_epoch_end(levin::Run& run) override {
    torch::cuda::synchronize();
    trained_ += bench::seconds_since(started_);
    if (rows_->accuracy(*model_) >= kAccuracy) {
      seconds = trained_;
      run.stop("the model is accurate enough");
    }
    go_on();
  }
  /// Nothing if the model never had kAccuracy.
  std::optional<double> seconds;

 private:
  void go_on() {
    torch::cuda::synchronize();
    started_ = bench::Clock::now();
  }

  levin::Classifier* model_;
  const Rows* rows_;
  bench::Clock::time_point started_;
  double trained_ = 0.0;
};

/// A training set, and the rows to measure the accuracy on: MNIST's test images, or for data that
/// are made the first training rows.
struct Data {
  Data(const Settings& settings, const std::string& storage) {
    if (settings.mnist.empty()) {
      auto images = std::make_unique<bench::Images>(kRows, storage == "uint8");
      images->set_batch_size(kBatchSize);
      module = std::move(images);
      test = read(module->train_dataloader());
      return;
    }
    module = std::make_unique<levin::MNISTDataModule>(
        levin::MNISTDataModuleOptions{.data_dir = settings.mnist,
                                      .download = false,
                                      .val_split = 0,
                                      .batch_size = kBatchSize,
                                      .flatten = true,
                                      .storage = storage});
    module->prepare_data();
    module->setup(levin::Stage::test);
    test = read(module->test_dataloader());
    module->setup(levin::Stage::fit);
  }
  int64_t rows() { return module->train_dataloader().front().dataset().size().value(); }

  std::unique_ptr<levin::DataModule> module;
  Rows test;

 private:
  static Rows read(const levin::DataLoaders& loaders) {
    levin::Reader reader = loaders.front().open();
    levin::Batch batch;
    std::vector<torch::Tensor> inputs, targets;
    for (int64_t rows = 0; rows < kTestRows && reader.next(batch); rows += batch.rows()) {
      inputs.push_back(batch.input().clone());
      targets.push_back(batch.target().clone());
    }
    return {torch::cat(inputs).narrow(0, 0, kTestRows).to(torch::kCUDA),
            torch::cat(targets).narrow(0, 0, kTestRows).to(torch::kCUDA)};
  }
};

/// A row of the table.
struct Measured {
  std::string name, cuda_graph;
  double epoch_seconds = 0.0, step_microseconds = 0.0, accuracy = 0.0;
  std::optional<double> seconds_to_accuracy{};
};

struct Subject {
  const char* name;
  const char* problem;  // a name in baselines/program.h
  const char* storage;
};

levin::TrainerOptions trainer_options(const Settings& settings, const std::string& cuda_graph,
                                      int64_t epochs) {
  levin::TrainerOptions options{
      .accelerator = "gpu", .max_epochs = epochs, .num_sanity_val_steps = 0};
  options.cuda_graph = cuda_graph;
  options.data_on_device = settings.data_on_device;
  return options;
}

Measured measure(const Settings& settings, const Subject& subject, const std::string& cuda_graph,
                 Data& data) {
  const bench::Problem problem = bench::find_problem(subject.problem);
  const auto fit = [&](bench::Recorder* recorder, std::optional<double>* seconds) {
    levin::seed_everything(0);
    const auto module = bench::make_model(problem.hidden_sizes);
    auto& model = dynamic_cast<levin::Classifier&>(*module);
    levin::Trainer trainer(trainer_options(
        settings, cuda_graph, recorder != nullptr ? settings.epochs : kEpochsToAccuracy));
    if (recorder != nullptr) {
      trainer.add<Epochs>(*recorder);
      trainer.fit(model, *data.module);
      recorder->finish();
    } else {
      const auto& until = trainer.add<UntilAccurate>(model, data.test);
      trainer.fit(model, *data.module);
      *seconds = until.seconds;
    }
    return data.test.accuracy(model);
  };
  bench::Recorder recorder;
  Measured result{.name = subject.name, .cuda_graph = cuda_graph};
  result.accuracy = fit(&recorder, nullptr);
  fit(nullptr, &result.seconds_to_accuracy);

  const auto& all = recorder.epoch_seconds();
  const auto first = all.size() > kWarmUp ? kWarmUp : 0;
  result.epoch_seconds =
      bench::median({all.begin() + static_cast<std::ptrdiff_t>(first), all.end()});
  const int64_t steps = (data.rows() + kBatchSize - 1) / kBatchSize;
  result.step_microseconds = 1e6 * result.epoch_seconds / static_cast<double>(steps);

  bench::Arguments arguments{.problem = subject.problem,
                             .loop = cuda_graph,
                             .storage = subject.storage,
                             .mnist = settings.mnist,
                             .threads = "auto",
                             .batch_size = kBatchSize,
                             .epochs = settings.epochs};
  const auto& seconds = result.seconds_to_accuracy;
  recorder.print(arguments, data.rows(), result.accuracy, std::string("LibTorch ") + TORCH_VERSION,
                 std::string("\"device\": \"cuda\", \"data\": ") +
                     (settings.mnist.empty() ? "\"made\"" : "\"MNIST\"") +
                     ", \"seconds_to_accuracy\": " + (seconds ? std::to_string(*seconds) : "null"));
  std::fflush(stdout);
  return result;
}

void print_table(const std::vector<Measured>& rows, bool is_made) {
  std::printf("\n|  | cuda_graph | milliseconds an epoch | microseconds a step | %s | %s |\n",
              is_made ? "right of 10,000 training images" : "right of the test images",
              "seconds of training until 92 % are right");
  std::printf("|---|---|---|---|---|---|\n");
  for (const auto& row : rows) {
    char seconds[32] = "-";
    if (row.seconds_to_accuracy) {
      std::snprintf(seconds, sizeof(seconds), "%.3f", *row.seconds_to_accuracy);
    }
    std::printf("| %s | %s | %.2f | %.2f | %.2f %% | %s |\n", row.name.c_str(),
                row.cuda_graph.c_str(), 1e3 * row.epoch_seconds, row.step_microseconds,
                1e2 * row.accuracy, seconds);
  }
}

void run(const Settings& settings) {
  if (settings.mnist.empty()) {
    std::printf("MNIST was not found (set MNIST_DIR); a data set of its size is made instead\n");
  }
  constexpr std::array<Subject, 3> kSubjects = {
      {{"logistic regression, batch 128", "logistic_regression", "float32"},
       {"logistic regression, batch 128, uint8", "logistic_regression", "uint8"},
       {"MLP 784-512-512-10, batch 128", "wide_mlp", "float32"}}};
  std::vector<Measured> rows;
  for (const Subject& subject : kSubjects) {
    Data data(settings, subject.storage);
    for (const auto& cuda_graph : settings.cuda_graph) {
      rows.push_back(measure(settings, subject, cuda_graph, data));
    }
  }
  print_table(rows, settings.mnist.empty());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Settings settings = parse(argc, argv);
    if (!torch::cuda::is_available()) {
      std::printf("no GPU\n");
      return 0;
    }
    run(settings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_training: %s\n", error.what());
    return 1;
  }
}
