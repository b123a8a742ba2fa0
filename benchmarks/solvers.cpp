// Measures one of Levin's solvers for ./run bench solvers and ./run bench exactness: the
// coefficients after each iteration, and when they were there. Their objectives are computed by
// baselines/solver_problems.py, the same way for all programs, of which this is one.
//
//   solvers --list
//   solvers --solver NAME --problem mnist|sparse|NAME --features N --classes N --coefficients FILE
//           [--l1-ratio 0] [--C 1] [--mnist DIR] [--folder DIR] [--seconds 60] [--tol 1e-9]
//           [--only-last 0]
//
// --list prints the names of the solvers. OnlineSGD, OnlineAdagrad and FTRL are possible as well,
// an epoch of which counts as an iteration. The problem "sparse" is the file train.npz of --folder,
// other problems than MNIST are NAME_x.npy and NAME_y.npy. The output is one line of JSON:
// `ready_ns`, when the data were read, and `points_ns`, when the iterations ended, both by the
// monotonic clock. The coefficients are float64 numbers, [points, outputs, features + 1], of which
// the last column is the bias; with --only-last 1 they are those of the last point alone.

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
  /// Whether earlier points are forgotten.
  bool only_last = false;
};

/// Keeps the parameters after each iteration.
class Record : public levin::Callback {
 public:
  using Options = RecordOptions;
  explicit Record(Options options) : options_(options) {}
  void on_train_start(levin::Run& /*run*/) override { started_ = now(); }
  void on_train_epoch_end(levin::Run& run) override {
    if (options_.only_last) {
      times.clear();
      points.clear();
    }
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
  if (problem == "sparse") {
    return std::make_unique<levin::SparseDataModule>(levin::SparseDataModuleOptions{
        .train = {arguments.at("--folder") + "/train.npz"}, .batch_size = 4096, .shuffle = false});
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

bool is_learner(const std::string& name) {
  return name == "OnlineSGD" || name == "OnlineAdagrad" || name == "FTRL";
}

/// The strengths of the penalties, in Levin's terms, of a problem of n rows.
struct Strengths {
  Strengths(const Arguments& arguments, double n) {
    const double strength = 1.0 / (std::stod(arguments.at("--C")) * n);
    const double ratio = std::stod(arguments.at("--l1-ratio"));
    l1 = ratio * strength;
    l2 = 0.5 * (1.0 - ratio) * strength;
  }
  double l1, l2;
};

levin::LogisticRegression make_model(const Arguments& arguments, const Strengths& strengths) {
  const auto& solver = arguments.at("--solver");
  const bool is_ftrl = solver == "FTRL";  // it has penalties of its own
  return levin::LogisticRegression({.in_features = std::stoll(arguments.at("--features")),
                                    .num_classes = std::stoll(arguments.at("--classes")),
                                    .l1_strength = is_ftrl ? 0.0 : strengths.l1,
                                    .l2_strength = is_ftrl ? 0.0 : strengths.l2,
                                    .solver = is_learner(solver) ? "" : solver,
                                    .tol = std::stod(arguments.at("--tol")),
                                    .max_iter = 100'000});
}

/// Makes the Trainer use an online learner, with its default settings, if `name` is one.
void set_learner(levin::Trainer& trainer, const std::string& name, const Strengths& strengths,
                 double n) {
  if (!is_learner(name)) return;
  trainer.set_optimizers([=](levin::Module& module) -> levin::Optimizers {
    if (name == "OnlineSGD") return levin::OnlineSGD(module.parameters());
    if (name == "OnlineAdagrad") return levin::OnlineAdagrad(module.parameters());
    return levin::FTRL(module.parameters(), {.l1 = strengths.l1 * n, .l2 = 2.0 * strengths.l2 * n});
  });
}

void run(const Arguments& arguments) {
  const auto data = make_data(arguments);
  data->prepare_data();
  data->setup(levin::Stage::fit);
  const auto& rows = data->train_dataloader().front().dataset();
  const auto n = static_cast<double>(rows.size().value());
  const int64_t ready = now();
  const Strengths strengths(arguments, n);
  auto model = make_model(arguments, strengths);
  levin::Trainer trainer({.accelerator = "cpu", .max_epochs = 100'000, .threads = 1});
  set_learner(trainer, arguments.at("--solver"), strengths, n);
  const auto& record = trainer.add<Record>({.seconds = std::stod(arguments.at("--seconds")),
                                            .only_last = arguments.at("--only-last") == "1"});
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
                        {"--l1-ratio", "0"},
                        {"--C", "1"},
                        {"--seconds", "60"},
                        {"--tol", "1e-9"},
                        {"--only-last", "0"}};
    for (int i = 1; i + 1 < argc; i += 2) arguments[argv[i]] = argv[i + 1];
    run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "solvers: %s\n", error.what());
    return 1;
  }
}
