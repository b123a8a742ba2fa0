// Measures one of Levin's solvers for ./run bench solvers: the coefficients after each iteration,
// and when they were there. Their objectives are computed by baselines/solver_problems.py, the same
// way for all programs, of which this is one.
//
//   solvers --list
//   solvers --solver NAME --problem mnist|NAME --features N --classes N --coefficients FILE
//           [--penalty l2|l1] [--C 1] [--mnist DIR] [--folder DIR] [--seconds 60] [--tol 1e-9]
//
// --list prints the names of the solvers. Other problems than MNIST are the files NAME_x.npy and
// NAME_y.npy of --folder. The output is one line of JSON: `ready_ns`, when the data were read, and
// `points_ns`, when the iterations ended, both by the monotonic clock. The coefficients are float64
// numbers, [points, outputs, features + 1], of which the last column is the bias.

#include <levin/levin.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Arguments = std::map<std::string, std::string>;

int64_t now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

struct RecordOptions {
  /// After that many seconds of training, the fit ends.
  double seconds = 60.0;
};

/// Keeps the parameters after each iteration.
class Record : public levin::Callback {
 public:
  using Options = RecordOptions;
  explicit Record(Options options) : options_(options) {}
  void on_train_start(levin::Run& /*run*/) override { started_ = now(); }
  void on_train_epoch_end(levin::Run& run) override {
    times.push_back(now());
    const torch::NoGradGuard no_grad;
    const auto parameters = run.module().named_parameters();
    points.push_back(torch::cat(
        {parameters["linear.weight"], parameters["linear.bias"].unsqueeze(1)}, /*dim=*/1));
    const double seconds = static_cast<double>(times.back() - started_) / 1e9;
    if (seconds > options_.seconds) run.stop("the benchmark's limit of seconds is reached");
  }

  std::vector<int64_t> times;
  std::vector<torch::Tensor> points;  // [outputs, features + 1] each

 private:
  RecordOptions options_;
  int64_t started_ = 0;
};

std::unique_ptr<levin::DataModule> make_data(const Arguments& arguments) {
  const auto& problem = arguments.at("--problem");
  if (problem == "mnist") {
    return std::make_unique<levin::MNISTDataModule>(levin::MNISTDataModuleOptions{
        .data_dir = arguments.at("--mnist"), .val_split = 0, .batch_size = 4096, .flatten = true});
  }
  const std::string start = arguments.at("--folder") + "/" + problem;
  return std::make_unique<levin::ArrayDataModule>(
      levin::ArrayDataModuleOptions{.x = start + "_x.npy",
                                    .y = start + "_y.npy",
                                    .batch_size = 4096,
                                    .val_split = 0,
                                    .test_split = 0,
                                    .dtype = "as_is"});
}

void print(const Record& record, int64_t ready) {
  std::printf("{\"ready_ns\": %lld, \"points_ns\": [", static_cast<long long>(ready));
  const char* separator = "";
  for (const int64_t time : record.times) {
    std::printf("%s%lld", separator, static_cast<long long>(time));
    separator = ", ";
  }
  std::printf("]}\n");
}

void write(const Record& record, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  for (const auto& point : record.points) {
    const auto numbers = point.to(torch::kDouble).contiguous();
    file.write(reinterpret_cast<const char*>(numbers.const_data_ptr<double>()),
               static_cast<std::streamsize>(numbers.nbytes()));
  }
  if (!file.flush()) throw std::runtime_error("can't write " + path);
}

void run(const Arguments& arguments) {
  const auto data = make_data(arguments);
  data->prepare_data();
  data->setup(levin::Stage::fit);
  const auto& rows = data->train_dataloader().front().dataset();
  const auto n = static_cast<double>(rows.size().value());
  const int64_t ready = now();
  const double strength = 1.0 / (std::stod(arguments.at("--C")) * n);
  const bool is_l1 = arguments.at("--penalty") == "l1";
  levin::LogisticRegression model({.in_features = std::stoll(arguments.at("--features")),
                                   .num_classes = std::stoll(arguments.at("--classes")),
                                   .l1_strength = is_l1 ? strength : 0.0,
                                   .l2_strength = is_l1 ? 0.0 : 0.5 * strength,
                                   .solver = arguments.at("--solver"),
                                   .tol = std::stod(arguments.at("--tol")),
                                   .max_iter = 100'000});
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = 100'000, .threads = 1});
  const auto& record = trainer.add<Record>({.seconds = std::stod(arguments.at("--seconds"))});
  trainer.fit(model, *data);
  write(record, arguments.at("--coefficients"));
  print(record, ready);
}

void list_solvers() {
  for (const auto& entry : levin::shipped_optimizers().entries()) {
    if (levin::is_solver(entry)) std::printf("%s\n", entry.name.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 2 && std::string(argv[1]) == "--list") {
      list_solvers();
      return 0;
    }
    const char* mnist = std::getenv("MNIST_DIR");
    Arguments arguments{{"--mnist", mnist != nullptr ? mnist : ""},
                        {"--penalty", "l2"},
                        {"--C", "1"},
                        {"--seconds", "60"},
                        {"--tol", "1e-9"}};
    for (int i = 1; i + 1 < argc; i += 2) arguments[argv[i]] = argv[i + 1];
    run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "solvers: %s\n", error.what());
    return 1;
  }
}
